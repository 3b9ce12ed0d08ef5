use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use ndarray::ArrayView2;

use super::queue::{Entry, Queue};
use super::{RowWidth, SubmitError};
use crate::backend::{Batch, Session};
use crate::metrics::ModelMetrics;

/// One thread's share of the work: a session that nobody else touches.
pub struct Worker {
    session: Box<dyn Session>,
    queue: Arc<Queue>,
    width: RowWidth,
    max_batch_rows: usize,
    metrics: ModelMetrics,
    /// The batch's matrix, kept between batches.
    matrix: Vec<f32>,
    /// The batch's texts; empty where rows keep none.
    texts: Vec<String>,
}

impl Worker {
    pub fn new(
        session: Box<dyn Session>,
        queue: Arc<Queue>,
        width: RowWidth,
        max_batch_rows: usize,
        metrics: ModelMetrics,
    ) -> Self {
        Self { session, queue, width, max_batch_rows, metrics, matrix: Vec::new(), texts: Vec::new() }
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
        let mut texts = std::mem::take(&mut self.texts);
        matrix.clear();
        texts.clear();
        for entry in &mut entries {
            matrix.append(&mut entry.values);
            texts.append(&mut entry.texts);
        }
        let scored = self.score(&matrix, &texts);
        self.matrix = matrix;
        self.texts = texts;
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

    /// Runs the session over rows in pieces of at most `max_batch_rows`: one request may hold more.
    fn score(&mut self, matrix: &[f32], texts: &[String]) -> Result<Vec<f32>, SubmitError> {
        let RowWidth { features, texts: strings } = self.width;
        let mut probabilities = Vec::with_capacity(matrix.len() / features);
        let mut texts_left = texts;
        for piece in matrix.chunks(self.max_batch_rows * features) {
            let rows = piece.len() / features;
            let view = ArrayView2::from_shape((rows, features), piece)
                .map_err(|error| SubmitError::Failed(error.to_string()))?;
            let (texts, rest) = texts_left.split_at_checked(rows * strings).unwrap_or_default();
            texts_left = rest;
            let batch =
                if strings == 0 { Batch::Features(view) } else { Batch::FeaturesAndTexts(view, texts) };
            // A session that panics must not take its thread, and with it the queue, along.
            let scored = catch_unwind(AssertUnwindSafe(|| self.session.score(batch)));
            let scored = scored.map_err(|_| SubmitError::Failed("the backend panicked".to_owned()))?;
            probabilities.extend(scored.map_err(|error| SubmitError::Failed(error.to_string()))?);
            self.metrics.batch_ran(rows);
        }
        Ok(probabilities)
    }
}
