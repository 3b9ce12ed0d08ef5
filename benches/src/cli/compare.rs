//! `onnward-bench compare`, and `onnward-bench session`, which it calls.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use onnward_models::Family;

use crate::comparison::scenario::Scenario;
use crate::comparison::session::{self, SessionPlan};
use crate::comparison::subject::{Files, Subject};
use crate::comparison::{ComparisonSettings, Progress, chart, run};
use onnward_harness::HarnessError;
use onnward_harness::cli::{Output, family, positive, print, program, variable};

#[derive(Debug, Args)]
#[command(after_help = "\
The peers' environments are installed once, by pip, into --environments. A peer that cannot be installed is left out.

Examples:
  onnward-bench compare
  onnward-bench compare --data customers.csv --publish benches/results
  onnward-bench compare --quick --only bare onnward-onnxruntime --families logistic")]
pub struct CompareArguments {
    /// The table, a CSV file [default: rows sampled from the schema]
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// Measure for a short time; the figures vary more
    #[arg(long)]
    quick: bool,
    /// Subjects to compare [default: all]
    #[arg(long, value_enum, num_args = 1.., value_name = "WHO")]
    only: Vec<Subject>,
    /// Model families
    #[arg(long, num_args = 1.., value_parser = family, default_values = ["logistic", "forest"], value_name = "FAMILY")]
    families: Vec<Family>,
    /// Number of rounds, in which subjects take turns [default: 3, or 1 with --quick]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=100))]
    rounds: Option<u16>,
    /// Length of a window, in seconds; three make a run [default: 0.5, or 0.25 with --quick]
    #[arg(long, value_parser = positive)]
    window: Option<f64>,
    /// Skip the measurement at three times Onnward's capacity
    #[arg(long)]
    no_overload: bool,
    /// Environment variable of the engine; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
    engine_env: Vec<(String, String)>,
    /// Also write the results into this folder, such as benches/results
    #[arg(long, value_name = "FOLDER")]
    publish: Option<PathBuf>,
    /// The engine's program [default: onnward-engine beside this program]
    #[arg(long, value_name = "PATH")]
    engine: Option<PathBuf>,
    /// Python interpreter for the peers' environments
    #[arg(long, default_value = "python3")]
    python: String,
    /// Folder of the peers' sources
    #[arg(long, value_name = "FOLDER", default_value = "benches/peers")]
    peers: PathBuf,
    /// Folder of the peers' environments
    #[arg(long, value_name = "FOLDER", default_value = "target/peers")]
    environments: PathBuf,
    /// Folder for models, logs and results
    #[arg(long, value_name = "FOLDER", default_value = "target/comparison")]
    work: PathBuf,
    /// Schema of the table
    #[arg(long, value_name = "FILE", default_value = "schemas/telco.toml")]
    schema: PathBuf,
    /// Output format
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Output::Text)]
    output: Output,
}

#[derive(Debug, Args)]
pub struct SessionArguments {
    /// Backend: onnxruntime or tract
    #[arg(long)]
    backend: String,
    /// The artifact
    #[arg(long, value_name = "FILE")]
    artifact: PathBuf,
    /// Rows, as the body of a request
    #[arg(long, value_name = "FILE")]
    rows: PathBuf,
    /// Processors to run on; may be repeated
    #[arg(long)]
    processor: Vec<usize>,
}

impl SessionArguments {
    pub fn run(self) -> Result<bool, HarnessError> {
        let Self { backend, artifact, rows, processor: processors } = self;
        println!("{}", session::time(&SessionPlan { backend, artifact, rows, processors })?);
        Ok(true)
    }
}

impl CompareArguments {
    pub fn run(self) -> Result<bool, HarnessError> {
        let (settings, folders, output) = (self.settings()?, self.folders(), self.output);
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{elapsed:>4} {wide_bar:.cyan/dim} {pos} of {len} {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        let show = |what: String| {
            // Without a terminal to draw on, print a line for each step.
            if bar.is_hidden() {
                eprintln!("{:>5.0} s  {what}", bar.elapsed().as_secs_f64());
            }
            bar.set_message(what);
        };
        let report = run(&settings, &|progress| match progress {
            Progress::Doing(what) => show(what),
            Progress::Begins(count) => bar.set_length(count),
            Progress::Measuring(what) => {
                bar.inc(1);
                show(what);
            }
        });
        bar.finish_and_clear();
        let report = report?;
        print(output, &report)?;
        for folder in folders {
            chart::write(&report, &folder)?;
            eprintln!("results.json, comparison.svg and comparison.html are in {}", folder.display());
        }
        // A target that is missed is a result like another.
        Ok(true)
    }

    fn folders(&self) -> Vec<PathBuf> {
        [Some(self.work.clone()), self.publish.clone()].into_iter().flatten().collect()
    }

    fn settings(&self) -> Result<ComparisonSettings, HarnessError> {
        let (rounds, window, warm_up) = if self.quick { (1, 0.25, 0.1) } else { (3, 0.5, 0.3) };
        let bench = std::env::current_exe().map_err(HarnessError::system("find this program"))?;
        Ok(ComparisonSettings {
            files: Files {
                engine: program("onnward-engine", self.engine.as_deref())?,
                bench,
                peers: self.peers.clone(),
                work: self.work.clone(),
                engine_environment: self.engine_env.clone(),
            },
            schema: self.schema.clone(),
            table: self.data.clone(),
            environments: self.environments.clone(),
            python: self.python.clone(),
            subjects: if self.only.is_empty() { Subject::ALL.to_vec() } else { self.only.clone() },
            families: self.families.clone(),
            scenarios: if self.quick { Scenario::QUICK.to_vec() } else { Scenario::ALL.to_vec() },
            rounds: self.rounds.map_or(rounds, usize::from),
            window: Duration::from_secs_f64(self.window.unwrap_or(window)),
            warm_up: Duration::from_secs_f64(warm_up),
            overload: !self.no_overload,
        })
    }
}
