//! The differential check: do two backends compute the same from the same rows?
//!
//! Golden rows prove a backend at a few dozen points. Rows drawn from the training profile look where the customers are,
//! and need no expected probabilities: another runtime, written by others, gives them.

mod draw;

use std::fmt;

use ndarray::{Array2, ArrayView2};
use onnward_schemas::{GoldenValue, Metadata, Schema};
use serde::Serialize;
use thiserror::Error;

use self::draw::draw_rows;
use crate::backend::{BackendError, BackendKind, Batch, Session};
use crate::golden;

/// How many rows are drawn from the training profile.
pub const DRAWN_ROWS: usize = 300;

/// The rows that two backends are compared on: an artifact's golden rows, and rows drawn from its training profile.
#[derive(Debug)]
pub struct ComparedRows<'a> {
    schema: &'a Schema,
    tolerance: f64,
    golden_rows: usize,
    /// The golden rows, then the drawn ones.
    rows: Vec<Vec<GoldenValue>>,
    /// The same rows, `[rows, features]`.
    encoded: Array2<f32>,
}

/// The probabilities that a backend gives for each of the [`ComparedRows`].
#[derive(Debug)]
pub struct Scores {
    backend: BackendKind,
    probabilities: Vec<f32>,
}

/// Two backends agree.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Comparison {
    /// The backend that the serving one was compared with.
    pub with: BackendKind,
    /// How many golden rows were scored on both.
    pub golden_rows: usize,
    /// How many rows drawn from the training profile were scored on both.
    pub drawn_rows: usize,
    /// The largest absolute difference of their probabilities.
    pub max_difference: f64,
}

/// Two backends compute something else from the same row.
#[derive(Debug, Error, Clone, PartialEq)]
#[error(
    "{origin} gives {} on {} and {} on {} (tolerance {tolerance}): one of the two runtimes computes wrongly; try \
     another release of ONNX Runtime. The row: {row}",
    .probabilities[0], .backends[0], .probabilities[1], .backends[1]
)]
pub struct Difference {
    /// Where the row comes from.
    pub origin: RowOrigin,
    /// The row's raw values under their features' names, as a JSON object.
    pub row: String,
    /// The two backends, the serving one first.
    pub backends: [BackendKind; 2],
    /// What each of them gives.
    pub probabilities: [f32; 2],
    /// The artifact's tolerance.
    pub tolerance: f64,
}

/// Where a compared row comes from; the indices count from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowOrigin {
    /// It is one of the artifact's golden rows.
    Golden(usize),
    /// It was drawn from the training profile.
    Drawn(usize),
}

impl fmt::Display for RowOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Golden(index) => write!(f, "golden row {index}"),
            Self::Drawn(index) => write!(f, "drawn row {index}"),
        }
    }
}

impl Scores {
    /// The backend that gives them.
    pub fn backend(&self) -> BackendKind {
        self.backend
    }
}

impl<'a> ComparedRows<'a> {
    /// The rows for an artifact; the same file always gets the same ones. `sha256` is its digest in hexadecimal.
    pub fn of(metadata: &'a Metadata, sha256: &str) -> Self {
        let Metadata { schema, profile, golden, .. } = metadata;
        let mut rows: Vec<Vec<GoldenValue>> = golden.rows.iter().map(|row| row.values.clone()).collect();
        rows.extend(draw_rows(schema, profile, DRAWN_ROWS, sha256));
        let encoded = golden::encode(schema, &rows.iter().map(Vec::as_slice).collect::<Vec<_>>());
        Self { schema, tolerance: golden.tolerance, golden_rows: golden.rows.len(), rows, encoded }
    }

    /// How many rows there are.
    #[expect(clippy::len_without_is_empty, reason = "an artifact has golden rows")]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// The rows, encoded: `[rows, features]`.
    pub fn encoded(&self) -> ArrayView2<'_, f32> {
        self.encoded.view()
    }

    /// Scores the rows on a session of the cut graph.
    ///
    /// # Errors
    /// The backend's, if it cannot score them.
    pub fn score(&self, backend: BackendKind, session: &mut dyn Session) -> Result<Scores, BackendError> {
        let probabilities = session.score(Batch::Features(self.encoded.view()))?;
        Ok(Scores { backend, probabilities })
    }

    /// Holds the scores of the serving backend against those of another one.
    ///
    /// # Errors
    /// [`Difference`] of the row that differs most, if that is over the artifact's tolerance; a probability that is not a
    /// number differs from everything.
    pub fn compare(&self, serving: &Scores, other: &Scores) -> Result<Comparison, Box<Difference>> {
        let (mut worst, mut max_difference) = (0, 0.0);
        for (index, (ours, theirs)) in serving.probabilities.iter().zip(&other.probabilities).enumerate() {
            let difference = (f64::from(*ours) - f64::from(*theirs)).abs();
            let difference = if difference.is_nan() { f64::INFINITY } else { difference };
            if difference > max_difference {
                (worst, max_difference) = (index, difference);
            }
        }
        if max_difference > self.tolerance {
            let probability = |scores: &Scores| scores.probabilities.get(worst).copied().unwrap_or(f32::NAN);
            return Err(Box::new(Difference {
                origin: self.origin(worst),
                row: self.describe(worst),
                backends: [serving.backend, other.backend],
                probabilities: [probability(serving), probability(other)],
                tolerance: self.tolerance,
            }));
        }
        Ok(Comparison {
            with: other.backend,
            golden_rows: self.golden_rows,
            drawn_rows: self.rows.len() - self.golden_rows,
            max_difference,
        })
    }

    fn origin(&self, row: usize) -> RowOrigin {
        match row.checked_sub(self.golden_rows) {
            None => RowOrigin::Golden(row),
            Some(drawn) => RowOrigin::Drawn(drawn),
        }
    }

    /// A row as it would be sent in a request, in the schema's order.
    fn describe(&self, row: usize) -> String {
        let values = self.rows.get(row).into_iter().flatten();
        let named = self.schema.features.iter().zip(values);
        let each = named.map(|(feature, value)| {
            format!("{}: {}", serde_json::json!(feature.name), serde_json::json!(value))
        });
        format!("{{{}}}", each.collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
mod tests;
