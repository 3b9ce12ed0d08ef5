//! Captures a sample of the answered predictions as JSON lines in a folder or an object store, for a
//! retraining job.
//!
//! A request leaves its body and probabilities in bounded memory. A separate thread formats and uploads them.
//! If the destination is slow or down, predictions without room are lost and counted; no request waits.

mod files;
mod lines;
mod writer;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use std::{fmt, io, thread};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use onnward_repository::{Archive, ArchiveError, RepositoryConfig};
use onnward_rows::BodyShape;
use onnward_schemas::Predictions;
use onnward_serving::registry::{Registry, ServingModel};
use onnward_telemetry::metrics::{CaptureLoss, Metrics};
use onnward_telemetry::share::{Sampler, Share};
use thiserror::Error;
use tokio::sync::mpsc::{Sender, channel};
use tokio::sync::watch;

use self::files::Files;
use self::writer::Writer;
use crate::prediction_id::PredictionId;

/// The settings of capture.
#[derive(Debug, Clone, PartialEq)]
pub struct CaptureConfig {
    /// The destination, opened like the model repository.
    pub place: RepositoryConfig,
    /// The rules of capture.
    pub rules: CaptureRules,
    /// The size from which a file is written.
    pub max_file_bytes: usize,
    /// The age, from its first line, at which a file is written.
    pub max_file_age: Duration,
    /// The most bytes that wait in memory to be written. More is lost.
    pub max_waiting_bytes: usize,
}

/// The rules of what is captured.
#[derive(Debug, Clone, PartialEq)]
pub struct CaptureRules {
    /// The share of the answered requests that are captured.
    pub sample: Share,
    /// The features whose values are left out.
    pub redact: BTreeSet<String>,
    /// Whether the identifier is written.
    pub identifier: bool,
}

/// The reason why capture cannot start.
#[derive(Debug, Error)]
pub enum CaptureError {
    /// The destination cannot be written.
    #[error("capture.place cannot be used: {0}")]
    Place(#[from] ArchiveError),
    /// The thread cannot be started.
    #[error("capture cannot be started: {0}")]
    Thread(#[from] io::Error),
}

/// A request that has been answered with predictions.
pub struct Prediction {
    /// The time of its response.
    pub time: DateTime<Utc>,
    /// The request's id.
    pub request_id: String,
    /// The id of its first row's prediction.
    pub first: PredictionId,
    /// The version that scored.
    pub model: Arc<ServingModel>,
    /// The request's body.
    pub body: Bytes,
    /// The shape of its body.
    pub form: BodyShape,
    /// The prediction for each row.
    pub predictions: Predictions,
}

/// The capture of predictions. Dropping it loses what has not been written; see [`Capture::finish`].
pub struct Capture {
    sampler: Sampler,
    queue: Sender<Prediction>,
    budget: Arc<MemoryBudget>,
    metrics: Arc<Metrics>,
    ends: watch::Sender<Option<Duration>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// The memory shared by predictions that wait to be formatted and files that wait to be uploaded.
#[derive(Debug)]
struct MemoryBudget {
    bytes: AtomicUsize,
    limit: usize,
}

/// The most requests that wait to be formatted, however small they are.
const QUEUE_REQUESTS: usize = 4096;
/// A body up to this size is copied: it lies in a buffer of its connection, which may be much larger and is
/// reused.
const COPIED_BYTES: usize = 64 * 1024;

impl Capture {
    /// Starts the thread that writes.
    ///
    /// # Errors
    /// [`CaptureError`].
    pub fn start(
        config: CaptureConfig,
        registry: Arc<Registry>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, CaptureError> {
        let archive = Archive::open(&config.place)?;
        let budget = Arc::new(MemoryBudget { bytes: AtomicUsize::new(0), limit: config.max_waiting_bytes });
        let (queue, predictions) = channel(QUEUE_REQUESTS);
        let (ends, end) = watch::channel(None);
        let instance = format!("{:08x}", rand::random::<u32>());
        let place = archive.place().to_owned();
        let sampler = Sampler::new(config.rules.sample);
        let writer = Writer {
            predictions,
            files: Files::new(instance, config.max_file_bytes, config.max_file_age),
            rules: config.rules,
            archive,
            budget: Arc::clone(&budget),
            registry,
            metrics: Arc::clone(&metrics),
            end,
            checked_features: BTreeSet::new(),
        };
        // A separate runtime, so that parsing bodies delays no request.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let write = move || runtime.block_on(writer.run());
        let thread = thread::Builder::new().name("capture".to_owned()).spawn(write)?;
        tracing::info!(place, "predictions are captured");
        let thread = Mutex::new(Some(thread));
        Ok(Self { sampler, queue, budget, metrics, ends, thread })
    }

    /// Draws whether a request is captured once it is answered.
    #[inline]
    pub fn is_sampled(&self) -> bool {
        self.sampler.samples()
    }

    /// Queues a prediction, or counts it as lost if there is no room.
    pub fn offer(&self, mut prediction: Prediction) {
        let bytes = prediction.body.len();
        if bytes <= COPIED_BYTES {
            prediction.body = Bytes::copy_from_slice(&prediction.body);
        }
        if !self.budget.try_reserve(bytes) {
            return self.metrics.capture_lost(&prediction.model.name, CaptureLoss::NoRoom, 1);
        }
        if let Err(full) = self.queue.try_send(prediction) {
            self.budget.release(bytes);
            self.metrics.capture_lost(&full.into_inner().model.name, CaptureLoss::NoRoom, 1);
        }
    }

    /// Writes what is queued, for at most `within`. The rest is lost.
    pub fn finish(&self, within: Duration) {
        self.ends.send_replace(Some(within));
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // The log has reported a panic of the thread.
        let _ = thread.map(JoinHandle::join);
    }

    /// Returns how many bytes wait to be written.
    pub fn waiting_bytes(&self) -> usize {
        self.budget.bytes.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Capture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Capture").field("budget", &self.budget).finish_non_exhaustive()
    }
}

impl MemoryBudget {
    /// Reserves memory if there is room.
    fn try_reserve(&self, bytes: usize) -> bool {
        let has_room = |used: usize| used.checked_add(bytes).filter(|used| *used <= self.limit);
        self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, has_room).is_ok()
    }

    /// Returns how many bytes are not reserved.
    fn room(&self) -> usize {
        self.limit.saturating_sub(self.bytes.load(Ordering::Relaxed))
    }

    fn release(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}
