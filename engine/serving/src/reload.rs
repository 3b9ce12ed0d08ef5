//! Requests that make the watcher poll the model repository immediately.

use tokio::sync::{mpsc, oneshot};

/// A handle that sends reload requests.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use onnward_serving::reload::{self, ReloadError};
///
/// let (reloader, mut requests) = reload::channel();
/// // In an engine, `watcher::watch` takes the requests.
/// tokio::spawn(async move {
///     while let Some(request) = requests.recv().await {
///         let _ = request.send(Err("the store is down".to_owned()));
///     }
/// });
/// assert_eq!(reloader.reload().await, Err(ReloadError::Failed("the store is down".to_owned())));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Reloader {
    sender: mpsc::Sender<ReloadRequest>,
}

/// A reload request. It is answered once the poll has been reconciled or has failed.
pub type ReloadRequest = oneshot::Sender<Result<(), String>>;

/// The maximum number of pending requests. One poll answers all of them.
const MAX_PENDING: usize = 64;

/// Creates the channel of reload requests.
pub fn channel() -> (Reloader, mpsc::Receiver<ReloadRequest>) {
    let (sender, receiver) = mpsc::channel(MAX_PENDING);
    (Reloader { sender }, receiver)
}

/// The reason why a reload did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReloadError {
    /// Too many requests are pending, or the engine is stopping.
    Refused,
    /// The repository could not be read.
    Failed(String),
}

impl Reloader {
    /// Requests a poll and waits until it has been reconciled.
    ///
    /// # Errors
    /// [`ReloadError`]. A model that fails to load is not an error.
    pub async fn reload(&self) -> Result<(), ReloadError> {
        let (request, answer) = oneshot::channel();
        self.sender.try_send(request).map_err(|_| ReloadError::Refused)?;
        match answer.await {
            Ok(answer) => answer.map_err(ReloadError::Failed),
            Err(_) => Err(ReloadError::Refused),
        }
    }
}
