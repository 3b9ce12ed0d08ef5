use onnward_runtime::VerifyError;
use thiserror::Error;

/// The reason why a version was not loaded.
#[derive(Debug, Error)]
pub enum LoadError {
    /// It could not be verified.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// A runtime panicked.
    #[error("a runtime panicked while opening or testing the model")]
    Panicked,
    /// The operating system started no thread.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// The step of a load that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoadStep {
    /// Reading the file.
    Artifact,
    /// Comparing it with its manifest.
    Fingerprint,
    /// Opening it on a backend.
    Open,
    /// Replaying its golden rows.
    Golden,
    /// Smoke-testing an external file on rows generated from its inputs.
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
    /// Returns the step that failed.
    pub fn step(&self) -> LoadStep {
        match self {
            Self::Verify(error) => LoadStep::of(error),
            Self::Panicked => LoadStep::Open,
            Self::Thread(_) => LoadStep::Thread,
        }
    }

    /// Returns whether the same file may load later. Any other failure lasts until the file or the runtime
    /// changes.
    pub fn is_transient(&self) -> bool {
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

    /// Returns the step's name, used as a metric label.
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
