//! `onnward-proofs kills`.

use std::path::PathBuf;

use clap::Args;
use onnward_harness::HarnessError;
use onnward_harness::cli::{CommonArguments, bar, print};
use onnward_harness::requirement::are_met;
use onnward_harness::seaweedfs::SeaweedFs;

use crate::kills::{self, KillSettings};

#[derive(Debug, Args)]
#[command(after_help = "\
Starts SeaweedFS, a real S3 server, on ports of its own. tests/fetch-seaweedfs.sh downloads it.

Examples:
  onnward-proofs kills
  onnward-proofs kills --kills 20 --seed 7 --output json")]
pub struct KillArguments {
    /// Number of engines to kill
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..))]
    kills: u64,
    /// Seed of the random times of the kills
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// SeaweedFS's program
    #[arg(long, value_name = "FILE", default_value = "target/seaweedfs/bin/weed")]
    seaweedfs: PathBuf,
    #[command(flatten)]
    common: CommonArguments,
}

impl KillArguments {
    /// Runs the proof and returns whether all requirements are met.
    pub fn run(self) -> Result<bool, HarnessError> {
        let Self { kills, seed, seaweedfs, common } = self;
        let settings = KillSettings { engine: common.engine()?, schema: common.schema, kills, seed };
        let store = SeaweedFs::start(&seaweedfs)?;
        let bar = bar(kills, "kills");
        let report = kills::run(&settings, &store, |killed| bar.inc(killed));
        bar.finish_and_clear();
        let report = report?;
        print(common.output, &report)?;
        Ok(are_met(&report.requirements))
    }
}
