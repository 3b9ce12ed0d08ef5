use std::io;
use std::path::{Path, PathBuf};

use onnward_models::{DatasetError, InferError, SampleError, TrainingError};
use onnward_onnx::{ArtifactError, ExternalError};
use onnward_repository::{RepositoryError, SignatureError};
use onnward_schemas::SchemaError;
use thiserror::Error;

use crate::export::ExportError;
use crate::report::ReportError;

/// Why a command failed.
#[derive(Debug, Error)]
pub enum CommandError {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the file system says.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the file system says.
        source: io::Error,
    },
    /// The result cannot be printed.
    #[error("cannot print the result: {0}")]
    Print(io::Error),
    /// The result cannot be written as JSON.
    #[error("cannot write the result as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// A schema is not usable.
    #[error("{path}: {source}")]
    Schema {
        /// The schema file.
        path: PathBuf,
        /// What is wrong with it.
        source: SchemaError,
    },
    /// A file is not an ONNX file that can be inspected.
    #[error("{path}: {source}")]
    Artifact {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: ArtifactError,
    },
    /// A foreign ONNX file could not be served.
    #[error("{path}: {source} (a config.toml is given with --config)")]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it leaves open.
        source: Box<ExternalError>,
    },
    /// A file that describes itself was to be described by another.
    #[error("{path} describes itself: leave --config out, which is for ONNX files of other programs")]
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
    /// Something cannot be done in a model repository.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// A version is published, and its alias is where it was.
    #[error("version {version} of {model} is published, but the alias {alias} does not name it: {source}")]
    NotPromoted {
        /// The model.
        model: String,
        /// The new version.
        version: u64,
        /// The alias.
        alias: String,
        /// Why it was not moved.
        source: Box<RepositoryError>,
    },
    /// A key cannot be used.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// A key was to be written over a file.
    #[error("{path} is there already, and no key is written over a file: choose another name with --out")]
    KeyExists {
        /// The file.
        path: PathBuf,
    },
    /// There is no runtime for input and output.
    #[error("cannot start the runtime: {0}")]
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
