//! The commands other than `serve`.

mod api_key;
mod reload;

use std::fmt;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use api_key::{NewKey, api_key};
use chrono::{DateTime, Utc};
use onnward_http::answer::{Answer, check_predicted};
use onnward_http::auth::KeysFileError;
use onnward_onnx::{ArtifactError, ModelBounds};
use onnward_repository::FetchedModel;
use onnward_rows::{ParseError, ParsedRows, RowsLimits};
use onnward_runtime::backend::{Backend, Tract, load_onnxruntime};
use onnward_runtime::check::check as check_file;
use onnward_runtime::{Verifier, VerifyError};
use onnward_schemas::layout::{CONFIG_FILE, parse_version};
use onnward_schemas::{Manifest, Prediction, Predictions, Task, Violations, sha256_hex};
use onnward_serving::batcher::{BatchingConfig, SubmitError, Workers};
use onnward_serving::loader::{LoadError, Loader};
use onnward_serving::registry::ServingModel;
use onnward_telemetry::metrics::{Metrics, MetricsError};
pub use reload::reload;
use serde::Serialize;
use serde_json::json;
use thiserror::Error;

use crate::admin_client::{self, AdminClientError, AdminRequest};
use crate::app::AppError;
use crate::cli::Output;
use crate::config::{ONNXRUNTIME_LIBRARY_VARIABLE, keys};

/// An error of a command.
#[derive(Debug, Error)]
pub enum CommandError {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A backend does not reproduce the golden rows, or two backends disagree.
    #[error("{0} failed verification: a backend disagrees with the trainer or with another backend")]
    Failed(PathBuf),
    /// An external file passes its smoke test on no backend.
    #[error("{0} failed verification on every backend, for the reasons in the result")]
    SmokeTest(PathBuf),
    /// A key cannot expire before it is created.
    #[error("--expires {0} is in the past: choose a later time, or omit it for a key that does not expire")]
    Expired(DateTime<Utc>),
    /// The model cannot be loaded.
    #[error("{path}: {source}")]
    Load {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: LoadError,
    },
    /// The rows are not JSON.
    #[error("cannot read rows from {path}: {source}")]
    NoRows {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: ParseError,
    },
    /// The rows do not fit the schema.
    #[error("{path} does not fit the model's schema: {}", format_violations(.violations))]
    InvalidRows {
        /// The file.
        path: PathBuf,
        /// The violations.
        violations: Violations,
    },
    /// The rows were not scored.
    #[error(transparent)]
    Score(#[from] SubmitError),
    /// An API key cannot be created.
    #[error(transparent)]
    Keys(#[from] KeysFileError),
    /// A key cannot have this name.
    #[error("\"{0}\" is not a valid key name: use 1 to 64 of a-z, 0-9 and -")]
    KeyName(String),
    /// A key of this name already exists.
    #[error("{} already has a key named {name}: choose another name or remove it", path.display())]
    KeyExists {
        /// The file.
        path: PathBuf,
        /// The name.
        name: String,
    },
    /// An entry cannot be written as TOML.
    #[error("cannot write the key's entry as TOML: {0}")]
    Toml(toml::ser::Error),
    /// The system has no random numbers.
    #[error("cannot create an API key: the system's random number generator failed")]
    NoRandomness,
    /// A file cannot be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A running engine could not be reached, or rejected the request.
    #[error(transparent)]
    Remote(#[from] AdminClientError),
    /// The response is not an engine's.
    #[error("the response is not from an engine: {0}")]
    NotAnEngine(serde_json::Error),
    /// The process cannot be set up.
    #[error(transparent)]
    App(#[from] AppError),
    /// The metrics contradict each other.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// The result cannot be serialized as JSON.
    #[error("cannot write the result as JSON: {0}")]
    Json(serde_json::Error),
    /// The result cannot be printed.
    #[error("cannot print the result: {0}")]
    Print(io::Error),
}

/// Runs `health`: checks whether an engine is ready.
///
/// # Errors
/// [`CommandError`] unless the engine is ready.
pub fn health(request: AdminRequest, timeout: Duration, output: Output) -> Result<(), CommandError> {
    onnward_repository::prepare_tls();
    admin_client::send(request, timeout)?;
    match output {
        // Probes need the exit status alone.
        Output::Text => Ok(()),
        Output::Json => print(output, &json!({ "status": "ready" }), &""),
    }
}

/// Verifies `file` on every present backend, with the full graph and the subgraph, cross-checks the backends, and prints
/// the result. `library` is the shared library of ONNX Runtime; without it, the library is searched for.
///
/// # Errors
/// [`CommandError`] if the file cannot be read or the verification fails.
pub fn check(file: &Path, library: Option<&Path>, output: Output) -> Result<(), CommandError> {
    let bytes = read_model(file)?;
    let backends = present_backends(library);
    let report = check_file(&bytes, config_beside(file)?.as_deref(), &backends)
        .map_err(|source| CommandError::Load { path: file.to_owned(), source: source.into() })?;
    print(output, &report, &report)?;
    match (report.passed(), report.is_external) {
        (true, _) => Ok(()),
        (false, true) => Err(CommandError::SmokeTest(file.to_owned())),
        (false, false) => Err(CommandError::Failed(file.to_owned())),
    }
}

/// Loads every backend that is present, the preferred one first. Prints a warning with the cause if ONNX Runtime cannot
/// be used.
fn present_backends(library: Option<&Path>) -> Vec<Arc<dyn Backend>> {
    let tract: Arc<dyn Backend> = Arc::new(Tract::new());
    match load_onnxruntime(library) {
        Ok(runtime) => vec![runtime, tract],
        Err(error) => {
            eprintln!(
                "warning: only tract is used: {error} (environment variable {ONNXRUNTIME_LIBRARY_VARIABLE})"
            );
            vec![tract]
        }
    }
}

/// Prints the configuration reference.
///
/// # Errors
/// [`CommandError::Print`].
pub fn config_reference(output: Output) -> Result<(), CommandError> {
    print(output, &keys::reference_json(), &keys::reference())
}

/// Scores the rows of the JSON file `rows` with the model in `file`, and prints the response that the engine would send.
/// `library` is the shared library of ONNX Runtime; without it, the library is searched for.
///
/// # Errors
/// [`CommandError`] if a file cannot be read, a row does not fit the schema, or scoring fails.
pub fn predict(file: &Path, rows: &Path, library: Option<&Path>, output: Output) -> Result<(), CommandError> {
    let (name, version) = model_and_version(file);
    let model = load(file, &name, version.unwrap_or(UNKNOWN_VERSION), library)?;
    let invalid = |violations| CommandError::InvalidRows { path: rows.to_owned(), violations };
    let parsed = model.parser.parse(&read(rows)?, RowsLimits::NONE, false).map_err(|error| match error {
        ParseError::Invalid(violations) => invalid(violations),
        source => CommandError::NoRows { path: rows.to_owned(), source },
    });
    let ParsedRows { rows: encoded, shape: form, .. } = parsed?;

    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let runtime = runtime.map_err(AppError::Setup)?;
    let predictions = runtime.block_on(model.batcher.submit(encoded, Duration::MAX))?.predictions;
    check_predicted(&predictions, model.description.schema(), form).map_err(invalid)?;
    // These predictions are not stored, so they have no ids.
    let answer = Answer { model: &model, predictions: &predictions, form, first: None };
    print(output, &answer, &PredictionTable { model: &model, version, predictions: &predictions })
}

/// The version of a file that is not in a model repository.
const UNKNOWN_VERSION: u64 = 0;

fn load(file: &Path, name: &str, version: u64, library: Option<&Path>) -> Result<ServingModel, CommandError> {
    let bytes = read_model(file)?;
    let manifest =
        Manifest { sha256: sha256_hex(&bytes), size_bytes: bytes.len() as u64, ..Manifest::default() };
    let no_queue = BatchingConfig {
        workers: 1,
        max_batch_rows: None,
        max_queue_rows: usize::MAX,
        max_queue_delay: Duration::ZERO,
    };
    let loader = Loader {
        verifier: Verifier::new(present_backends(library)),
        batching: no_queue,
        workers: Workers::new(NonZeroUsize::MIN),
        drift: None,
        estimate_rows: 0,
        metrics: Arc::new(Metrics::new()?),
    };
    let fetched = FetchedModel {
        manifest,
        manifest_text: String::new(),
        signatures: Vec::new(),
        config: config_beside(file)?,
        bytes,
        from_cache: false,
    };
    let loaded = loader.load(name, version, &fetched);
    loaded.map_err(|source| CommandError::Load { path: file.to_owned(), source })
}

/// Reads the `config.toml` beside a file, as in a model repository.
fn config_beside(file: &Path) -> Result<Option<String>, CommandError> {
    let path = file.with_file_name(CONFIG_FILE);
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text)),
        Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(CommandError::Read { path, source }),
    }
}

/// Returns the model and the version that a path of a model repository names; for any other file, its name alone.
fn model_and_version(file: &Path) -> (String, Option<u64>) {
    let parts: Vec<&str> = file.iter().filter_map(|part| part.to_str()).collect();
    if let [.., model, version, _] = parts.as_slice()
        && let Some(version) = parse_version(version)
    {
        return ((*model).to_owned(), Some(version));
    }
    (file.file_stem().unwrap_or_default().to_string_lossy().into_owned(), None)
}

/// The human-readable predictions, one line per row.
struct PredictionTable<'a> {
    model: &'a ServingModel,
    /// The version, if the file is in a model repository.
    version: Option<u64>,
    predictions: &'a Predictions,
}

impl fmt::Display for PredictionTable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ServingModel { name, backend, description, .. } = self.model;
        let schema = description.schema();
        match self.version {
            Some(version) => writeln!(f, "{name} version {version} on {backend}")?,
            None => writeln!(f, "{name} on {backend}")?,
        }
        let label = &schema.label;
        match &label.task {
            Task::Binary(_) => writeln!(f, "{:>6}  {:<12}  {}", "row", "probability", label.name)?,
            Task::Classes(_) | Task::Number => writeln!(f, "{:>6}  {}", "row", label.name)?,
            Task::Raw(_) => writeln!(f, "{:>6}  outputs", "row")?,
        }
        let rows = (0..self.predictions.len()).filter_map(|row| Some((row, self.predictions.row(row)?)));
        for (row, prediction) in rows {
            match (&label.task, prediction) {
                (Task::Binary(binary), Prediction::Probability(probability)) => {
                    let positive = binary.is_positive(probability.to_f32());
                    writeln!(f, "{row:>6}  {probability:<12}  {positive}")?;
                }
                (Task::Classes(classes), Prediction::Class(index, _)) => {
                    writeln!(f, "{row:>6}  {}", classes.values.get(index).map_or("", String::as_str))?;
                }
                (_, prediction) => writeln!(f, "{row:>6}  {prediction}")?,
            }
        }
        Ok(())
    }
}

fn format_violations(violations: &Violations) -> String {
    let each = violations.listed().iter().map(|violation| {
        let place = match (violation.pointer.as_str(), violation.row) {
            ("", Some(row)) => format!("row {row}"),
            ("", None) => "the body".to_owned(),
            (pointer, _) => pointer.to_owned(),
        };
        format!("\n  {place}: expected {}, got {}", violation.expected, violation.got)
    });
    let more = violations.total() - violations.listed().len();
    let more = if more > 0 { format!("\n  and {more} more") } else { String::new() };
    each.collect::<String>() + &more
}

/// Reads a model file up to the size limit.
fn read_model(path: &Path) -> Result<Vec<u8>, CommandError> {
    let size =
        std::fs::metadata(path).map_err(|source| CommandError::Read { path: path.to_owned(), source })?.len();
    let too_large = |source| CommandError::Load {
        path: path.to_owned(),
        source: VerifyError::Artifact(ArtifactError::Bounds(source)).into(),
    };
    ModelBounds::default().check_size(size).map_err(too_large)?;
    read(path)
}

/// Reads a file as text.
///
/// # Errors
/// [`CommandError::Read`].
pub fn read_text(path: &Path) -> Result<String, CommandError> {
    std::fs::read_to_string(path).map_err(|source| CommandError::Read { path: path.to_owned(), source })
}

fn read(path: &Path) -> Result<Vec<u8>, CommandError> {
    std::fs::read(path).map_err(|source| CommandError::Read { path: path.to_owned(), source })
}

/// Prints to standard output. A closed pipe (`| head`) is not an error.
fn print(output: Output, json: &impl Serialize, text: &impl fmt::Display) -> Result<(), CommandError> {
    let printed = match output {
        Output::Text => text.to_string(),
        Output::Json => serde_json::to_string_pretty(json).map_err(CommandError::Json)?,
    };
    match writeln!(io::stdout(), "{}", printed.trim_end()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(CommandError::Print(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_file_of_a_repository_has_a_version() {
        let named = |path: &str| model_and_version(Path::new(path));
        assert_eq!(named("model-repository/churn/3/model.onnx"), ("churn".to_owned(), Some(3)));
        assert_eq!(named("report/forest.onnx"), ("forest".to_owned(), None));
        assert_eq!(named("a/folder/of/reports/forest.onnx"), ("forest".to_owned(), None));
    }
}
