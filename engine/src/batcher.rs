//! STAND-IN until the batcher proper is merged.
#![expect(missing_docs)]

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::time::{sleep, timeout};

type Score = dyn Fn(&[f32], usize) -> Result<Vec<f32>, SubmitError> + Send + Sync;

#[derive(Clone)]
pub struct Batcher {
    score: Arc<Score>,
    takes: Duration,
}

impl fmt::Debug for Batcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Batcher")
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SubmitError {
    #[error("the queue is full")]
    QueueFull { retry_after: Duration },
    #[error("{rows} rows are more than the queue holds")]
    TooManyRows { rows: usize, limit: usize },
    #[error("timed out")]
    TimedOut { after: Duration },
    #[error("shutting down")]
    ShuttingDown,
    #[error("{0}")]
    Failed(String),
}

impl Batcher {
    pub fn new(
        takes: Duration,
        score: impl Fn(&[f32], usize) -> Result<Vec<f32>, SubmitError> + Send + Sync + 'static,
    ) -> Self {
        Self { score: Arc::new(score), takes }
    }

    pub async fn submit(
        &self,
        values: Vec<f32>,
        rows: usize,
        after: Duration,
    ) -> Result<Vec<f32>, SubmitError> {
        timeout(after, sleep(self.takes)).await.map_err(|_| SubmitError::TimedOut { after })?;
        (self.score)(&values, rows)
    }
}
