use onnward_onnx::{ArtifactError, ExternalError};
use thiserror::Error;

use super::SmokeTestError;
use crate::backend::{BackendError, BackendKind};
use crate::cross_check::Disagreement;
use crate::golden::GoldenError;
use crate::isolation::IsolationError;
use crate::memory::MemoryError;

/// The reason why a model is not verified.
#[derive(Debug, Error)]
pub enum VerifyError {
    /// The file is not an artifact, or contradicts itself.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// The file is not the one that its manifest describes.
    #[error("the manifest has the fingerprint {manifest:?}, the artifact {artifact:?}: publish it again")]
    Fingerprint {
        /// The manifest's.
        manifest: String,
        /// The artifact's.
        artifact: String,
    },
    /// No backend can open it; holds the error of each.
    #[error("{}", joined(.0))]
    Open(Vec<BackendError>),
    /// The backend computes something else than the trainer did.
    #[error("on {backend}, {source}")]
    Golden {
        /// The backend.
        backend: BackendKind,
        /// The difference.
        source: GoldenError,
    },
    /// An external file does not state how to serve it.
    #[error("this external ONNX file cannot be served: {0}")]
    External(#[from] ExternalError),
    /// An external file does not return probabilities for rows.
    #[error("this external ONNX file cannot be served: {0}")]
    SmokeTest(#[from] SmokeTestError),
    /// The backend cannot run a batch of another size than that of the golden rows.
    #[error("a {rows}-row batch cannot be scored: {source}")]
    WarmUp {
        /// The number of rows in the batch.
        rows: usize,
        /// The backend's error.
        source: BackendError,
    },
    /// Two backends disagree.
    #[error(transparent)]
    CrossCheck(#[from] Box<Disagreement>),
    /// The model does not fit into memory.
    #[error("the model does not fit: {0}")]
    Memory(#[from] MemoryError),
    /// It does not run in a process of its own.
    #[error("the model cannot be served: {0}")]
    Isolated(#[from] IsolationError),
    /// No backend is available.
    #[error("no backend is available")]
    NoBackend,
    /// The model is not wanted any more.
    #[error("its verification was cancelled")]
    Cancelled,
}

fn joined(errors: &[BackendError]) -> String {
    errors.iter().map(BackendError::to_string).collect::<Vec<_>>().join("; ")
}
