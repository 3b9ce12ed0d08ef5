//! Combines the rows of many requests into batches.
//!
//! A request's rows wait in a bounded queue. Scoring a row is cheaper than a context switch, so small
//! requests are scored inline: the Tokio worker enqueues the rows, yields once so that other ready tasks can
//! enqueue theirs, and runs the queue as one batch. Larger batches go to worker threads, so that no
//! connection waits for another's rows. All models share the workers. Deliberately absent: a lock held while a model runs, and an unbounded
//! queue.

mod queue;
mod runner;
mod sizes;
mod workers;

use std::sync::Arc;
use std::time::{Duration, Instant};

use onnward_runtime::backend::Session;
use onnward_runtime::costs::BatchCosts;
use onnward_runtime::threads::RuntimeThreads;
use onnward_schemas::{Predictions, Rows, Schema};
use onnward_telemetry::metrics::{QueueState, RejectReason};
use thiserror::Error;
use tokio::sync::oneshot;

use self::queue::{PendingRequest, Queue, RunBy};
use self::runner::BatchRunner;
use self::sizes::BatchSizes;
pub use self::workers::Workers;
use crate::monitor::Monitor;

/// The settings of batching.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchingConfig {
    /// The number of sessions of a model, and so of batches that it runs at once; at least 1.
    pub workers: usize,
    /// The largest number of rows in a batch. Without it, the efficient size is measured for each model.
    pub max_batch_rows: Option<usize>,
    /// The largest number of rows in the queue. More are rejected.
    pub max_queue_rows: usize,
    /// The maximum time that a batch waits for more rows. Zero disables waiting.
    pub max_queue_delay: Duration,
}

/// Scores rows of one model in batches.
///
/// Dropping it lets the workers score what is queued and drop the sessions; [`RuntimeThreads`] counts them until
/// then.
///
/// ```
/// use std::convert::Infallible;
/// use std::num::NonZeroUsize;
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// use onnward_runtime::backend::{BackendError, Batch, Session};
/// use onnward_runtime::{costs::BatchCosts, threads::RuntimeThreads};
/// use onnward_schemas::{Predictions, Rows};
/// use onnward_serving::batcher::{Batcher, BatchingConfig, RowWidth, Workers};
/// use onnward_serving::monitor::Monitor;
/// use onnward_telemetry::metrics::Metrics;
///
/// /// Scores every row as a half.
/// struct Halves;
///
/// impl Session for Halves {
///     fn score(&mut self, batch: Batch<'_>) -> Result<Predictions, BackendError> {
///         Ok(vec![0.5; batch.rows()].into())
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let costs = BatchCosts::measure(|_| Ok::<_, Infallible>(Duration::from_micros(10)))?;
/// let config = BatchingConfig {
///     workers: 1,
///     max_batch_rows: Some(64),
///     max_queue_rows: 1000,
///     max_queue_delay: Duration::ZERO,
/// };
/// let width = RowWidth { features: 2, kept: 0 };
/// let monitor = Arc::new(Monitor::new(Metrics::new()?.inference("churn", 1, "halves")));
/// let sessions: Vec<Box<dyn Session>> = vec![Box::new(Halves)];
/// let (workers, threads) = (Workers::new(NonZeroUsize::MIN), RuntimeThreads::default());
/// let sample = Rows::default();
/// let batcher =
///     Batcher::start(sessions, &costs, width, &config, monitor, &workers, &threads, sample)?;
///
/// let rows = Rows { values: vec![1.0, 2.0, 3.0, 4.0], kept: Vec::new(), len: 2 };
/// let scored = batcher.submit(rows, Duration::from_secs(1)).await?;
/// assert_eq!(scored.predictions, vec![0.5, 0.5].into());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Batcher {
    queue: Arc<Queue>,
    monitor: Arc<Monitor>,
    width: RowWidth,
    sizes: Arc<BatchSizes>,
    max_queue_delay: Duration,
}

/// When costs are measured again: after the queue has been idle for this long, the first time, the second, and
/// so on.
const IDLE_TIMES: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(10), Duration::from_secs(60)];

/// The width of one encoded row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowWidth {
    /// The number of values: one for each feature.
    pub features: usize,
    /// The number of kept values: one for each feature that keeps them.
    pub kept: usize,
}

impl RowWidth {
    /// Returns the width of a schema's rows.
    pub fn of(schema: &Schema) -> Self {
        Self { features: schema.features.len(), kept: schema.kept_features().len() }
    }
}

/// Rows that have been scored.
#[derive(Debug, Clone, PartialEq)]
pub struct Scored {
    /// The prediction for each row, in order.
    pub predictions: Predictions,
    /// The times at which the stages ended.
    pub timings: Timings,
}

/// The times at which a request's rows went from one stage to the next. The requests of a batch share all but
/// the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timings {
    /// The rows were queued.
    pub submitted: Instant,
    /// They were taken into a batch.
    pub taken: Instant,
    /// The batch's matrix was assembled.
    pub assembled: Instant,
    /// The model had scored all of it.
    pub scored: Instant,
    /// The number of rows in the batch.
    pub batch_rows: usize,
}

/// The reason why rows were not scored.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum SubmitError {
    /// The queue is full, so the request is rejected immediately.
    #[error("the queue is full: try again in {} s", .retry_after.as_secs())]
    QueueFull {
        /// The time after which a retry may succeed.
        retry_after: Duration,
    },
    /// More rows than the queue could ever hold.
    #[error("{rows} rows are more than the {limit} that fit in the queue: send fewer at a time")]
    TooManyRows {
        /// The number of rows in the request.
        rows: usize,
        /// The capacity of the queue.
        limit: usize,
    },
    /// The rows were not scored in time.
    #[error("no answer within {} ms", .after.as_millis())]
    TimedOut {
        /// The time that was allowed.
        after: Duration,
    },
    /// The model is being unloaded.
    #[error("the model is being unloaded")]
    ShuttingDown,
    /// The model could not be run.
    #[error("{0}")]
    Failed(String),
}

impl Batcher {
    /// Prepares to score rows with these sessions on the threads of `workers`. `costs` are the measured batch costs
    /// of one of them. They are measured again on `sample` when nothing is queued for a while, unless it has no
    /// rows.
    ///
    /// # Errors
    /// The error of the operating system if no thread runs and it starts none.
    #[expect(clippy::too_many_arguments, reason = "the parts of a model, each used once")]
    pub fn start(
        sessions: Vec<Box<dyn Session>>,
        costs: &BatchCosts,
        width: RowWidth,
        config: &BatchingConfig,
        monitor: Arc<Monitor>,
        workers: &Workers,
        threads: &RuntimeThreads,
        sample: Rows,
    ) -> std::io::Result<Self> {
        workers.ensure_one()?;
        let sizes = Arc::new(BatchSizes::new(*config, costs.clone()));
        let runner = |session| {
            BatchRunner::new(session, width, Arc::clone(&sizes), Arc::clone(&monitor), threads.enter())
        };
        let runners = sessions.into_iter().map(runner).collect();
        let idle_times: &[Duration] = if sample.len == 0 { &[] } else { &IDLE_TIMES };
        let queue =
            Arc::new(Queue::new(config, Arc::clone(&sizes), runners, workers.clone(), sample, idle_times));
        queue.plan_measurement();
        Ok(Self { queue, monitor, width, sizes, max_queue_delay: config.max_queue_delay })
    }

    /// Returns the largest number of rows in a batch: the configured one, else the measured efficient size.
    pub fn max_batch_rows(&self) -> usize {
        self.sizes.max_batch_rows()
    }

    /// Returns the lowest costs that were measured.
    pub fn costs(&self) -> BatchCosts {
        self.sizes.costs()
    }

    /// Returns the current state of the queue.
    pub fn queue_state(&self) -> QueueState {
        self.queue.state()
    }

    /// Scores encoded rows and returns the prediction for each, in order. Dropping the
    /// future removes the rows from the queue.
    ///
    /// # Errors
    /// [`SubmitError`].
    pub async fn submit(&self, rows: Rows, timeout: Duration) -> Result<Scored, SubmitError> {
        let submitted = Instant::now();
        let Rows { values, kept, len: rows, .. } = rows;
        let RowWidth { features, kept: kept_features } = self.width;
        if values.len() != rows * features || kept.len() != rows * kept_features {
            return Err(SubmitError::Failed(format!(
                "{rows} rows need {features} values and {kept_features} kept values each, got {} and {}",
                values.len(),
                kept.len()
            )));
        }
        // Dropped after the receiver, so that a worker sees that the client has gone.
        let mut guard = HandOffGuard { queue: &self.queue, is_armed: false };
        let (reply, mut answer) = oneshot::channel();
        let by = if rows <= self.sizes.inline_rows() { RunBy::Inline } else { RunBy::Worker };
        self.queue.push(PendingRequest { values, kept, rows, submitted, reply }, by).inspect_err(
            |error| match error {
                SubmitError::QueueFull { .. } => self.monitor.inference().rejected(RejectReason::QueueFull),
                SubmitError::TooManyRows { .. } => {
                    self.monitor.inference().rejected(RejectReason::TooManyRows)
                }
                _ => self.monitor.inference().rejected(RejectReason::ShuttingDown),
            },
        )?;
        guard.is_armed = by == RunBy::Inline || !self.max_queue_delay.is_zero();
        if by == RunBy::Inline {
            tokio::task::yield_now().await;
            guard.is_armed = false;
            self.run_inline();
        }
        let answered = async {
            if guard.is_armed {
                if let Ok(answer) = tokio::time::timeout(self.max_queue_delay, &mut answer).await {
                    guard.is_armed = false;
                    return answer;
                }
                guard.hand_off();
            }
            (&mut answer).await
        };
        match tokio::time::timeout(timeout, answered).await {
            Ok(Ok(answer)) => answer,
            // A runner always answers, unless the queue was discarded.
            Ok(Err(_)) => Err(SubmitError::ShuttingDown),
            Err(_) => {
                self.monitor.inference().rejected(RejectReason::TimedOut);
                Err(SubmitError::TimedOut { after: timeout })
            }
        }
    }

    /// Runs one queued batch on this thread, unless all sessions are busy.
    fn run_inline(&self) {
        if let Some((mut runner, batch)) = self.queue.try_take(self.sizes.inline_rows()) {
            runner.run(batch);
        }
    }
}

/// Hands the queue to a worker when dropped while armed: the request that was to run the batch, or that waits for
/// more rows, no longer does.
struct HandOffGuard<'a> {
    queue: &'a Arc<Queue>,
    is_armed: bool,
}

impl HandOffGuard<'_> {
    fn hand_off(&mut self) {
        if std::mem::take(&mut self.is_armed) {
            self.queue.hand_off();
        }
    }
}

impl Drop for HandOffGuard<'_> {
    fn drop(&mut self) {
        self.hand_off();
    }
}

impl Batcher {
    /// Discards the queue and lets the workers end, for shutdown.
    pub fn stop(&self) {
        self.queue.close_and_discard();
    }
}

impl Drop for Batcher {
    fn drop(&mut self) {
        self.queue.close();
    }
}

#[cfg(test)]
mod tests;
