use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use ndarray::ArrayView2;
use onnward_runtime::backend::{Batch, Session};
use onnward_telemetry::metrics::Stage;

use super::queue::{Entry, Taken};
use super::{RowWidth, Scored, SubmitError, Timings};
use crate::monitor::Monitor;

/// A session and what is kept between its batches. Whoever has it scores with it.
pub struct Scorer {
    session: Box<dyn Session>,
    width: RowWidth,
    max_batch_rows: usize,
    monitor: Arc<Monitor>,
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
        monitor: Arc<Monitor>,
    ) -> Self {
        Self { session, width, max_batch_rows, monitor, matrix: Vec::new(), texts: Vec::new() }
    }

    /// Scores what was taken and answers its requests.
    pub fn answer(&mut self, taken: Taken) {
        for _ in &taken.abandoned {
            self.monitor.inference().abandoned();
        }
        if !taken.entries.is_empty() {
            self.answer_entries(taken.entries);
        }
    }

    fn answer_entries(&mut self, mut entries: Vec<Entry>) {
        let taken = Instant::now();
        let mut matrix = std::mem::take(&mut self.matrix);
        let mut texts = std::mem::take(&mut self.texts);
        matrix.clear();
        texts.clear();
        for entry in &mut entries {
            matrix.append(&mut entry.values);
            texts.append(&mut entry.texts);
        }
        let rows = matrix.len() / self.width.features;
        let assembled = Instant::now();
        let answer = self.score(&matrix, &texts, assembled);
        self.monitor.inference().queued(entries.iter().map(|entry| taken - entry.submitted));
        self.monitor.inference().stage(Stage::Assemble, assembled - taken);
        if let Ok((probabilities, _)) = &answer {
            self.monitor.inference().requests_scored(entries.len());
            self.monitor.observe(&matrix, probabilities);
        }
        self.matrix = matrix;
        self.texts = texts;
        match answer {
            Ok((probabilities, scored)) => {
                let mut probabilities = probabilities.into_iter();
                for entry in entries {
                    let share = probabilities.by_ref().take(entry.rows).collect();
                    let submitted = entry.submitted;
                    let timings = Timings { submitted, taken, assembled, scored, batch_rows: rows };
                    // An error means that the client has gone meanwhile.
                    let _ = entry.reply.send(Ok(Scored { probabilities: share, timings }));
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

    /// Runs the session over rows in pieces of at most `max_batch_rows`: one request may hold more. Gives the
    /// probabilities and when the last piece had run; the first begins when the matrix is `assembled`.
    fn score(
        &mut self,
        matrix: &[f32],
        texts: &[String],
        assembled: Instant,
    ) -> Result<(Vec<f32>, Instant), SubmitError> {
        let RowWidth { features, texts: strings } = self.width;
        let mut probabilities = Vec::with_capacity(matrix.len() / features);
        let mut texts_left = texts;
        let mut ran = assembled;
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
            let before = std::mem::replace(&mut ran, Instant::now());
            self.monitor.inference().ran(rows, ran - before);
        }
        Ok((probabilities, ran))
    }
}

impl fmt::Debug for Scorer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scorer").field("width", &self.width).finish_non_exhaustive()
    }
}
