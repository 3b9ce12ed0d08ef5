//! `onnward-proofs swaps`.

use std::time::Duration;

use clap::Args;
use onnward_harness::HarnessError;
use onnward_harness::cli::{CommonArguments, bar, family, positive, print};
use onnward_harness::requirement::are_met;
use onnward_models::Family;

use crate::swaps::{self, SwapMode, SwapSettings};

#[derive(Debug, Args)]
#[command(after_help = "\
Without --repository both versions are published to a temporary folder. An S3 store is configured by AWS's own environment \
variables.

Examples:
  onnward-proofs swaps
  onnward-proofs swaps --mode pointer --rate 500 --output json
  onnward-proofs swaps --repository s3://models/proof --swaps 100")]
pub struct SwapArguments {
    /// Number of swaps
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(10..))]
    swaps: u64,
    /// Requests per second
    #[arg(long, default_value_t = 1000.0, value_parser = positive)]
    rate: f64,
    /// Kind of each swap
    #[arg(long, value_enum, default_value_t = SwapMode::Reload)]
    mode: SwapMode,
    /// Pause between two swaps, in milliseconds; 0 = no pause
    #[arg(long, default_value_t = 100, value_name = "MS")]
    pause: u64,
    /// Model repository: a folder, file:///folder or s3://bucket/prefix
    #[arg(long, value_name = "URL")]
    repository: Option<String>,
    /// Model family of both versions: logistic or forest
    #[arg(long, value_parser = family, default_value = "logistic")]
    family: Family,
    #[command(flatten)]
    common: CommonArguments,
}

impl SwapArguments {
    /// Runs the proof and returns whether all requirements are met.
    pub fn run(self) -> Result<bool, HarnessError> {
        let Self { swaps, rate, mode, pause, repository, family, common } = self;
        let settings = SwapSettings {
            engine: common.engine()?,
            schema: common.schema,
            family,
            repository,
            mode,
            swaps,
            rate,
            pause: Duration::from_millis(pause),
        };
        let bar = bar(swaps, "swaps");
        let report = swaps::run(&settings, || bar.inc(1));
        bar.finish_and_clear();
        let report = report?;
        print(common.output, &report)?;
        Ok(are_met(&report.requirements))
    }
}
