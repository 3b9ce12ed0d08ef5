//! The errors that prevent a proof or a measurement from completing. A missed requirement is a result, not an
//! error.

use std::io;
use std::path::{Path, PathBuf};

use onnward_exporter::export::ExportError;
use onnward_models::{DatasetError, SampleError, TrainingError};
use onnward_repository::RepositoryError;
use onnward_schemas::SchemaError;
use thiserror::Error;

/// The reason why a proof or a measurement could not be completed.
#[derive(Debug, Error)]
pub enum HarnessError {
    /// A program is missing or does not start.
    #[error("cannot start {program}: {source}; build the programs with `make build`, or name another one")]
    Start {
        /// The program.
        program: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A program ended by itself.
    #[error("{program} exited unexpectedly; the end of its log:\n{log}")]
    Ended {
        /// The program.
        program: String,
        /// The last lines that it wrote.
        log: String,
    },
    /// The engine did not do something in time.
    #[error("timeout after {seconds} s: {what}; the end of its log:\n{log}")]
    TooLate {
        /// The time limit.
        seconds: u64,
        /// The state that it did not reach.
        what: String,
        /// The last lines that the engine wrote.
        log: String,
    },
    /// The engine does not answer as required.
    #[error("{request} was answered with {answer}")]
    Answer {
        /// The request.
        request: String,
        /// The answer or the failure.
        answer: String,
    },
    /// A file or another part of the system cannot be used.
    #[error("cannot {doing}: {source}")]
    System {
        /// The operation, and its object.
        doing: String,
        /// The system's error.
        source: io::Error,
    },
    /// The settings cannot be used, or a part of the harness has failed.
    #[error("{0}")]
    Settings(String),
    /// A schema is invalid.
    #[error("{path}: {source}")]
    Schema {
        /// The schema file.
        path: PathBuf,
        /// The problem.
        source: SchemaError,
    },
    /// No sample can be generated.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// A sample cannot be read back.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// The models cannot be trained.
    #[error(transparent)]
    Training(#[from] TrainingError),
    /// A model cannot be exported.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// An operation on a model repository failed.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// A document is not JSON.
    #[error("cannot read or write JSON: {0}")]
    Json(#[from] serde_json::Error),
}

impl HarnessError {
    /// Wraps a system error with what was being done.
    pub fn system(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::System { doing, source }
    }

    /// Wraps a system error of reading a file.
    pub fn reading(path: &Path) -> impl FnOnce(io::Error) -> Self {
        Self::system(format!("read {}", path.display()))
    }
}
