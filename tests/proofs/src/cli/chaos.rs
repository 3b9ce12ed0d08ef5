//! `onnward-proofs chaos`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use onnward_harness::HarnessError;
use onnward_harness::cli::{CommonArguments, bar, positive, print, program};
use onnward_harness::requirement::are_met;

use crate::chaos::{self, ChaosSettings, Scenario};

/// The path at which Debian installs libfaketime for programs with threads.
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

#[derive(Debug, Args)]
#[command(after_help = "\
A scenario is left out, with the reason, if what it needs is missing: SeaweedFS (tests/fetch-seaweedfs.sh), libfaketime \
(Debian's package faketime), root to mount a small disk.

Examples:
  onnward-proofs chaos
  onnward-proofs chaos termination kills --repetitions 50 --seed 7
  onnward-proofs chaos idle-connections --idle 5000 --output json")]
pub struct ChaosArguments {
    /// Scenarios to run [default: all]
    #[arg(value_enum)]
    scenarios: Vec<Scenario>,
    /// Number of terminations or kills of an engine
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    repetitions: u64,
    /// Seed of the random times of signals
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// Duration of other faults, in seconds
    #[arg(long, default_value_t = 30.0, value_parser = positive)]
    seconds: f64,
    /// Predictions requested per second during a fault
    #[arg(long, default_value_t = 200.0, value_parser = positive)]
    rate: f64,
    /// Number of slow clients
    #[arg(long, default_value_t = 1000, value_name = "CLIENTS")]
    slow: usize,
    /// Number of idle connections
    #[arg(long, default_value_t = 10_000, value_name = "CONNECTIONS")]
    idle: usize,
    /// The exporter's program [default: onnward-exporter beside this program]
    #[arg(long, value_name = "FILE")]
    exporter: Option<PathBuf>,
    /// SeaweedFS's program
    #[arg(long, value_name = "FILE", default_value = "target/seaweedfs/bin/weed")]
    seaweedfs: PathBuf,
    /// libfaketime's library
    #[arg(long, value_name = "FILE", default_value = FAKETIME)]
    faketime: PathBuf,
    #[command(flatten)]
    common: CommonArguments,
}

impl ChaosArguments {
    /// Runs the scenarios and returns whether all requirements are met.
    pub fn run(self) -> Result<bool, HarnessError> {
        let scenarios = if self.scenarios.is_empty() { Scenario::ALL.to_vec() } else { self.scenarios };
        let bar = bar(scenarios.len() as u64, "scenarios");
        let settings = ChaosSettings {
            engine: self.common.engine()?,
            exporter: program("onnward-exporter", self.exporter.as_deref())?,
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
