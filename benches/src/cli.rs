//! The command line: a proof is run, its figures are printed, and a requirement that is missed is exit code 1, as is a proof
//! that could not be run.

mod chaos;
mod compare;
mod load;
mod observe;
mod soak;

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use onnward_models::{Family, UnknownFamily};
use serde::Serialize;

use chaos::ChaosArguments;
use compare::{CompareArguments, SessionArguments};
use load::{BareArguments, LoadArguments};
use observe::ObserveArguments;
use soak::SoakArguments;

use crate::error::ProofError;
use crate::interruption::take_along_what_was_started;
use crate::kills::{self, KillSettings};
use crate::seaweedfs::SeaweedFs;
use crate::swaps::{self, SwapMode, SwapSettings};
use crate::training::cli::{FitArguments, TrainingArguments};
use crate::verdict::Requirement;

/// Proofs of what the engine promises, by its program and from outside.
#[derive(Debug, Parser)]
#[command(name = "onnward-bench", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Swap two versions of a model under constant load: no request fails, memory stays flat
    Swaps(SwapArguments),
    /// Kill engines during downloads: they come up again and never serve a file whose digest is wrong
    Kills(KillArguments),
    /// Serve at a share of the capacity for many minutes, with swaps, outcomes and scrapes: nothing fails, nothing grows
    Soak(SoakArguments),
    /// Faults: signals, kills, a full disk, a jumping clock, a store that is away, slow and idle clients
    Chaos(ChaosArguments),
    /// Put load on a server and tell how it answers
    Load(LoadArguments),
    /// Serve the limit of the HTTP stack: the sample table's rows are parsed, and constants answered
    Bare(BareArguments),
    /// Fit a million sampled rows with Onnward and with scikit-learn, side by side: time, memory and quality
    Train(TrainingArguments),
    /// Fit one table once, for `train`
    #[command(hide = true)]
    FitOnce(FitArguments),
    /// Compare Onnward with its peers, side by side
    Compare(Box<CompareArguments>),
    /// Measure what it costs the engine to count what it does
    Observe(ObserveArguments),
    /// Time a model's session without a server
    Session(SessionArguments),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Without --repository the two versions lie in a temporary folder. An S3 store is reached by AWS's own environment
variables.

Examples:
  onnward-bench swaps
  onnward-bench swaps --mode pointer --rate 500 --output json
  onnward-bench swaps --repository s3://models/proof --swaps 100")]
struct SwapArguments {
    /// How many swaps are done
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(10..))]
    swaps: u64,
    /// How many requests begin each second
    #[arg(long, default_value_t = 1000.0, value_parser = positive)]
    rate: f64,
    /// What a swap has to do
    #[arg(long, value_enum, default_value_t = SwapMode::Reload)]
    mode: SwapMode,
    /// How long it is waited between two swaps, in milliseconds; 0 for one upon the other
    #[arg(long, default_value_t = 100, value_name = "MS")]
    pause: u64,
    /// Where the model repository is to be: a folder, file:///folder or s3://bucket/prefix
    #[arg(long, value_name = "URL")]
    repository: Option<String>,
    /// The family of the two versions: logistic or forest
    #[arg(long, value_parser = family, default_value = "logistic")]
    family: Family,
    #[command(flatten)]
    common: CommonArguments,
}

#[derive(Debug, Args)]
#[command(after_help = "\
SeaweedFS, a real S3 server, is started on ports of its own; tests/fetch-seaweedfs.sh fetches it.

Examples:
  onnward-bench kills
  onnward-bench kills --kills 20 --seed 7 --output json")]
struct KillArguments {
    /// How many engines are killed
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..))]
    kills: u64,
    /// The seed of the moments at which they are
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// SeaweedFS's program
    #[arg(long, value_name = "PATH", default_value = "target/seaweedfs/bin/weed")]
    seaweedfs: PathBuf,
    #[command(flatten)]
    common: CommonArguments,
}

#[derive(Debug, Args)]
struct CommonArguments {
    /// The engine's program [default: onnward-engine beside this program]
    #[arg(long, value_name = "PATH")]
    engine: Option<PathBuf>,
    /// The schema whose sample customers are trained on and asked for
    #[arg(long, value_name = "FILE", default_value = "schemas/telco.toml")]
    schema: PathBuf,
    /// How the figures are printed
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// How figures are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people
    Text,
    /// One JSON document, for programs
    Json,
}

/// Runs the program with the arguments of the process.
pub fn run() -> ExitCode {
    let command = Cli::parse().command;
    // The others start nothing.
    let starts = matches!(
        command,
        Command::Swaps(_)
            | Command::Kills(_)
            | Command::Soak(_)
            | Command::Chaos(_)
            | Command::Train(_)
            | Command::Compare(_)
            | Command::Observe(_)
    );
    let prepared = if starts { take_along_what_was_started() } else { Ok(()) };
    let result = prepared.and_then(|()| command.run());
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

impl Command {
    /// Whether all is as it must be.
    fn run(self) -> Result<bool, ProofError> {
        match self {
            Self::Swaps(arguments) => arguments.run(),
            Self::Kills(arguments) => arguments.run(),
            Self::Soak(arguments) => arguments.run(),
            Self::Chaos(arguments) => arguments.run(),
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

impl SwapArguments {
    /// Whether all is as it must be.
    fn run(self) -> Result<bool, ProofError> {
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

impl KillArguments {
    /// Whether all is as it must be.
    fn run(self) -> Result<bool, ProofError> {
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

impl CommonArguments {
    fn engine(&self) -> Result<PathBuf, ProofError> {
        engine_beside(self.engine.as_deref())
    }
}

/// The engine's program: the one that is named, or the one beside this program.
fn engine_beside(named: Option<&Path>) -> Result<PathBuf, ProofError> {
    beside("onnward-engine", named)
}

/// A program: the one that is named, or the one of this name beside this program.
fn beside(program: &str, named: Option<&Path>) -> Result<PathBuf, ProofError> {
    match named {
        Some(path) => Ok(path.to_owned()),
        None => {
            let own = std::env::current_exe().map_err(ProofError::system("find this program's folder"))?;
            Ok(own.with_file_name(program))
        }
    }
}

pub(crate) fn are_met(requirements: &[Requirement]) -> bool {
    requirements.iter().all(|requirement| requirement.met)
}

pub(crate) fn print(output: Output, report: &(impl Serialize + Display)) -> Result<(), ProofError> {
    match output {
        Output::Text => print!("{report}"),
        Output::Json => println!("{}", serde_json::to_string_pretty(report)?),
    }
    Ok(())
}

/// A bar on standard error. It draws nothing where standard error is not a terminal.
pub(crate) fn bar(length: u64, unit: &'static str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{elapsed:>4} {wide_bar:.cyan/dim} {pos} of {len} {msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_message(unit);
    bar
}

pub(crate) fn family(name: &str) -> Result<Family, UnknownFamily> {
    name.parse()
}

fn positive(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "it is not a number".to_owned())?;
    if number.is_finite() && number > 0.0 { Ok(number) } else { Err("it must be above 0".to_owned()) }
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
