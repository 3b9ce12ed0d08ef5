//! `onnward-bench chaos`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::chaos::{self, ChaosSettings, Scenario};
use crate::cli::{CommonArguments, are_met, bar, beside, positive, print};
use crate::error::ProofError;

/// Where Debian puts libfaketime for programs with threads.
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

#[derive(Debug, Args)]
#[command(after_help = "\
What a scenario needs and is not there is said, and the scenario left out: SeaweedFS (tests/fetch-seaweedfs.sh), libfaketime
(Debian's package faketime), root for a disk that is full.

Examples:
  onnward-bench chaos
  onnward-bench chaos termination kills --repetitions 50 --seed 7
  onnward-bench chaos idle-connections --idle 5000 --output json")]
pub struct ChaosArguments {
    /// What happens to the engine [default: everything]
    #[arg(value_enum)]
    scenarios: Vec<Scenario>,
    /// How often an engine is told to end, or killed
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    repetitions: u64,
    /// The seed of the moments at which it is
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// How long other faults last, in seconds
    #[arg(long, default_value_t = 30.0, value_parser = positive)]
    seconds: f64,
    /// How many predictions are asked for each second meanwhile
    #[arg(long, default_value_t = 200.0, value_parser = positive)]
    rate: f64,
    /// How many clients are slow
    #[arg(long, default_value_t = 1000, value_name = "CLIENTS")]
    slow: usize,
    /// How many connections are idle
    #[arg(long, default_value_t = 10_000, value_name = "CONNECTIONS")]
    idle: usize,
    /// The exporter's program [default: onnward-exporter beside this program]
    #[arg(long, value_name = "PATH")]
    exporter: Option<PathBuf>,
    /// SeaweedFS's program
    #[arg(long, value_name = "PATH", default_value = "target/seaweedfs/bin/weed")]
    seaweedfs: PathBuf,
    /// libfaketime's library
    #[arg(long, value_name = "PATH", default_value = FAKETIME)]
    faketime: PathBuf,
    #[command(flatten)]
    common: CommonArguments,
}

impl ChaosArguments {
    /// Whether all is as it must be.
    pub fn run(self) -> Result<bool, ProofError> {
        let scenarios = if self.scenarios.is_empty() { Scenario::ALL.to_vec() } else { self.scenarios };
        let bar = bar(scenarios.len() as u64, "scenarios");
        let settings = ChaosSettings {
            engine: self.common.engine()?,
            exporter: beside("onnward-exporter", self.exporter.as_deref())?,
            seaweedfs: self.seaweedfs,
            faketime: self.faketime,
            schema: self.common.schema,
            scenarios,
            repetitions: self.repetitions,
            seed: self.seed,
            fault: Duration::from_secs_f64(self.seconds),
            rate: self.rate,
            slow_clients: self.slow,
            idle_connections: self.idle,
        };
        let mut begun = 0;
        let report = chaos::run(&settings, |scenario| {
            bar.set_position(begun);
            bar.set_message(scenario.name());
            begun += 1;
        });
        bar.finish_and_clear();
        let report = report?;
        print(self.common.output, &report)?;
        Ok(are_met(&report.requirements))
    }
}
