//! `onnward-bench observe`: the cost of metrics, drift and logs.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use onnward_models::Family;

use crate::observation::{self, ObservationSettings};
use onnward_harness::HarnessError;
use onnward_harness::cli::{CommonArguments, bar, family, positive, print, variable};
use onnward_harness::requirement::are_met;

#[derive(Debug, Args)]
#[command(after_help = "\
Two engines serve one model and take turns under the same load, on one processor, with the load on another. Neither \
writes access log lines, unless --on ONNWARD_LOG__ACCESS_SAMPLE=1.0 is given.

Examples:
  onnward-bench observe
  onnward-bench observe --family forest --rounds 9 --output json
  onnward-bench observe --on ONNWARD_LOG__ACCESS_SAMPLE=1.0
  onnward-bench observe --unseeing-engine ../before/target/release/onnward-engine \\
      --off ONNWARD_METRICS__ENABLED=false")]
pub struct ObserveArguments {
    /// Environment variable of the observing engine, for what is off by default; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
    on: Vec<(String, String)>,
    /// Environment variable of the other engine; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable,
          default_values = ["ONNWARD_METRICS__ENABLED=false", "ONNWARD_DRIFT__ENABLED=false"])]
    off: Vec<(String, String)>,
    /// Program of the other engine, if it differs
    #[arg(long, value_name = "PATH")]
    unseeing_engine: Option<PathBuf>,
    /// Model family: logistic or forest
    #[arg(long, value_parser = family, default_value = "logistic")]
    family: Family,
    /// Number of rounds, in which the engines take turns
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u8).range(1..))]
    rounds: u8,
    /// Length of each of a measurement's three windows, in seconds
    #[arg(long, default_value_t = 1.0, value_parser = positive)]
    window: f64,
    #[command(flatten)]
    common: CommonArguments,
}

impl ObserveArguments {
    /// Runs the measurement and returns whether all requirements are met.
    pub fn run(self) -> Result<bool, HarnessError> {
        let Self { on, off, unseeing_engine, family, rounds, window, common } = self;
        let settings = ObservationSettings {
            engine: common.engine()?,
            unseeing_engine,
            schema: common.schema,
            family,
            on,
            off,
            rounds: rounds.into(),
            window: Duration::from_secs_f64(window),
        };
        let bar = bar(observation::measurements(&settings), "measurements");
        let report = observation::run(&settings, || bar.inc(1));
        bar.finish_and_clear();
        let report = report?;
        print(common.output, &report)?;
        Ok(are_met(&report.requirements))
    }
}
