//! Why a proof could not be run to its end. A requirement that is missed is no error but a result.

use std::io;
use std::path::{Path, PathBuf};

use onnward_exporter::export::ExportError;
use onnward_models::{DatasetError, SampleError, TrainingError};
use onnward_repository::RepositoryError;
use onnward_schemas::SchemaError;
use thiserror::Error;

/// Why a proof could not be run to its end.
#[derive(Debug, Error)]
pub enum HarnessError {
    /// A program is not there or does not start.
    #[error("cannot start {program}: {source}; build the programs with `make build`, or name another one")]
    Start {
        /// The program.
        program: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A program ended by itself.
    #[error("{program} has ended by itself; the end of its log:\n{log}")]
    Ended {
        /// The program.
        program: String,
        /// The last lines that it wrote.
        log: String,
    },
    /// The engine did not come to do something in time.
    #[error("the engine was given {seconds} s, and {what}; the end of its log:\n{log}")]
    TooLate {
        /// How long it was given.
        seconds: u64,
        /// What it did not come to do.
        what: String,
        /// The last lines that the engine wrote.
        log: String,
    },
    /// The engine does not answer as it should.
    #[error("{request} is answered with {answer}")]
    Answer {
        /// What was asked.
        request: String,
        /// The answer or the failure.
        answer: String,
    },
    /// A file or another part of the system cannot be used.
    #[error("cannot {doing}: {source}")]
    System {
        /// What was being done, to what.
        doing: String,
        /// What the system says.
        source: io::Error,
    },
    /// The proof cannot be run as it was asked for.
    #[error("{0}")]
    Settings(String),
    /// A schema is not usable.
    #[error("{path}: {source}")]
    Schema {
        /// The schema file.
        path: PathBuf,
        /// What is wrong with it.
        source: SchemaError,
    },
    /// No sample can be drawn.
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
    /// Something cannot be done in a model repository.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// A document is not JSON.
    #[error("cannot read or write JSON: {0}")]
    Json(#[from] serde_json::Error),
}

impl HarnessError {
    /// Wraps what the system says of an attempt to do something.
    pub fn system(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::System { doing, source }
    }

    /// As [`HarnessError::system`], of reading a file.
    pub fn reading(path: &Path) -> impl FnOnce(io::Error) -> Self {
        Self::system(format!("read {}", path.display()))
    }
}
