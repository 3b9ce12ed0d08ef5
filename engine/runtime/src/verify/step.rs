use serde::{Deserialize, Serialize};

use super::VerifyError;
use crate::isolation::IsolationError;

/// The step of a load that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Finding memory for it.
    Memory,
    /// Doing all of this in time.
    Timeout,
    /// Starting its workers.
    Thread,
    /// Finding a backend.
    NoBackend,
}

impl VerifyError {
    /// Returns the step that failed.
    pub fn step(&self) -> LoadStep {
        match self {
            Self::Artifact(_) | Self::External(_) => LoadStep::Artifact,
            Self::Fingerprint { .. } => LoadStep::Fingerprint,
            Self::Open(_) => LoadStep::Open,
            Self::Golden { .. } => LoadStep::Golden,
            Self::SmokeTest(_) => LoadStep::SmokeTest,
            Self::WarmUp { .. } => LoadStep::WarmUp,
            Self::CrossCheck(_) => LoadStep::Differential,
            Self::Memory(_) => LoadStep::Memory,
            Self::Isolated(error) => match error {
                IsolationError::Start(_) | IsolationError::Ended(_) | IsolationError::Cancelled => {
                    LoadStep::Open
                }
                IsolationError::Memory(_) => LoadStep::Memory,
                IsolationError::Timeout(_) => LoadStep::Timeout,
                IsolationError::Failed { step, .. } => *step,
            },
            Self::NoBackend => LoadStep::NoBackend,
            Self::Cancelled => LoadStep::Open,
        }
    }
}

impl LoadStep {
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
            Self::Memory => "memory",
            Self::Timeout => "timeout",
            Self::Thread => "thread",
            Self::NoBackend => "no_backend",
        }
    }
}
