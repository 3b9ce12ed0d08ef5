//! The command lines of `train` and of the processes that it measures.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use onnward_models::Estimator;

use super::{FitSettings, Task, TrainingSettings, fit, run};
use onnward_harness::HarnessError;
use onnward_harness::cli::{Output, bar, print};
use onnward_harness::requirement::are_met;

#[derive(Debug, Args)]
#[command(after_help = "\
scikit-learn runs in the Python environment of `make bench-train`. What a process uses is measured on Linux only.

Examples:
  onnward-bench train
  onnward-bench train --tasks forest --rounds 1 --libraries
  onnward-bench train --rows 100000 --output json")]
pub(crate) struct TrainingArguments {
    /// Rows of the sampled training table
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1000..))]
    rows: u64,
    /// Rows of the sampled test table
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1000..))]
    test_rows: u64,
    /// Number of rounds, in which trainers take turns
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    rounds: u64,
    /// Tasks to fit
    #[arg(long, value_delimiter = ',', value_parser = task, default_value = "logistic,logistic-splines,forest")]
    tasks: Vec<Task>,
    /// Also run the families of linfa and smartcore, which takes minutes
    #[arg(long)]
    libraries: bool,
    /// Python interpreter with scikit-learn
    #[arg(long, value_name = "FILE", default_value = "target/peers/training/bin/python")]
    python: PathBuf,
    /// Script that runs scikit-learn
    #[arg(long, value_name = "FILE", default_value = "benches/peers/training/train.py")]
    script: PathBuf,
    /// Schema from which rows are sampled
    #[arg(long, value_name = "FILE", default_value = "schemas/telco.toml")]
    schema: PathBuf,
    /// JSON file for the figures
    #[arg(long, value_name = "FILE", default_value = "target/bench/training.json")]
    results: PathBuf,
    /// Output format
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Output::Text)]
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
    /// Runs the command and returns whether all requirements are met.
    pub fn run(self) -> Result<bool, HarnessError> {
        let Self { rows, test_rows, rounds, tasks, libraries, python, script, schema, results, output } =
            self;
        if !python.is_file() {
            let python = python.display();
            let fix = "run `make bench-train`, which creates it, or choose another one with --python";
            return Err(HarnessError::Settings(format!("there is no Python at {python}: {fix}")));
        }
        let settings = TrainingSettings { schema, rows, test_rows, rounds, python, script, tasks, libraries };
        let bar = bar(settings.runs(), "sampling the tables");
        // A forest of scikit-learn takes minutes: the display shows that time passes.
        bar.enable_steady_tick(Duration::from_secs(1));
        let report = run(&settings, |next| match next {
            Some(next) => bar.set_message(next),
            None => bar.inc(1),
        })?;
        bar.finish_and_clear();
        if let Some(folder) = results.parent() {
            std::fs::create_dir_all(folder)
                .map_err(HarnessError::system(format!("create {}", folder.display())))?;
        }
        let json = serde_json::to_string_pretty(&report)?;
        std::fs::write(&results, json)
            .map_err(HarnessError::system(format!("write {}", results.display())))?;
        print(output, &report)?;
        Ok(are_met(&report.requirements))
    }
}

impl FitArguments {
    /// Runs one fit. The parent process evaluates it, so this always returns true.
    pub fn run(self) -> Result<bool, HarnessError> {
        let Self { task, estimator, schema, train, test } = self;
        fit(&FitSettings { task, estimator, schema, train, test })?;
        Ok(true)
    }
}

fn task(name: &str) -> Result<Task, String> {
    let found = Task::ALL.into_iter().find(|task| task.name() == name);
    found.ok_or_else(|| format!("unknown task {name:?}: use logistic, logistic-splines or forest"))
}
