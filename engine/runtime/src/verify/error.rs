use onnward_onnx::{ArtifactError, ExternalError};
use thiserror::Error;

use super::SmokeTestError;
use crate::backend::{BackendError, BackendKind};
use crate::cross_check::Difference;
use crate::golden::GoldenError;

/// Why a model is not verified.
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
    /// No backend can open it; what each of them says.
    #[error("{}", joined(.0))]
    Open(Vec<BackendError>),
    /// The backend computes something else than the trainer did.
    #[error("on {backend}, {source}")]
    Golden {
        /// The backend.
        backend: BackendKind,
        /// How it differs.
        source: GoldenError,
    },
    /// A foreign file leaves open how it is to be served.
    #[error("this foreign ONNX file cannot be served: {0}")]
    External(#[from] ExternalError),
    /// A foreign file does not give probabilities for rows.
    #[error("this foreign ONNX file cannot be served: {0}")]
    SmokeTest(#[from] SmokeTestError),
    /// The backend cannot run a batch, of another size than that of the golden rows.
    #[error("a {rows}-row batch cannot be scored: {source}")]
    WarmUp {
        /// How many rows the batch has.
        rows: usize,
        /// What the backend says.
        source: BackendError,
    },
    /// Two backends compute something else.
    #[error(transparent)]
    Differential(#[from] Box<Difference>),
    /// Nothing to run it on.
    #[error("no backend is available")]
    NoBackend,
}

fn joined(errors: &[BackendError]) -> String {
    errors.iter().map(BackendError::to_string).collect::<Vec<_>>().join("; ")
}
