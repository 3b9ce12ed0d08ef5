//! The command line of `onnward-proofs`: each command runs one proof and prints its figures. The exit code is
//! 1 if a requirement is missed or the proof cannot be run.

mod chaos;
mod kills;
mod soak;
mod swaps;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use onnward_harness::HarnessError;
use onnward_harness::cli::exit_code;
use onnward_harness::interruption::kill_children_on_signal;

use chaos::ChaosArguments;
use kills::KillArguments;
use soak::SoakArguments;
use swaps::SwapArguments;

/// Prove what the engine promises, by running its program and measuring from outside
#[derive(Debug, Parser)]
#[command(
    name = "onnward-proofs",
    version,
    after_help = "\
Each command runs with a temporary model repository unless it says otherwise.

Examples:
  onnward-proofs swaps
  onnward-proofs chaos termination kills --repetitions 50
  onnward-proofs soak --minutes 5 --output json"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Swap two versions of a model under constant load: no request fails and memory does not grow
    Swaps(SwapArguments),
    /// Kill engines during downloads: they recover and never serve a file with a wrong digest
    Kills(KillArguments),
    /// Run at a share of the engine's capacity for many minutes, with swaps, ground truth and scrapes:
    /// nothing fails or grows
    Soak(SoakArguments),
    /// Inject faults: signals, kills, a full disk, clock jumps, store outages, slow and idle clients
    Chaos(ChaosArguments),
}

/// Runs the program with the arguments of the process.
pub fn run() -> ExitCode {
    let command = Cli::parse().command;
    exit_code(kill_children_on_signal().and_then(|()| command.run()))
}

impl Command {
    /// Runs the command and returns whether all requirements are met.
    fn run(self) -> Result<bool, HarnessError> {
        match self {
            Self::Swaps(arguments) => arguments.run(),
            Self::Kills(arguments) => arguments.run(),
            Self::Soak(arguments) => arguments.run(),
            Self::Chaos(arguments) => arguments.run(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_free_of_contradictions() {
        Cli::command().debug_assert();
    }
}
