use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use ndarray::ArrayView2;

use super::SubmitError;
use super::queue::{Entry, Queue};
use crate::backend::{Batch, Session};
use crate::metrics::ModelMetrics;

/// One thread's share of the work: a session that nobody else touches.
pub struct Worker {
    session: Box<dyn Session>,
    queue: Arc<Queue>,
    features: usize,
    max_batch_rows: usize,
    metrics: ModelMetrics,
    /// The batch's matrix, kept between batches.
    matrix: Vec<f32>,
}

impl Worker {
    pub fn new(
        session: Box<dyn Session>,
        queue: Arc<Queue>,
        features: usize,
        max_batch_rows: usize,
        metrics: ModelMetrics,
    ) -> Self {
        Self { session, queue, features, max_batch_rows, metrics, matrix: Vec::new() }
    }

    /// Works until the queue is closed and empty.
    pub fn run(mut self) {
        while let Some(taken) = self.queue.take() {
            for entry in &taken.abandoned {
                self.metrics.queue_rows(-(entry.rows as i64));
                self.metrics.abandoned();
            }
            if !taken.entries.is_empty() {
                self.answer(taken.entries);
            }
        }
    }

    fn answer(&mut self, mut entries: Vec<Entry>) {
        let rows: usize = entries.iter().map(|entry| entry.rows).sum();
        self.metrics.queue_rows(-(rows as i64));
        let mut matrix = std::mem::take(&mut self.matrix);
        matrix.clear();
        for entry in &mut entries {
            matrix.append(&mut entry.values);
        }
        let scored = self.score(&matrix);
        self.matrix = matrix;
        match scored {
            Ok(probabilities) => {
                let mut probabilities = probabilities.into_iter();
                for entry in entries {
                    let share: Vec<f32> = probabilities.by_ref().take(entry.rows).collect();
                    // An error means that the client has gone meanwhile.
                    let _ = entry.reply.send(Ok(share));
                }
            }
            Err(error) => {
                tracing::error!(%error, rows, "a batch failed");
                for entry in entries {
                    let _ = entry.reply.send(Err(error.clone()));
                }
            }
        }
    }

    /// Runs the session over a matrix in pieces of at most `max_batch_rows`: one request may hold more.
    fn score(&mut self, matrix: &[f32]) -> Result<Vec<f32>, SubmitError> {
        let mut probabilities = Vec::with_capacity(matrix.len() / self.features);
        for piece in matrix.chunks(self.max_batch_rows * self.features) {
            let rows = piece.len() / self.features;
            let batch = ArrayView2::from_shape((rows, self.features), piece)
                .map_err(|error| SubmitError::Failed(error.to_string()))?;
            // A session that panics must not take its thread, and with it the queue, along.
            let scored = catch_unwind(AssertUnwindSafe(|| self.session.score(Batch::Features(batch))));
            let scored = scored.map_err(|_| SubmitError::Failed("the backend panicked".to_owned()))?;
            probabilities.extend(scored.map_err(|error| SubmitError::Failed(error.to_string()))?);
            self.metrics.batch_ran(rows);
        }
        Ok(probabilities)
    }
}
