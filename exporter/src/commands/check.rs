//! Checks a file on the runtimes of this machine by the engine's program, before it is published.

use std::env;
use std::fmt::{self, Display, Formatter};
use std::fs::File;
use std::io;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

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

/// The largest file that is checked without being asked for. ONNX Runtime may take forty times the size of a forest.
const MAX_UNASKED_BYTES: usize = 16 << 20;
/// The longest time of a check.
const TIMEOUT: Duration = Duration::from_secs(600);
/// The time between two looks at whether the check has ended.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Whether a file is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decision {
    /// It is checked.
    Check,
    /// It is not, as the command line or a missing program says.
    Skip,
    /// It is not, since nobody asked for it and the file is large.
    TooLarge,
    /// It was asked for and cannot be done.
    NoEngine,
}

impl Decision {
    fn of(arguments: &CheckArguments, has_program: bool, size: usize) -> Self {
        match (arguments.check, has_program) {
            _ if arguments.no_check => Self::Skip,
            (true, false) => Self::NoEngine,
            (false, false) => Self::Skip,
            (false, true) if size > MAX_UNASKED_BYTES => Self::TooLarge,
            (_, true) => Self::Check,
        }
    }
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
    let program = env::current_exe().map(|own| own.with_file_name(ENGINE)).unwrap_or_default();
    match Decision::of(arguments, program.is_file(), bytes.len()) {
        Decision::Check => run(&program, file, bytes, config).map(Some),
        Decision::Skip => Ok(None),
        Decision::TooLarge => {
            let size = bytes.len();
            eprintln!(
                "warning: {} was not checked, since it has {size} bytes and the check may take forty times as \
                 much memory: --check does it nevertheless",
                file.display()
            );
            Ok(None)
        }
        Decision::NoEngine => Err(CommandError::NoEngine),
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
    let output = run_to_its_end(program, &copy)
        .map_err(|error| failed(format!("{} cannot be run: {error}", program.display())))?;
    let Some(Output { status, stdout, stderr }) = output else {
        return Err(failed(format!("it did not end within {TIMEOUT:?}")));
    };
    match serde_json::from_slice::<Report>(&stdout) {
        Ok(report) if status.success() => Ok(Checked::of(report)),
        Ok(report) => Err(failed(report.failures())),
        Err(_) => {
            let said = String::from_utf8_lossy(&stderr);
            let error = said.lines().rev().find_map(|line| line.strip_prefix("error: "));
            let error = error.map_or_else(|| format!("it ended with {status}"), str::to_owned);
            Err(failed(error.replace(&format!("{}: ", copy.display()), "")))
        }
    }
}

/// Runs the engine's check of a file, and returns its output; `None` if it takes too long.
fn run_to_its_end(program: &Path, model: &Path) -> io::Result<Option<Output>> {
    let [stdout, stderr] = ["stdout", "stderr"].map(|name| model.with_file_name(name));
    let mut child = Command::new(program)
        .arg("check")
        .arg(model)
        .args(["--output", "json"])
        .stdin(Stdio::null())
        .stdout(File::create(&stdout)?)
        .stderr(File::create(&stderr)?)
        .spawn()?;
    let deadline = Instant::now() + TIMEOUT;
    loop {
        if let Some(status) = child.try_wait()? {
            let (stdout, stderr) = (std::fs::read(stdout)?, std::fs::read(stderr)?);
            return Ok(Some(Output { status, stdout, stderr }));
        }
        if Instant::now() >= deadline {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        sleep(POLL_INTERVAL);
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), CommandError> {
    std::fs::write(path, bytes).map_err(|source| CommandError::writing(path, source))
}

impl Report {
    fn failures(self) -> String {
        let mut failures: Vec<(Vec<String>, String)> = Vec::new();
        for BackendResult { backend, failure } in self.results {
            let Some(failure) = failure else { continue };
            // Runtimes that fail alike are named together.
            match failures.iter_mut().find(|(_, other)| *other == failure) {
                Some((backends, _)) if !backends.contains(&backend) => backends.push(backend),
                Some(_) => {}
                None => failures.push((vec![backend], failure)),
            }
        }
        let results =
            failures.into_iter().map(|(backends, failure)| format!("{}: {failure}", backends.join(" and ")));
        let comparisons = self.comparisons.into_iter().filter_map(|comparison| comparison.failure);
        results.chain(comparisons).collect::<Vec<_>>().join("; ")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_checked_where_it_can_be_unless_it_is_large_or_that_is_unwanted() {
        let decide = |check, no_check, has_program, size| {
            Decision::of(&CheckArguments { check, no_check }, has_program, size)
        };
        let (small, large) = (1000, MAX_UNASKED_BYTES + 1);
        assert_eq!(decide(false, false, true, small), Decision::Check);
        assert_eq!(decide(false, false, false, small), Decision::Skip);
        assert_eq!(decide(false, false, true, large), Decision::TooLarge);
        assert_eq!(decide(true, false, true, large), Decision::Check);
        assert_eq!(decide(true, false, false, small), Decision::NoEngine);
        assert_eq!(decide(false, true, true, small), Decision::Skip);
    }
}
