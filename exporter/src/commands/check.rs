//! Checks a file on the runtimes of this machine by the engine's program, before it is published.

use std::env;
use std::fmt::{self, Display, Formatter};
use std::path::{Path, PathBuf};
use std::process::Command;

use onnward_schemas::layout::{CONFIG_FILE, MODEL_FILE};
use serde::{Deserialize, Serialize};

use super::CommandError;
use crate::cli::repository::CheckArguments;

/// The engine's program, which stands beside the exporter's where both are installed together.
const ENGINE: &str = "onnward-engine";

/// The result of a check that passed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// The runtimes that ran the model.
    pub backends: Vec<String>,
    /// The number of golden rows that each of them reproduced; 0 for an external file, which has none.
    pub golden_rows: usize,
}

/// What is read of the engine's report.
#[derive(Deserialize)]
struct Report {
    #[serde(default)]
    golden_rows: usize,
    #[serde(default)]
    results: Vec<BackendResult>,
    #[serde(default)]
    comparisons: Vec<Comparison>,
}

#[derive(Deserialize)]
struct BackendResult {
    backend: String,
    failure: Option<String>,
}

#[derive(Deserialize)]
struct Comparison {
    failure: Option<String>,
}

/// Checks a file as the arguments say; `None` if it is not checked.
///
/// # Errors
/// [`CommandError::NoEngine`], [`CommandError::CheckFailed`].
pub fn check(
    arguments: &CheckArguments,
    file: &Path,
    bytes: &[u8],
    config: Option<&str>,
) -> Result<Option<Checked>, CommandError> {
    let beside = env::current_exe().ok().map(|own| own.with_file_name(ENGINE));
    match beside.filter(|program| program.is_file()) {
        _ if arguments.no_check => Ok(None),
        Some(program) => run(&program, file, bytes, config).map(Some),
        None if arguments.check => Err(CommandError::NoEngine),
        None => Ok(None),
    }
}

fn run(program: &Path, file: &Path, bytes: &[u8], config: Option<&str>) -> Result<Checked, CommandError> {
    let failed = |reason: String| CommandError::CheckFailed { path: file.to_owned(), reason };
    // The file that is published may differ from the one that was named: by its settings, or its config.toml.
    let folder = tempfile::tempdir().map_err(|source| CommandError::writing(&env::temp_dir(), source))?;
    let copy = folder.path().join(MODEL_FILE);
    write(&copy, bytes)?;
    if let Some(config) = config {
        write(&folder.path().join(CONFIG_FILE), config.as_bytes())?;
    }
    let output = Command::new(program).arg("check").arg(&copy).args(["--output", "json"]).output();
    let output =
        output.map_err(|error| failed(format!("{} cannot be started: {error}", program.display())))?;
    let report: Option<Report> = serde_json::from_slice(&output.stdout).ok();
    let said = String::from_utf8_lossy(&output.stderr);
    match report {
        Some(report) if output.status.success() => Ok(Checked::of(report)),
        Some(report) => Err(failed(report.failures())),
        None => {
            let error = said.lines().rev().find_map(|line| line.strip_prefix("error: "));
            let error = error.map_or_else(|| format!("it ended with {}", output.status), str::to_owned);
            Err(failed(error.replace(&format!("{}: ", copy.display()), "")))
        }
    }
}

fn write(path: &PathBuf, bytes: &[u8]) -> Result<(), CommandError> {
    std::fs::write(path, bytes).map_err(|source| CommandError::writing(path, source))
}

impl Report {
    fn failures(self) -> String {
        let results = self.results.into_iter().filter_map(|result| Some((result.backend, result.failure?)));
        let results = results.map(|(backend, failure)| format!("{backend}: {failure}"));
        let comparisons = self.comparisons.into_iter().filter_map(|comparison| comparison.failure);
        let failures: Vec<String> = results.chain(comparisons).collect();
        failures.join("; ")
    }
}

impl Checked {
    fn of(report: Report) -> Self {
        let passed = report.results.into_iter().filter(|result| result.failure.is_none());
        let mut backends: Vec<String> = passed.map(|result| result.backend).collect();
        backends.dedup();
        Self { backends, golden_rows: report.golden_rows }
    }
}

impl Display for Checked {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { backends, golden_rows } = self;
        let backends = backends.join(" and ");
        match golden_rows {
            0 => write!(f, "runs on {backends}"),
            rows => write!(f, "{rows} golden rows on {backends}"),
        }
    }
}
