//! Rows of many requests become one batch.
//!
//! A request's rows wait in a bounded queue. Each worker thread, with a session of its own, takes everything that is
//! queued up to `max_batch_rows` at once: an idle engine answers immediately, a busy one batches by itself. What is
//! deliberately absent: a lock that is held while a model runs, and a queue without a bound.

pub mod costs;
mod queue;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use onnward_schemas::{Rows, Schema};
use thiserror::Error;
use tokio::sync::oneshot;

use self::queue::{Entry, Queue};
use crate::backend::Session;
use crate::config::BatchingConfig;
use crate::crew::Crew;
use crate::metrics::{ModelMetrics, RejectReason};

/// Takes rows for one model and gives their probabilities.
///
/// Dropping it lets the workers finish what is queued and end; the crew tells when they have.
#[derive(Debug)]
pub struct Batcher {
    queue: Arc<Queue>,
    metrics: ModelMetrics,
    width: RowWidth,
}

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
    /// Starts a worker thread for each session.
    ///
    /// # Errors
    /// The operating system's, if it gives no thread.
    pub fn start(
        name: &str,
        sessions: Vec<Box<dyn Session>>,
        width: RowWidth,
        config: &BatchingConfig,
        metrics: ModelMetrics,
        crew: &Crew,
    ) -> std::io::Result<Self> {
        // Dropped early, for want of a thread, it ends the workers that have begun.
        let batcher = Self { queue: Arc::new(Queue::new(config)), metrics, width };
        for (index, session) in sessions.into_iter().enumerate() {
            let (queue, metrics) = (Arc::clone(&batcher.queue), batcher.metrics.clone());
            let worker = worker::Worker::new(session, queue, width, config.max_batch_rows, metrics);
            let at_work = crew.enter();
            let run = move || {
                worker.run();
                drop(at_work);
            };
            std::thread::Builder::new().name(format!("{name}-{index}")).spawn(run)?;
        }
        Ok(batcher)
    }

    /// Scores encoded rows and gives the probability of the positive label for each, in order. Whoever stops waiting gives
    /// up the rows' place: they are dropped unscored.
    ///
    /// # Errors
    /// [`SubmitError`].
    pub async fn submit(&self, rows: Rows, timeout: Duration) -> Result<Vec<f32>, SubmitError> {
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
        self.queue.push(Entry { values, texts, rows, reply }).inspect_err(|error| match error {
            SubmitError::QueueFull { .. } => self.metrics.rejected(RejectReason::QueueFull),
            SubmitError::TooManyRows { .. } => self.metrics.rejected(RejectReason::TooManyRows),
            _ => self.metrics.rejected(RejectReason::ShuttingDown),
        })?;
        self.metrics.queue_rows(rows as i64);
        match tokio::time::timeout(timeout, answer).await {
            Ok(Ok(answer)) => answer,
            // A worker always answers, unless it was stopped.
            Ok(Err(_)) => Err(SubmitError::ShuttingDown),
            Err(_) => {
                self.metrics.rejected(RejectReason::TimedOut);
                Err(SubmitError::TimedOut { after: timeout })
            }
        }
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
