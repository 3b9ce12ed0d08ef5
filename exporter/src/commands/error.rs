use std::io;
use std::path::{Path, PathBuf};

use onnward_models::{DatasetError, InferError, SampleError, TrainingError};
use onnward_onnx::{ArtifactError, ExternalError};
use onnward_repository::{RepositoryError, SignatureError};
use onnward_schemas::SchemaError;
use thiserror::Error;

use crate::export::ExportError;
use crate::report::ReportError;

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
    /// An external ONNX file cannot be served.
    #[error("{path}: {source} (a config.toml is given with --config)")]
    External {
        /// The file.
        path: PathBuf,
        /// The problem, which a config.toml may solve.
        source: Box<ExternalError>,
    },
    /// A config.toml was given for a file that needs none.
    #[error("{path} contains its own metadata: omit --config, which is for external ONNX files")]
    NeedlessConfig {
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

impl CommandError {
    pub(super) fn reading(path: &Path, source: io::Error) -> Self {
        Self::Read { path: path.to_owned(), source }
    }

    pub(super) fn writing(path: &Path, source: io::Error) -> Self {
        Self::Write { path: path.to_owned(), source }
    }
}
