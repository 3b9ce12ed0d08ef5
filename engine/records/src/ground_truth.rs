//! Ground truth: stores predictions, joins outcomes to them, and computes performance figures.
//!
//! A request queues its predictions after scoring and never waits. A writer thread stores them a few times a
//! second. Outcomes are written as they arrive and answered once they are on disk. They pass through the same
//! queue, so an answered prediction is always found. Estimates without outcomes
//! ([`onnward_quality::estimate`]) need none of this.

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

use onnward_schemas::Task;
use onnward_serving::version::ModelVersion;
use onnward_telemetry::metrics::Metrics;
use thiserror::Error;
use tokio::sync::oneshot;

pub use self::batch::PredictionBatch;
use self::join::{Joined, Outcome, WrongLabel};
use self::queue::{Command, Queue};
use self::store::{Bounds, StoreError};
use self::window::{Measured, WindowBounds};
use self::writer::Writer;

/// The settings of the store and of its figures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutcomesConfig {
    /// The folder of the store. `None` disables it.
    pub folder: Option<PathBuf>,
    /// The retention of a prediction.
    pub retention: Duration,
    /// The maximum number of stored predictions. The oldest are removed first.
    pub max_predictions: u64,
    /// The period in which an outcome counts.
    pub window: Duration,
    /// The maximum number of the latest outcomes of a version that count.
    pub window_outcomes: usize,
    /// The minimum number of the latest scores of a version that an estimate covers.
    pub estimate_rows: usize,
}

/// The reason why the store cannot start.
#[derive(Debug, Error)]
pub enum StartError {
    /// Another engine uses the folder.
    #[error("outcomes.folder {}: {}", folder.display(), StoreError::InUse)]
    InUse {
        /// The folder.
        folder: PathBuf,
    },
    /// The writer thread cannot be started.
    #[error("cannot start the writer thread of the prediction store: {0}")]
    Thread(#[source] io::Error),
}

/// The reason why outcomes are not joined, or figures not computed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OutcomesError {
    /// Some labels are not among the values of the models. No outcome of the request was joined.
    #[error("a label is not one of the model's values")]
    WrongLabels(Vec<WrongLabel>),
    /// Too many writes are pending.
    #[error("too many writes are pending")]
    Full,
    /// The store cannot be used.
    #[error("{0}")]
    Unusable(String),
}

/// The figures of one version.
#[derive(Debug, Clone, PartialEq)]
pub struct VersionFigures {
    /// The version.
    pub version: u64,
    /// What the version predicts.
    pub task: Task,
    /// The number of stored predictions.
    pub predictions: u64,
    /// The number of them with an outcome.
    pub with_outcome: u64,
    /// The share of predictions with an outcome.
    pub coverage: Option<f64>,
    /// The measured performance; `None` if no outcome counts.
    pub measured: Option<Measured>,
}

/// The running store of predictions and their outcomes.
/// ```
/// # use std::{error::Error, sync::Arc, time::Duration};
/// use onnward_records::ground_truth::join::{JoinResult, LabelValue, Outcome, Reference};
/// use onnward_records::ground_truth::{GroundTruthStore, OutcomesConfig, PredictionBatch};
/// use onnward_records::prediction_id::PredictionId;
/// # use onnward_schemas::Label;
/// # use onnward_serving::version::ModelVersion;
/// # use onnward_telemetry::metrics::Metrics;
/// # let folder = tempfile::TempDir::new()?;
/// # let day = Duration::from_secs(86_400);
/// # let config = OutcomesConfig {
/// #     folder: Some(folder.path().to_owned()),
/// #     retention: 90 * day,
/// #     max_predictions: 1_000_000,
/// #     window: 30 * day,
/// #     window_outcomes: 10_000,
/// #     estimate_rows: 1_000,
/// # };
/// # let churn = Arc::new(ModelVersion {
/// #     model: "churn".to_owned(),
/// #     version: 3,
/// #     sha256: Some("cd".repeat(32)),
/// #     task: Label::binary("Churn", "Yes", "No").task,
/// # });
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let store = GroundTruthStore::start(&config, Arc::new(Metrics::new()?))?.ok_or("no folder")?;
///
/// // A request is answered with two predictions, and later the customer of the second one leaves.
/// let first = PredictionId::now();
/// let predictions = vec![0.12, 0.87].into();
/// store.keep(PredictionBatch { first, by: Arc::clone(&churn), predictions, keys: Default::default() });
/// let label = LabelValue::Value("Yes".to_owned());
/// let outcome = Outcome { of: Reference::Id(first.of_row(1)), label, millis: None, corrects: false };
/// let joined = store.join(vec![outcome]).await?;
/// assert_eq!(joined[0].result, JoinResult::Joined);
///
/// let figures = store.figures("churn", vec![churn]).await?;
/// assert_eq!((figures[0].predictions, figures[0].with_outcome), (2, 1));
/// store.stop();
/// # Ok::<(), Box<dyn Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn Error>>(())
/// ```
#[derive(Debug)]
pub struct GroundTruthStore {
    queue: Arc<Queue>,
    ended: Mutex<mpsc::Receiver<()>>,
    bounds: WindowBounds,
    /// Held while this engine uses the folder.
    _lock: Option<File>,
}

/// The maximum time that a shutdown waits for the last write.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

impl GroundTruthStore {
    /// Starts the writer thread, which opens the configured store. Predictions are queued meanwhile. Returns
    /// `None` if no folder is configured. A store that cannot be opened is retried periodically, and outcomes
    /// are answered with the reason.
    ///
    /// # Errors
    /// [`StartError`]: the folder is another engine's, or there is no thread.
    pub fn start(config: &OutcomesConfig, metrics: Arc<Metrics>) -> Result<Option<Self>, StartError> {
        let Some(folder) = config.folder.clone() else { return Ok(None) };
        let lock = match lock(&folder) {
            Ok(lock) => Some(lock),
            Err(TryLockError::WouldBlock) => return Err(StartError::InUse { folder }),
            // Without locks or without a folder, the writer thread reports the cause.
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
            // Nobody waits if the process ends in another way.
            let _ = ending.send(());
        };
        let handle =
            thread::Builder::new().name("outcomes".to_owned()).spawn(run).map_err(StartError::Thread)?;
        queue.set_thread(handle.thread().clone());
        Ok(Some(Self { queue, ended: Mutex::new(ended), bounds: window, _lock: lock }))
    }

    /// Queues a request's predictions if there is room. Never waits. Outputs of an external graph are not stored.
    pub fn keep(&self, scored: PredictionBatch) {
        if scored.is_storable() {
            self.queue.keep(scored);
        }
    }

    /// Joins all outcomes or none. They are on disk when it returns.
    ///
    /// # Errors
    /// [`OutcomesError`].
    pub async fn join(&self, outcomes: Vec<Outcome>) -> Result<Vec<Joined>, OutcomesError> {
        let (reply, answer) = oneshot::channel();
        self.queue.send(Command::Join { outcomes, reply })?;
        answered(answer.await)
    }

    /// Returns the figures of a model's versions, the highest first.
    ///
    /// A new repository may reuse a model's name and numbers. Of several artifacts with the same number, the
    /// one in `loaded` counts. If `loaded` has none of this number, the one that predicted last counts.
    ///
    /// # Errors
    /// [`OutcomesError`].
    pub async fn figures(
        &self,
        model: &str,
        loaded: Vec<Arc<ModelVersion>>,
    ) -> Result<Vec<VersionFigures>, OutcomesError> {
        let (reply, answer) = oneshot::channel();
        self.queue.send(Command::Figures { model: model.to_owned(), loaded, reply })?;
        answered(answer.await)
    }

    /// Returns the bounds of the window over which figures are computed.
    pub fn window(&self) -> WindowBounds {
        self.bounds
    }

    /// Writes what is pending and closes the store.
    pub fn stop(&self) {
        self.queue.stop();
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        if ended.recv_timeout(SHUTDOWN_TIMEOUT).is_err() {
            tracing::warn!("shutdown did not wait for the last predictions to be written");
        }
    }
}

/// Locks the folder, so that no other engine uses it. The system releases the lock when the process ends.
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
