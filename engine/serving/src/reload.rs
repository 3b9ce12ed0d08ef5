//! The nudge: asking the watcher to look at the model repository at once.

use tokio::sync::{mpsc, oneshot};

/// Asks for a look.
#[derive(Debug, Clone)]
pub struct Reloader {
    sender: mpsc::Sender<Nudge>,
}

/// What the watcher receives: it answers once the look has been acted upon, or has failed.
pub type Nudge = oneshot::Sender<Result<(), String>>;

/// How many may wait for a look at once; one look answers all of them.
const MAX_WAITING: usize = 64;

/// The two ends.
pub fn channel() -> (Reloader, mpsc::Receiver<Nudge>) {
    let (sender, receiver) = mpsc::channel(MAX_WAITING);
    (Reloader { sender }, receiver)
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReloadError {
    /// Too many are waiting already, or the engine is stopping.
    Refused,
    /// The repository could not be looked at.
    Failed(String),
}

impl Reloader {
    /// Has the repository looked at, and waits until what was seen has been acted upon.
    ///
    /// # Errors
    /// [`ReloadError`]; a model that fails to load is none.
    pub async fn reload(&self) -> Result<(), ReloadError> {
        let (nudge, answer) = oneshot::channel();
        self.sender.try_send(nudge).map_err(|_| ReloadError::Refused)?;
        match answer.await {
            Ok(answer) => answer.map_err(ReloadError::Failed),
            Err(_) => Err(ReloadError::Refused),
        }
    }
}
