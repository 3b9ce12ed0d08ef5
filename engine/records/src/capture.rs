//! A share of the answered predictions, written down as JSON lines in a folder or an object store: what a retraining job reads.
//!
//! A request leaves only its body and its probabilities, in a bounded memory. A thread of its own makes lines of them and
//! puts the files; when the place is slow or down, what has no room is lost and counted, and no request waits.

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
use onnward_serving::registry::{Registry, ServingModel};
use onnward_telemetry::metrics::{CaptureLoss, Metrics};
use onnward_telemetry::share::{Sampler, Share};
use thiserror::Error;
use tokio::sync::mpsc::{Sender, channel};
use tokio::sync::watch;

use self::files::Files;
use self::writer::Writer;
use crate::prediction_id::PredictionId;

/// Which predictions are captured, and where they are written.
#[derive(Debug, Clone, PartialEq)]
pub struct CaptureConfig {
    /// The place, reached as the model repository is.
    pub place: RepositoryConfig,
    /// What is captured.
    pub rules: CaptureRules,
    /// From how many bytes on a file is written.
    pub max_file_bytes: usize,
    /// How long after its first line a file is written at the latest.
    pub max_file_age: Duration,
    /// How much may wait in memory to be written; more is lost.
    pub max_waiting_bytes: usize,
}

/// What is captured of which predictions.
#[derive(Debug, Clone, PartialEq)]
pub struct CaptureRules {
    /// The share of the answered requests that are captured.
    pub sample: Share,
    /// The features whose values are left out.
    pub redact: BTreeSet<String>,
    /// Whether the identifier is written.
    pub identifier: bool,
}

/// Why nothing can be captured.
#[derive(Debug, Error)]
pub enum CaptureError {
    /// The place cannot be written.
    #[error("capture.place cannot be used: {0}")]
    Place(#[from] ArchiveError),
    /// The system gives no thread.
    #[error("capture cannot be started: {0}")]
    Thread(#[from] io::Error),
}

/// A request that has been answered with predictions.
pub struct Prediction {
    /// When it was answered.
    pub time: DateTime<Utc>,
    /// The request's id.
    pub request_id: String,
    /// The id of its first row's prediction.
    pub first: PredictionId,
    /// The version that scored.
    pub model: Arc<ServingModel>,
    /// The request's body.
    pub body: Bytes,
    /// How the rows stand in it.
    pub form: BodyShape,
    /// The probability of the positive label for each row: `[rows]`.
    pub probabilities: Vec<f32>,
}

/// Takes predictions to be written down. Dropped, it forgets what has not been written; see [`Capture::finish`].
pub struct Capture {
    sampler: Sampler,
    queue: Sender<Prediction>,
    held: Arc<Held>,
    metrics: Arc<Metrics>,
    ends: watch::Sender<Option<Duration>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// The memory that is shared by what waits to be made lines of and what waits to be written.
#[derive(Debug)]
struct Held {
    bytes: AtomicUsize,
    limit: usize,
}

/// How many requests may wait to be made lines of, however small they are.
const QUEUE_REQUESTS: usize = 4096;
/// A body up to this size is copied: it lies in a buffer of its connection that may be much larger, and is reused.
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
        let held = Arc::new(Held { bytes: AtomicUsize::new(0), limit: config.max_waiting_bytes });
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
            held: Arc::clone(&held),
            registry,
            metrics: Arc::clone(&metrics),
            end,
            sought: BTreeSet::new(),
        };
        // Its own runtime, so that reading bodies again holds up no request.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let write = move || runtime.block_on(writer.run());
        let thread = thread::Builder::new().name("capture".to_owned()).spawn(write)?;
        tracing::info!(place, "predictions are captured");
        let thread = Mutex::new(Some(thread));
        Ok(Self { sampler, queue, held, metrics, ends, thread })
    }

    /// Draws whether a request is captured once it is answered.
    #[inline]
    pub fn is_sampled(&self) -> bool {
        self.sampler.samples()
    }

    /// Takes a prediction, or counts it as lost where there is no room.
    pub fn offer(&self, mut prediction: Prediction) {
        let bytes = prediction.body.len();
        if bytes <= COPIED_BYTES {
            prediction.body = Bytes::copy_from_slice(&prediction.body);
        }
        if !self.held.take(bytes) {
            return self.metrics.capture_lost(&prediction.model.name, CaptureLoss::NoRoom, 1);
        }
        if let Err(full) = self.queue.try_send(prediction) {
            self.held.give_back(bytes);
            self.metrics.capture_lost(&full.into_inner().model.name, CaptureLoss::NoRoom, 1);
        }
    }

    /// Writes what was taken before, for so long at most; what is not written by then is lost.
    pub fn finish(&self, within: Duration) {
        self.ends.send_replace(Some(within));
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // A panic of the thread has been told by the log.
        let _ = thread.map(JoinHandle::join);
    }

    /// Returns how many bytes wait to be written.
    pub fn waiting_bytes(&self) -> usize {
        self.held.bytes.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Capture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Capture").field("held", &self.held).finish_non_exhaustive()
    }
}

impl Held {
    /// Takes room for so many bytes, if there is.
    fn take(&self, bytes: usize) -> bool {
        let has_room = |held: usize| held.checked_add(bytes).filter(|held| *held <= self.limit);
        self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, has_room).is_ok()
    }

    /// Takes the room of something that is there already, even if it is too much.
    fn charge(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn give_back(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}
