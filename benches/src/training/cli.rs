//! The command lines of `train` and of the processes that it measures.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use onnward_harness::HarnessError;
use onnward_harness::cli::{Output, are_met, bar, family, print};
use onnward_models::Family;

use super::{FitSettings, Task, TrainingSettings, fit, run};

#[derive(Debug, Args)]
#[command(after_help = "\
scikit-learn runs in the Python that `make bench-train` sets up. Linux alone tells what a process uses.

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
    /// Output format
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct FitArguments {
    #[arg(value_parser = task)]
    task: Task,
    #[arg(value_parser = family)]
    family: Family,
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
            let fix = "run `make bench-train`, which sets it up, or name another one with --python";
            return Err(HarnessError::Settings(format!("there is no Python at {python}: {fix}")));
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
                .map_err(HarnessError::system(format!("make {}", folder.display())))?;
        }
        let json = serde_json::to_string_pretty(&report)?;
        std::fs::write(&results, json)
            .map_err(HarnessError::system(format!("write {}", results.display())))?;
        print(output, &report)?;
        Ok(are_met(&report.requirements))
    }
}

impl FitArguments {
    /// Always true: whoever started this process judges.
    pub fn run(self) -> Result<bool, HarnessError> {
        let Self { task, family, schema, train, test } = self;
        fit(&FitSettings { task, family, schema, train, test })?;
        Ok(true)
    }
}

fn task(name: &str) -> Result<Task, String> {
    let found = Task::ALL.into_iter().find(|task| task.name() == name);
    found.ok_or_else(|| format!("{name:?} is no task: use logistic, logistic-splines or forest"))
}
