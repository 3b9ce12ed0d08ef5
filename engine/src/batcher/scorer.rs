use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use ndarray::ArrayView2;

use super::queue::{Entry, Taken};
use super::{RowWidth, SubmitError};
use crate::backend::{Batch, Session};
use crate::metrics::ModelMetrics;

/// A session and what is kept between its batches. Whoever has it scores with it.
pub struct Scorer {
    session: Box<dyn Session>,
    width: RowWidth,
    max_batch_rows: usize,
    metrics: ModelMetrics,
    /// The batch's matrix, kept between batches.
    matrix: Vec<f32>,
    /// The batch's texts; empty where rows keep none.
    texts: Vec<String>,
}

impl Scorer {
    pub fn new(
        session: Box<dyn Session>,
        width: RowWidth,
        max_batch_rows: usize,
        metrics: ModelMetrics,
    ) -> Self {
        Self { session, width, max_batch_rows, metrics, matrix: Vec::new(), texts: Vec::new() }
    }

    /// Scores what was taken and answers its requests.
    pub fn answer(&mut self, taken: Taken) {
        for entry in &taken.abandoned {
            self.metrics.queue_rows(-(entry.rows as i64));
            self.metrics.abandoned();
        }
        if !taken.entries.is_empty() {
            self.answer_entries(taken.entries);
        }
    }

    fn answer_entries(&mut self, mut entries: Vec<Entry>) {
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

impl fmt::Debug for Scorer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scorer").field("width", &self.width).finish_non_exhaustive()
    }
}
