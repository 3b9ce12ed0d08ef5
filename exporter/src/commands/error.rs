use std::io;
use std::path::{Path, PathBuf};

use onnward_models::{DatasetError, InferError, SampleError, TrainingError};
use onnward_onnx::{ArtifactError, ExternalDataError, ExternalError, FunctionsError};
use onnward_quality::drift::{CombineError, PageError};
use onnward_repository::{RepositoryError, SignatureError};
use onnward_schemas::SchemaError;
use onnward_schemas::compatibility::Difference;
use onnward_schemas::error_document::ErrorDocument;
use thiserror::Error;

use crate::expected_rows::ExpectedRowsFileError;
use crate::export::ExportError;
use crate::report::ReportError;
use crate::settings::SettingsError;

/// The reason why a command failed.
#[derive(Debug, Error)]
pub enum CommandError {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The result cannot be printed.
    #[error("cannot print the result: {0}")]
    Print(io::Error),
    /// The result cannot be converted to JSON.
    #[error("cannot write the result as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// A schema file is invalid.
    #[error("{path}: {source}")]
    Schema {
        /// The schema file.
        path: PathBuf,
        /// The problem.
        source: SchemaError,
    },
    /// A file is not a readable ONNX file.
    #[error("{path}: {source}")]
    Artifact {
        /// The file.
        path: PathBuf,
        /// The problem.
        source: ArtifactError,
    },
    /// Weights beside a model cannot be folded into it.
    #[error("{path}: {source}")]
    ExternalData {
        /// The file.
        path: PathBuf,
        /// The problem.
        source: ExternalDataError,
    },
    /// The functions of a model cannot be inlined.
    #[error("{path}: {source}")]
    Functions {
        /// The file.
        path: PathBuf,
        /// The problem.
        source: FunctionsError,
    },
    /// Rows with expected outputs cannot be read.
    #[error(transparent)]
    ExpectedRows(#[from] ExpectedRowsFileError),
    /// Rows with expected outputs are given for an artifact.
    #[error("{}: an artifact of Onnward has golden rows of its own: leave --golden out", .0.display())]
    GoldenRows(PathBuf),
    /// An external ONNX file cannot be served.
    #[error("{path}: {source} (a config.toml is given with --config)")]
    External {
        /// The file.
        path: PathBuf,
        /// The problem, which a config.toml may solve.
        source: Box<ExternalError>,
    },
    /// Serving settings cannot be applied to an artifact.
    #[error("cannot change the settings of {path}: {source}")]
    Settings {
        /// The file.
        path: PathBuf,
        /// The problem.
        source: SettingsError,
    },
    /// A version of other rows would take the place of the one that is served.
    #[error(
        "this version cannot take the place of version {served} of {model}, which is served, without errors for its \
         clients: {}; to serve it nevertheless, run `{command}`",
        listed(.differences)
    )]
    OtherSchema {
        /// The model.
        model: String,
        /// The version that is served.
        served: u64,
        /// The differences.
        differences: Vec<Difference>,
        /// The command that does it.
        command: String,
    },
    /// A published version cannot be read.
    #[error("version {version} of {model} cannot be read: {what}")]
    Unreadable {
        /// The model.
        model: String,
        /// The version.
        version: u64,
        /// The problem.
        what: String,
    },
    /// The engine's program is not there.
    #[error(
        "cannot check the file: there is no program onnward-engine beside this one: install both in one folder, or \
         omit --check"
    )]
    NoEngine,
    /// A file has failed its check.
    #[error("{path} was not published, since its check failed: {reason}")]
    CheckFailed {
        /// The file.
        path: PathBuf,
        /// The failures.
        reason: String,
    },
    /// The secret of webhooks cannot sign.
    #[error(
        "the secret of the webhooks is not valid: it must be 24 bytes or more in base64, after `whsec_` or without \
         it: make one with `openssl rand -base64 32`"
    )]
    WebhookSecret,
    /// The key for the target of a copy has one part alone.
    #[error("the key for the store to copy to has two parts: set {id} and {secret}, or neither")]
    TargetKey {
        /// The variable of its id.
        id: &'static str,
        /// The variable of its secret.
        secret: &'static str,
    },
    /// A variable is not as it must be.
    #[error("{variable} is {value:?}, but must be true or false")]
    Variable {
        /// The variable.
        variable: &'static str,
        /// Its value.
        value: String,
    },
    /// No header can hold the key for an engine.
    #[error("the key for the engines has invalid characters: the file or variable must hold only the key")]
    Key,
    /// The HTTP client cannot be created.
    #[error("cannot create an HTTP client: {0}")]
    HttpClient(String),
    /// An engine does not serve the version.
    #[error("the repository is changed, but {} of {engines} engines do not serve version {version}: {}", .missing.len(), .missing.join("; "))]
    NotServed {
        /// The version.
        version: u64,
        /// The number of engines.
        engines: usize,
        /// The engines that do not, with their reasons.
        missing: Vec<String>,
    },
    /// Some models could not be cleaned up, and others were.
    #[error("{} of the models were passed over, and nothing of them was deleted: {}; the rest is done", .models.len(), .models.join("; "))]
    PassedOver {
        /// The models, with the reasons.
        models: Vec<String>,
    },
    /// Some engines do not report, so the figures of all cannot be added.
    #[error("the figures of all engines cannot be added, since {} of them do not report: {}", .0.len(), .0.join("; "))]
    EngineReports(Vec<String>),
    /// The reports of engines cannot be added.
    #[error("the reports of the engines cannot be added: {0}")]
    Combine(#[from] CombineError),
    /// A file of what engines had counted is invalid.
    #[error(
        "{path} is not a file that `drift --state` has written for this model ({problem}): remove it, or name another"
    )]
    State {
        /// The file.
        path: PathBuf,
        /// The problem.
        problem: String,
    },
    /// A page cannot be rendered.
    #[error("cannot render the page: {0}")]
    Page(#[from] PageError),
    /// A file to be written exists.
    #[error("{path} already exists, and nothing is overwritten: choose another folder with --out")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// No schema can be proposed.
    #[error(transparent)]
    Infer(#[from] InferError),
    /// No sample can be drawn.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// A table cannot be used.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// The models cannot be trained.
    #[error(transparent)]
    Training(#[from] TrainingError),
    /// A model cannot be exported.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// The report cannot be written.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// A model repository reports an error.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// A version is published, but its alias was not moved.
    #[error(
        "version {version} of {model} is published, but the alias {alias} does not point at it: {source}"
    )]
    NotPromoted {
        /// The model.
        model: String,
        /// The new version.
        version: u64,
        /// The alias.
        alias: String,
        /// The error of the repository.
        source: Box<RepositoryError>,
    },
    /// A key cannot be used.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// A new key would overwrite a file.
    #[error("{path} already exists, and a key never overwrites a file: choose another name with --out")]
    KeyExists {
        /// The file.
        path: PathBuf,
    },
    /// The asynchronous runtime cannot be started.
    #[error("cannot start the asynchronous runtime: {0}")]
    Runtime(io::Error),
}

/// The number of differences that an error lists.
const LISTED: usize = 10;

fn listed(differences: &[Difference]) -> String {
    let shown: Vec<String> = differences.iter().take(LISTED).map(ToString::to_string).collect();
    match differences.len().saturating_sub(LISTED) {
        0 => shown.join("; "),
        more => format!("{}; and {more} more", shown.join("; ")),
    }
}

/// The exit code of a failure.
pub const FAILURE: u8 = 1;
/// The exit code of a command line that makes no sense.
pub const USAGE_ERROR: u8 = 2;
/// The exit code of a change that was made, and that an engine does not serve.
pub const NOT_SERVED: u8 = 3;

impl CommandError {
    /// Returns the exit code of the program.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NotServed { .. } => NOT_SERVED,
            _ => FAILURE,
        }
    }

    /// Returns the error as programs read it.
    pub fn document(&self) -> ErrorDocument {
        let document = ErrorDocument::new(self, self.exit_code());
        match self {
            Self::OtherSchema { differences, .. } => document.with_differences(differences),
            _ => document,
        }
    }

    pub(super) fn reading(path: &Path, source: io::Error) -> Self {
        Self::Read { path: path.to_owned(), source }
    }

    pub(super) fn writing(path: &Path, source: io::Error) -> Self {
        Self::Write { path: path.to_owned(), source }
    }
}
