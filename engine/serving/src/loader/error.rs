use onnward_runtime::VerifyError;
use thiserror::Error;

/// Why a version is not served.
#[derive(Debug, Error)]
pub enum LoadError {
    /// It is not verified.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// A runtime panicked.
    #[error("a runtime panicked while the model was opened or tried")]
    Panicked,
    /// The system gives no thread.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
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
    /// Running an external file on rows made from its inputs.
    SmokeTest,
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
            Self::Verify(error) => LoadStep::of(error),
            Self::Panicked => LoadStep::Open,
            Self::Thread(_) => LoadStep::Thread,
        }
    }

    /// Whether the same file may well load later; everything else stays wrong until the file or the runtime changes.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Thread(_))
    }
}

impl LoadStep {
    /// Returns the step in which a verification failed.
    fn of(error: &VerifyError) -> Self {
        match error {
            VerifyError::Artifact(_) | VerifyError::External(_) => Self::Artifact,
            VerifyError::Fingerprint { .. } => Self::Fingerprint,
            VerifyError::Open(_) => Self::Open,
            VerifyError::Golden { .. } => Self::Golden,
            VerifyError::SmokeTest(_) => Self::SmokeTest,
            VerifyError::WarmUp { .. } => Self::WarmUp,
            VerifyError::CrossCheck(_) => Self::Differential,
            VerifyError::NoBackend => Self::NoBackend,
        }
    }

    /// The step's name, as a metric's label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Artifact => "artifact",
            Self::Fingerprint => "fingerprint",
            Self::Open => "open",
            Self::Golden => "golden",
            Self::SmokeTest => "trial",
            Self::WarmUp => "warm_up",
            Self::Differential => "differential",
            Self::Thread => "thread",
            Self::NoBackend => "no_backend",
        }
    }
}
