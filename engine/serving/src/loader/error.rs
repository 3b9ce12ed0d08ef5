use std::time::Duration;

use onnward_runtime::VerifyError;
use onnward_runtime::isolation::IsolationError;
use onnward_runtime::verify::LoadStep;
use thiserror::Error;

/// Whether a version that failed to load may load later, though its files stay the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovery {
    /// A wrong file stays wrong.
    Never,
    /// Something else has to change: memory becomes free, or somebody grants a permission.
    Possible,
    /// The failure passes by itself: a store does not answer, or the system starts no thread. A start waits for it.
    Expected,
}

/// The reason why a version was not loaded.
#[derive(Debug, Error)]
pub enum LoadError {
    /// It could not be verified.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// A runtime panicked.
    #[error("a runtime panicked while opening or testing the model")]
    Panicked,
    /// It took too long.
    #[error(
        "the model was not opened and tested within {} s: publish a smaller model, or raise models.load_timeout_ms",
        .0.as_secs_f64()
    )]
    Timeout(Duration),
    /// The operating system started no thread.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
}

impl LoadError {
    /// Returns the step that failed.
    pub fn step(&self) -> LoadStep {
        match self {
            Self::Verify(error) => error.step(),
            Self::Panicked => LoadStep::Open,
            Self::Timeout(_) => LoadStep::Timeout,
            Self::Thread(_) => LoadStep::Thread,
        }
    }

    /// Returns whether the same file may load later. A failure that is not transient lasts until the file or the
    /// runtime changes.
    pub fn recovery(&self) -> Recovery {
        match self {
            Self::Thread(_) | Self::Verify(VerifyError::Isolated(IsolationError::Start(_))) => {
                Recovery::Expected
            }
            Self::Verify(VerifyError::Memory(_)) => Recovery::Possible,
            Self::Verify(_) | Self::Panicked | Self::Timeout(_) => Recovery::Never,
        }
    }
}
