//! What became of predictions: a store of them, the outcomes that are joined to them later, and figures made of both.
//!
//! A request hands its predictions over once they are scored and never waits: they are gathered in memory, up to a bound,
//! and a thread of its own writes them, a few times a second. Outcomes are written as soon as they come, and are answered when they are
//! on the disk; they pass the same line, so a prediction that was answered is found. What estimates figures without
//! outcomes ([`estimate`]) needs none of this.

mod batch;
pub mod join;
mod queue;
pub mod store;
pub mod window;
mod writer;

use std::fs::{File, OpenOptions, TryLockError, create_dir_all};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use onnward_serving::version::ModelVersion;
use onnward_telemetry::metrics::Metrics;
use thiserror::Error;
use tokio::sync::oneshot;

pub use self::batch::PredictionBatch;
use self::join::{Joined, Outcome, WrongLabel};
use self::queue::{Ask, Queue};
use self::store::{Bounds, StoreError};
use self::window::{Measured, WindowBounds};
use self::writer::Writer;

/// What is kept of predictions so that outcomes can be joined to them, and over what their figures are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutcomesConfig {
    /// The folder of the store; without one, no prediction is kept.
    pub folder: Option<PathBuf>,
    /// How long a prediction is kept.
    pub retention: Duration,
    /// How many predictions are kept; the oldest go first.
    pub max_predictions: u64,
    /// How long an outcome counts.
    pub window: Duration,
    /// How many outcomes of a version count, the last ones.
    pub window_outcomes: usize,
    /// How many of the last scores of a version an estimate covers at least.
    pub estimate_rows: usize,
}

/// Why an engine does not start because of its store of predictions.
#[derive(Debug, Error)]
pub enum StartError {
    /// Another engine has the folder.
    #[error("outcomes.folder {}: {}", folder.display(), StoreError::InUse)]
    InUse {
        /// The folder.
        folder: PathBuf,
    },
    /// The system gives no thread.
    #[error("no thread to write predictions can be had: {0}")]
    Thread(#[source] io::Error),
}

/// Why outcomes are not joined, or figures not made.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OutcomesError {
    /// Labels that the models do not have. Nothing of the request has been joined.
    #[error("labels that the models do not have")]
    WrongLabels(Vec<WrongLabel>),
    /// Too much is waiting to be written.
    #[error("too much is waiting to be written")]
    Full,
    /// The store cannot be used.
    #[error("{0}")]
    Unusable(String),
}

/// What is known of the predictions of one version.
#[derive(Debug, Clone, PartialEq)]
pub struct VersionFigures {
    /// The version.
    pub version: u64,
    /// The probability from which a row is judged positive.
    pub threshold: f64,
    /// How many predictions are kept.
    pub predictions: u64,
    /// How many of them have their outcome.
    pub with_outcome: u64,
    /// The share of them that have it.
    pub coverage: Option<f64>,
    /// Figures of the outcomes that count; absent if none does.
    pub measured: Option<Measured>,
}

/// The store of predictions while the engine serves.
#[derive(Debug)]
pub struct Outcomes {
    queue: Arc<Queue>,
    ended: Mutex<mpsc::Receiver<()>>,
    bounds: WindowBounds,
    /// Held as long as the folder is this engine's.
    _lock: Option<File>,
}

/// How long the end waits for what is still to be written.
const LAST_WRITE: Duration = Duration::from_secs(5);

impl Outcomes {
    /// Opens the store that the configuration names, on the thread that writes it: predictions are taken meanwhile. `None` if it
    /// names none. A store that cannot be opened is tried again from time to time, and outcomes are answered with the reason.
    ///
    /// # Errors
    /// [`StartError`]: the folder is another engine's, or there is no thread.
    pub fn start(config: &OutcomesConfig, metrics: Arc<Metrics>) -> Result<Option<Self>, StartError> {
        let Some(folder) = config.folder.clone() else { return Ok(None) };
        let lock = match lock(&folder) {
            Ok(lock) => Some(lock),
            Err(TryLockError::WouldBlock) => return Err(StartError::InUse { folder }),
            // Where there are no locks, or no folder, the thread finds out what is wrong.
            Err(TryLockError::Error(_)) => None,
        };
        let bounds =
            Bounds { retention_millis: millis(config.retention), max_predictions: config.max_predictions };
        let window = WindowBounds { millis: millis(config.window), outcomes: config.window_outcomes };
        let queue = Arc::new(Queue::default());
        let writer = Writer::new(Arc::clone(&queue), folder, bounds, window, metrics);
        let (ending, ended) = mpsc::channel();
        let run = move || {
            writer.run();
            // Nobody waits if the process ends otherwise.
            let _ = ending.send(());
        };
        let handle =
            thread::Builder::new().name("outcomes".to_owned()).spawn(run).map_err(StartError::Thread)?;
        queue.set_thread(handle.thread().clone());
        Ok(Some(Self { queue, ended: Mutex::new(ended), bounds: window, _lock: lock }))
    }

    /// Keeps the predictions of a request, if there is room for them: it never waits.
    pub fn keep(&self, scored: PredictionBatch) {
        self.queue.keep(scored);
    }

    /// Joins outcomes: all of them, or none. When it returns they are on the disk.
    ///
    /// # Errors
    /// [`OutcomesError`].
    pub async fn join(&self, outcomes: Vec<Outcome>) -> Result<Vec<Joined>, OutcomesError> {
        let (reply, answer) = oneshot::channel();
        self.queue.ask(Ask::Join { outcomes, reply })?;
        answered(answer.await)
    }

    /// Returns the figures of a model's versions, the highest first.
    ///
    /// A new repository may reuse a model's name and numbers. Of several artifacts with the same number, the one in
    /// `loaded` counts. If `loaded` has none of this number, the one that predicted last counts.
    ///
    /// # Errors
    /// [`OutcomesError`].
    pub async fn figures(
        &self,
        model: &str,
        loaded: Vec<Arc<ModelVersion>>,
    ) -> Result<Vec<VersionFigures>, OutcomesError> {
        let (reply, answer) = oneshot::channel();
        self.queue.ask(Ask::Figures { model: model.to_owned(), loaded, reply })?;
        answered(answer.await)
    }

    /// Returns how far back the figures go.
    pub fn window(&self) -> WindowBounds {
        self.bounds
    }

    /// Writes what is still to be written, and closes the store.
    pub fn stop(&self) {
        self.queue.stop();
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        if ended.recv_timeout(LAST_WRITE).is_err() {
            tracing::warn!("the last predictions are still being written; the end does not wait for it");
        }
    }
}

/// Returns the lock by which an engine knows that a folder is another's. It goes with the process, however
/// that ends.
fn lock(folder: &Path) -> Result<File, TryLockError> {
    create_dir_all(folder).map_err(TryLockError::Error)?;
    let path = folder.join("lock");
    let file = OpenOptions::new().create(true).write(true).truncate(false).open(path);
    let file = file.map_err(TryLockError::Error)?;
    file.try_lock().map(|()| file)
}

fn answered<T>(
    answer: Result<Result<T, OutcomesError>, oneshot::error::RecvError>,
) -> Result<T, OutcomesError> {
    answer.unwrap_or_else(|_| Err(OutcomesError::Unusable("the engine is stopping".to_owned())))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
