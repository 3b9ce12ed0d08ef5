//! Rows of many requests become one batch.
//!
//! A request's rows wait in a bounded queue. Where a batch takes next to no time, the thread that has the request scores it:
//! it first lets everything else that is ready to run on it queue its rows, and then takes all of them at once, so an idle
//! engine answers without a change of threads and a busy one batches by itself. What takes longer is left to worker threads,
//! so that no connection waits for another's rows. What is deliberately absent: a lock that is held while a model runs, and
//! a queue without a bound.

mod queue;
mod scorer;

use std::sync::Arc;
use std::time::{Duration, Instant};

use onnward_runtime::backend::Session;
use onnward_runtime::costs::BatchCosts;
use onnward_runtime::threads::RuntimeThreads;
use onnward_schemas::{Rows, Schema};
use onnward_telemetry::metrics::{QueueState, RejectReason};
use thiserror::Error;
use tokio::sync::oneshot;

use self::queue::{Entry, Queue, ScoredBy};
use self::scorer::Scorer;
use crate::monitor::Monitor;

/// How requests become batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchingConfig {
    /// How many worker threads score, each with its own session; at least 1.
    pub workers: usize,
    /// How many rows a batch holds at most; without it, as many as pay, which is measured for each model.
    pub max_batch_rows: Option<usize>,
    /// How many rows may wait; more are refused.
    pub max_queue_rows: usize,
    /// How long a batch that is not full waits for more rows; zero does not wait.
    pub max_queue_delay: Duration,
}

/// Takes rows for one model and gives their probabilities.
///
/// Dropping it lets what is queued be scored and the workers end; the crew tells when they have.
#[derive(Debug)]
pub struct Batcher {
    queue: Arc<Queue>,
    monitor: Arc<Monitor>,
    width: RowWidth,
    max_batch_rows: usize,
    /// How many rows are scored at most by the thread that has the request.
    requester_rows: usize,
    threads: RuntimeThreads,
}

/// A batch that is expected to take longer is a worker's: other connections of the thread would wait for it, and beside it
/// a change of threads, some 10 µs, no longer counts.
const REQUESTER_TIME: Duration = Duration::from_micros(250);

/// What one encoded row is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowWidth {
    /// How many numbers: one a feature.
    pub features: usize,
    /// How many strings: one for each feature that keeps them.
    pub texts: usize,
}

impl RowWidth {
    /// The width of this schema's rows.
    pub fn of(schema: &Schema) -> Self {
        Self { features: schema.features.len(), texts: schema.text_features().len() }
    }
}

/// Rows that have been scored.
#[derive(Debug, Clone, PartialEq)]
pub struct Scored {
    /// The probability of the positive label for each row, in order: `[rows]`.
    pub probabilities: Vec<f32>,
    /// When the stages before them ended.
    pub timings: Timings,
}

/// When a request's rows went from one stage to the next. All but the first time are shared by the requests of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timings {
    /// The rows came to the queue.
    pub submitted: Instant,
    /// They were taken into a batch.
    pub taken: Instant,
    /// The batch's matrix was put together.
    pub assembled: Instant,
    /// The model had run on all of it.
    pub scored: Instant,
    /// How many rows the batch had.
    pub batch_rows: usize,
}

/// Why rows were not scored.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum SubmitError {
    /// The queue is full; the work was refused at once rather than late.
    #[error("the queue is full: try again in {} s", .retry_after.as_secs())]
    QueueFull {
        /// When trying again may help.
        retry_after: Duration,
    },
    /// More rows than the queue could ever hold.
    #[error("{rows} rows are more than the {limit} that fit in the queue: send fewer at a time")]
    TooManyRows {
        /// How many were given.
        rows: usize,
        /// How many fit.
        limit: usize,
    },
    /// The answer was not there in time.
    #[error("no answer within {} ms", .after.as_millis())]
    TimedOut {
        /// The time that was allowed.
        after: Duration,
    },
    /// The model is being taken out of service.
    #[error("the model is shutting down")]
    ShuttingDown,
    /// The model could not be run.
    #[error("{0}")]
    Failed(String),
}

impl Batcher {
    /// Starts a worker thread for each session. `costs` are those of a batch on one of them.
    ///
    /// # Errors
    /// The operating system's, if it gives no thread.
    pub fn start(
        name: &str,
        sessions: Vec<Box<dyn Session>>,
        costs: &BatchCosts,
        width: RowWidth,
        config: &BatchingConfig,
        monitor: Arc<Monitor>,
        threads: &RuntimeThreads,
    ) -> std::io::Result<Self> {
        let workers = sessions.len();
        let max_batch_rows = config.max_batch_rows.unwrap_or_else(|| costs.efficient_batch_size());
        let scorer = |session| Scorer::new(session, width, max_batch_rows, Arc::clone(&monitor));
        let queue = Queue::new(config, max_batch_rows, sessions.into_iter().map(scorer).collect());
        // A delay is waited out by workers.
        let requester_rows = if config.max_queue_delay.is_zero() {
            costs.rows_within(REQUESTER_TIME).min(max_batch_rows)
        } else {
            0
        };
        // Dropped early, for want of a thread, it ends the workers that have begun.
        let batcher = Self {
            queue: Arc::new(queue),
            monitor,
            width,
            max_batch_rows,
            requester_rows,
            threads: threads.clone(),
        };
        for index in 0..workers {
            let queue = Arc::clone(&batcher.queue);
            let at_work = threads.enter();
            let work = move || {
                let mut done = None;
                while let Some((mut scorer, taken)) = queue.take(done.take()) {
                    scorer.answer(taken);
                    done = Some(scorer);
                }
                drop(at_work);
            };
            std::thread::Builder::new().name(format!("{name}-{index}")).spawn(work)?;
        }
        Ok(batcher)
    }

    /// How many rows a batch holds at most: as configured, else as many as pay.
    pub fn max_batch_rows(&self) -> usize {
        self.max_batch_rows
    }

    /// What waits to be scored now.
    pub fn queue_state(&self) -> QueueState {
        self.queue.state()
    }

    /// Scores encoded rows and gives the probability of the positive label for each, in order. Whoever stops waiting gives
    /// up the rows' place: they are dropped unscored.
    ///
    /// # Errors
    /// [`SubmitError`].
    pub async fn submit(&self, rows: Rows, timeout: Duration) -> Result<Scored, SubmitError> {
        let submitted = Instant::now();
        let Rows { values, texts, len: rows, .. } = rows;
        let RowWidth { features, texts: strings } = self.width;
        if values.len() != rows * features || texts.len() != rows * strings {
            return Err(SubmitError::Failed(format!(
                "{rows} rows need {features} values and {strings} texts each, got {} and {}",
                values.len(),
                texts.len()
            )));
        }
        let (reply, answer) = oneshot::channel();
        let by = if rows <= self.requester_rows { ScoredBy::Requester } else { ScoredBy::Worker };
        self.queue.push(Entry { values, texts, rows, submitted, reply }, by).inspect_err(
            |error| match error {
                SubmitError::QueueFull { .. } => self.monitor.inference().rejected(RejectReason::QueueFull),
                SubmitError::TooManyRows { .. } => {
                    self.monitor.inference().rejected(RejectReason::TooManyRows)
                }
                _ => self.monitor.inference().rejected(RejectReason::ShuttingDown),
            },
        )?;
        if by == ScoredBy::Requester {
            self.score_here().await;
        }
        match tokio::time::timeout(timeout, answer).await {
            Ok(Ok(answer)) => answer,
            // A worker always answers, unless it was stopped.
            Ok(Err(_)) => Err(SubmitError::ShuttingDown),
            Err(_) => {
                self.monitor.inference().rejected(RejectReason::TimedOut);
                Err(SubmitError::TimedOut { after: timeout })
            }
        }
    }

    /// Scores a batch of what is queued on this thread, unless others are at it.
    async fn score_here(&self) {
        let owed = Owed(&self.queue);
        tokio::task::yield_now().await;
        std::mem::forget(owed);
        if let Some((mut scorer, taken)) = self.queue.try_take(self.requester_rows) {
            let _at_work = self.threads.enter();
            scorer.answer(taken);
            self.queue.put_back(scorer);
        }
    }
}

/// A batch that a request owes to the queue: dropped with the request, it is a worker's.
struct Owed<'a>(&'a Queue);

impl Drop for Owed<'_> {
    fn drop(&mut self) {
        self.0.hand_over();
    }
}

impl Batcher {
    /// Gives up what is queued and lets the workers end: for the end of the process.
    pub fn stop(&self) {
        self.queue.abandon();
    }
}

impl Drop for Batcher {
    fn drop(&mut self) {
        self.queue.close();
    }
}

#[cfg(test)]
mod tests;
