//! `onnward-proofs soak`.

use std::time::Duration;

use clap::Args;
use onnward_harness::HarnessError;
use onnward_harness::cli::{CommonArguments, bar, family, positive, print};
use onnward_harness::requirement::are_met;
use onnward_models::Family;

use crate::soak::{self, SoakSettings};

/// The time between two swaps, and between two scrapes.
const SWAP_EVERY: Duration = Duration::from_secs(20);
const SCRAPE_EVERY: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
#[command(after_help = "\
The capacity is measured first, in a closed loop, with swaps, ground truth and scrapes in the background. Then requests begin at \
a share of it, whether or not earlier ones are answered.

Examples:
  onnward-proofs soak
  onnward-proofs soak --minutes 5 --share 0.5 --output json")]
pub struct SoakArguments {
    /// Duration, in minutes: at least 3, since growth is that of a line through the minutes after the first
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(3..))]
    minutes: u16,
    /// Share of the engine's capacity to request
    #[arg(long, default_value_t = 0.7, value_parser = positive)]
    share: f64,
    /// Requests per second, instead of a share of the capacity
    #[arg(long, value_parser = positive, conflicts_with = "share")]
    rate: Option<f64>,
    /// Share of the predictions whose ground truth is reported
    #[arg(long, default_value_t = 0.01, value_parser = positive)]
    outcomes: f64,
    /// Model family of both versions: logistic or forest
    #[arg(long, value_parser = family, default_value = "logistic")]
    family: Family,
    #[command(flatten)]
    common: CommonArguments,
}

impl SoakArguments {
    /// Runs the proof and returns whether all requirements are met.
    pub fn run(self) -> Result<bool, HarnessError> {
        let Self { minutes, share, rate, outcomes, family, common } = self;
        let settings = SoakSettings {
            engine: common.engine()?,
            schema: common.schema,
            family,
            intervals: minutes.into(),
            interval: Duration::from_secs(60),
            share,
            rate,
            swap_every: SWAP_EVERY,
            scrape_every: SCRAPE_EVERY,
            outcome_share: outcomes,
        };
        let bar = bar(minutes.into(), "minutes");
        let report = soak::run(&settings, |_| bar.inc(1));
        bar.finish_and_clear();
        let report = report?;
        print(common.output, &report)?;
        Ok(are_met(&report.requirements))
    }
}
