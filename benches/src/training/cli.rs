//! The command lines of `train` and of the processes that it measures.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use onnward_models::Estimator;

use super::{FitSettings, Task, TrainingSettings, fit, run};
use crate::cli::{Output, are_met, bar, print};
use crate::error::ProofError;

#[derive(Debug, Args)]
#[command(after_help = "\
scikit-learn runs in the Python that `make bench-train` sets up. Linux alone tells what a process uses.

Examples:
  onnward-bench train
  onnward-bench train --tasks forest --rounds 1 --libraries
  onnward-bench train --rows 100000 --output json")]
pub(crate) struct TrainingArguments {
    /// How many sampled rows are fitted
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1000..))]
    rows: u64,
    /// How many other rows the models are judged by
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1000..))]
    test_rows: u64,
    /// How often each trainer runs; they take turns
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    rounds: u64,
    /// What is fitted
    #[arg(long, value_delimiter = ',', value_parser = task, default_value = "logistic,logistic-splines,forest")]
    tasks: Vec<Task>,
    /// Run linfa's and smartcore's families as well, which take minutes
    #[arg(long)]
    libraries: bool,
    /// The Python that has scikit-learn
    #[arg(long, value_name = "PATH", default_value = "target/peers/training/bin/python")]
    python: PathBuf,
    /// scikit-learn's side
    #[arg(long, value_name = "PATH", default_value = "benches/peers/training/train.py")]
    script: PathBuf,
    /// The schema whose sample customers are fitted
    #[arg(long, value_name = "FILE", default_value = "schemas/telco.toml")]
    schema: PathBuf,
    /// Where the figures are written as JSON
    #[arg(long, value_name = "FILE", default_value = "target/bench/training.json")]
    results: PathBuf,
    /// How the figures are printed
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct FitArguments {
    #[arg(value_parser = task)]
    task: Task,
    estimator: Estimator,
    #[arg(long)]
    schema: PathBuf,
    #[arg(long)]
    train: PathBuf,
    #[arg(long)]
    test: PathBuf,
}

impl TrainingArguments {
    /// Whether all is as it must be.
    pub fn run(self) -> Result<bool, ProofError> {
        let Self { rows, test_rows, rounds, tasks, libraries, python, script, schema, results, output } =
            self;
        if !python.is_file() {
            let python = python.display();
            let fix = "run `make bench-train`, which sets it up, or name another one with --python";
            return Err(ProofError::Settings(format!("there is no Python at {python}: {fix}")));
        }
        let settings = TrainingSettings { schema, rows, test_rows, rounds, python, script, tasks, libraries };
        let bar = bar(settings.runs(), "drawing the tables");
        // A forest of scikit-learn takes minutes, and the time shall be seen to pass.
        bar.enable_steady_tick(Duration::from_secs(1));
        let report = run(&settings, |next| match next {
            Some(next) => bar.set_message(next),
            None => bar.inc(1),
        })?;
        bar.finish_and_clear();
        if let Some(folder) = results.parent() {
            std::fs::create_dir_all(folder)
                .map_err(ProofError::system(format!("make {}", folder.display())))?;
        }
        let json = serde_json::to_string_pretty(&report)?;
        std::fs::write(&results, json).map_err(ProofError::system(format!("write {}", results.display())))?;
        print(output, &report)?;
        Ok(are_met(&report.requirements))
    }
}

impl FitArguments {
    /// Always true: whoever started this process judges.
    pub fn run(self) -> Result<bool, ProofError> {
        let Self { task, estimator, schema, train, test } = self;
        fit(&FitSettings { task, estimator, schema, train, test })?;
        Ok(true)
    }
}

fn task(name: &str) -> Result<Task, String> {
    let found = Task::ALL.into_iter().find(|task| task.name() == name);
    found.ok_or_else(|| format!("{name:?} is no task: use logistic, logistic-splines or forest"))
}
