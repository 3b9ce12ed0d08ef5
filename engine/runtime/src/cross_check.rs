//! Cross-checks two backends on the same rows.
//!
//! Golden rows verify a backend at a few dozen points. Rows drawn from the training profile cover where the
//! customers are. They need no expected probabilities, because the other runtime supplies them.

mod draw;

use std::fmt;

use ndarray::{Array2, ArrayView2};
use onnward_schemas::{GoldenValue, Metadata, Predictions, Rows, Schema, Task};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use self::draw::draw_rows;
use crate::backend::{BackendError, BackendKind, Batch, Session, score_every_row};
use crate::golden;

/// The number of rows that are drawn from the training profile.
pub const DRAWN_ROWS: usize = 300;

/// The rows that two backends are compared on: an artifact's golden rows, and rows drawn from its training
/// profile.
#[derive(Debug)]
pub struct ComparedRows<'a> {
    schema: &'a Schema,
    tolerance: f64,
    unit: f64,
    golden_rows: usize,
    /// The golden rows, then the drawn ones.
    rows: Vec<Vec<GoldenValue>>,
    /// The same rows, `[rows, features]`.
    encoded: Array2<f32>,
}

/// The predictions of a backend for each of the [`ComparedRows`].
#[derive(Debug)]
pub struct BackendScores {
    backend: BackendKind,
    predictions: Predictions,
}

/// The result of two backends that agree.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The backend that the serving one was compared with.
    pub with: BackendKind,
    /// The number of golden rows that were scored on both.
    pub golden_rows: usize,
    /// The number of rows drawn from the training profile that were scored on both.
    pub drawn_rows: usize,
    /// The largest absolute difference of their probabilities.
    pub max_difference: f64,
}

/// A row on which two backends disagree.
#[derive(Debug, Error, Clone, PartialEq)]
#[error(
    "{origin} scores {} on {} and {} on {} (tolerance {tolerance}), so one of the runtimes is wrong: try another \
     release of ONNX Runtime. Row: {row}",
    .predictions[0], .backends[0], .predictions[1], .backends[1]
)]
pub struct Disagreement {
    /// The origin of the row.
    pub origin: RowOrigin,
    /// The row's raw values under their features' names, as a JSON object.
    pub row: String,
    /// The two backends, the serving one first.
    pub backends: [BackendKind; 2],
    /// The prediction from each backend, in words.
    pub predictions: [String; 2],
    /// The artifact's tolerance.
    pub tolerance: f64,
}

/// The origin of a compared row; the indices count from 0.
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

impl BackendScores {
    /// Returns the backend that computed the scores.
    pub fn backend(&self) -> BackendKind {
        self.backend
    }
}

impl<'a> ComparedRows<'a> {
    /// Creates the rows for an artifact. The same file always gets the same rows; `sha256` is its digest in
    /// hexadecimal.
    pub fn of(metadata: &'a Metadata, sha256: &str) -> Self {
        let Metadata { schema, profile, golden, .. } = metadata;
        let mut rows: Vec<Vec<GoldenValue>> = golden.rows.iter().map(|row| row.values.clone()).collect();
        rows.extend(draw_rows(schema, profile, DRAWN_ROWS, sha256));
        let encoded = golden::encode(schema, &rows.iter().map(Vec::as_slice).collect::<Vec<_>>());
        Self {
            schema,
            tolerance: golden::tolerance_of(golden),
            unit: golden.unit(),
            golden_rows: golden.rows.len(),
            rows,
            encoded,
        }
    }

    /// Returns the task of the model.
    pub fn task(&self) -> &Task {
        &self.schema.label.task
    }

    /// Returns the number of rows.
    #[expect(clippy::len_without_is_empty, reason = "an artifact has golden rows")]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Returns the encoded rows: `[rows, features]`.
    pub fn encoded(&self) -> ArrayView2<'_, f32> {
        self.encoded.view()
    }

    /// Returns the encoded rows as those of a request.
    pub fn to_rows(&self) -> Rows {
        Rows { values: self.encoded.iter().copied().collect(), kept: Vec::new(), len: self.rows.len() }
    }

    /// Scores the rows on a session of the subgraph.
    ///
    /// # Errors
    /// The backend's, if it cannot score them all.
    pub fn score(
        &self,
        backend: BackendKind,
        session: &mut dyn Session,
    ) -> Result<BackendScores, BackendError> {
        let predictions = score_every_row(session, Batch::Features(self.encoded.view()))?;
        Ok(BackendScores { backend, predictions })
    }

    /// Compares the scores of the serving backend with those of another one.
    ///
    /// # Errors
    /// [`Disagreement`] of the row that differs most, if that exceeds the artifact's tolerance. NaN differs
    /// from everything.
    pub fn compare(
        &self,
        serving: &BackendScores,
        other: &BackendScores,
    ) -> Result<Comparison, Box<Disagreement>> {
        let (worst, max_difference) = serving.predictions.largest_difference(&other.predictions, self.unit);
        if max_difference > self.tolerance {
            let prediction = |scores: &BackendScores| {
                scores.predictions.row(worst).map_or_else(String::new, |row| row.to_string())
            };
            return Err(Box::new(Disagreement {
                origin: self.origin(worst),
                row: self.describe(worst),
                backends: [serving.backend, other.backend],
                predictions: [prediction(serving), prediction(other)],
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

    /// Formats a row as JSON, in the schema's order.
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
