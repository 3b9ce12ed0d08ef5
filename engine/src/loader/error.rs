use onnward_onnx::{ArtifactError, ExternalError};
use thiserror::Error;

use crate::backend::{BackendError, BackendKind};
use crate::differential::Difference;
use crate::golden::GoldenError;
use crate::loader::TrialError;

/// Why a model is not served.
#[derive(Debug, Error)]
pub enum LoadError {
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
    Foreign(#[from] ExternalError),
    /// A foreign file does not give probabilities for rows.
    #[error("this foreign ONNX file cannot be served: {0}")]
    Trial(#[from] TrialError),
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
    /// A runtime panicked.
    #[error("a runtime panicked while the model was opened or tried")]
    Panicked,
    /// The system gives no thread.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
    /// Nothing to run it on.
    #[error("no backend is available")]
    NoBackend,
}

/// The step of a load that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoadStep {
    /// Reading the file.
    Artifact,
    /// Holding it against its manifest.
    Fingerprint,
    /// Opening it on a backend.
    Open,
    /// Replaying its golden rows.
    Golden,
    /// Trying a foreign file on rows made from its inputs.
    Trial,
    /// Running batches of several sizes.
    WarmUp,
    /// Comparing two backends.
    Differential,
    /// Starting its workers.
    Thread,
    /// Finding a backend.
    NoBackend,
}

impl LoadError {
    /// The step that failed.
    pub fn step(&self) -> LoadStep {
        match self {
            Self::Artifact(_) | Self::Foreign(_) => LoadStep::Artifact,
            Self::Fingerprint { .. } => LoadStep::Fingerprint,
            Self::Open(_) | Self::Panicked => LoadStep::Open,
            Self::Golden { .. } => LoadStep::Golden,
            Self::Trial(_) => LoadStep::Trial,
            Self::WarmUp { .. } => LoadStep::WarmUp,
            Self::Differential(_) => LoadStep::Differential,
            Self::Thread(_) => LoadStep::Thread,
            Self::NoBackend => LoadStep::NoBackend,
        }
    }

    /// Whether the same file may well load later; everything else stays wrong until the file or the runtime changes.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Thread(_))
    }
}

impl LoadStep {
    /// The step's name, as a metric's label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Artifact => "artifact",
            Self::Fingerprint => "fingerprint",
            Self::Open => "open",
            Self::Golden => "golden",
            Self::Trial => "trial",
            Self::WarmUp => "warm_up",
            Self::Differential => "differential",
            Self::Thread => "thread",
            Self::NoBackend => "no_backend",
        }
    }
}

fn joined(errors: &[BackendError]) -> String {
    errors.iter().map(BackendError::to_string).collect::<Vec<_>>().join("; ")
}
