//! The command line of `onnward-bench`: each command measures something and prints its figures. The exit code
//! is 1 if a requirement is missed or the measurement cannot be made.

mod compare;
mod load;
mod observe;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use compare::{CompareArguments, SessionArguments};
use load::{BareArguments, LoadArguments};
use observe::ObserveArguments;
use onnward_harness::HarnessError;
use onnward_harness::cli::exit_code;
use onnward_harness::interruption::kill_children_on_signal;

use crate::training::cli::{FitArguments, TrainingArguments};

/// Measure Onnward: its engine beside other servers, its trainer beside scikit-learn, and any server under
/// load
#[derive(Debug, Parser)]
#[command(
    name = "onnward-bench",
    version,
    after_help = "\
Nothing else should run on the machine meanwhile.

Examples:
  onnward-bench compare --quick
  onnward-bench train --rounds 1
  onnward-bench load --url http://127.0.0.1:8000/predict --body row.json --concurrency 64"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Put load on a server and report its throughput and latencies
    Load(LoadArguments),
    /// Serve the limit of the HTTP stack: rows are parsed, and the answer is constant
    Bare(BareArguments),
    /// Compare training with scikit-learn's on a million sampled rows: time, memory and quality
    Train(TrainingArguments),
    /// Fit one table once, for `train`
    #[command(hide = true)]
    FitOnce(FitArguments),
    /// Compare Onnward with other servers, side by side
    Compare(Box<CompareArguments>),
    /// Measure the cost of metrics, drift and logs in the engine
    Observe(ObserveArguments),
    /// Time a model's session without a server
    Session(SessionArguments),
}

/// Runs the program with the arguments of the process.
pub fn run() -> ExitCode {
    let command = Cli::parse().command;
    // The others start nothing.
    let starts = matches!(command, Command::Train(_) | Command::Compare(_) | Command::Observe(_));
    let prepared = if starts { kill_children_on_signal() } else { Ok(()) };
    exit_code(prepared.and_then(|()| command.run()))
}

impl Command {
    /// Runs the command and returns whether all requirements are met.
    fn run(self) -> Result<bool, HarnessError> {
        match self {
            Self::Load(arguments) => arguments.run(),
            Self::Bare(arguments) => arguments.run(),
            Self::Train(arguments) => arguments.run(),
            Self::FitOnce(arguments) => arguments.run(),
            Self::Compare(arguments) => arguments.run(),
            Self::Observe(arguments) => arguments.run(),
            Self::Session(arguments) => arguments.run(),
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
