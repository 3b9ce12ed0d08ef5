//! `onnward-bench soak`.

use std::time::Duration;

use clap::Args;
use onnward_models::Family;

use crate::cli::{CommonArguments, are_met, bar, family, positive, print};
use crate::error::ProofError;
use crate::soak::{self, SoakSettings};

/// How long it is from one swap to the next, and from one scrape to the next.
const SWAP_EVERY: Duration = Duration::from_secs(20);
const SCRAPE_EVERY: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
#[command(after_help = "\
The capacity is measured first, in a closed loop with the swaps, outcomes and scrapes beside it. Then requests begin at a share of it, whatever becomes of those before.

Examples:
  onnward-bench soak
  onnward-bench soak --minutes 5 --share 0.5 --output json")]
pub struct SoakArguments {
    /// How many minutes it takes
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..))]
    minutes: u16,
    /// The share of its capacity that the engine is asked for
    #[arg(long, default_value_t = 0.7, value_parser = positive)]
    share: f64,
    /// How many requests begin each second, in place of a share of the capacity
    #[arg(long, value_parser = positive, conflicts_with = "share")]
    rate: Option<f64>,
    /// The share of the predictions whose outcomes come in
    #[arg(long, default_value_t = 0.01, value_parser = positive)]
    outcomes: f64,
    /// The family of the two versions: logistic or forest
    #[arg(long, value_parser = family, default_value = "logistic")]
    family: Family,
    #[command(flatten)]
    common: CommonArguments,
}

impl SoakArguments {
    /// Whether all is as it must be.
    pub fn run(self) -> Result<bool, ProofError> {
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
