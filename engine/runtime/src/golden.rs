//! Replays an artifact's golden rows to check that a backend computes what the trainer computed.

use ndarray::Array2;
use onnward_schemas::{
    FeatureKind, Golden, GoldenPrediction, GoldenValue, Metadata, NumberSlice, Prediction, Schema,
};
use thiserror::Error;

use crate::backend::{BackendError, Batch, Input, InputValues, Session, score_every_row};

/// The graph of an artifact that is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GraphForm {
    /// The full graph, over raw named columns.
    Full,
    /// The subgraph from `features` on, over encoded rows.
    Subgraph,
}

impl GraphForm {
    /// Returns the human-readable name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "full graph",
            Self::Subgraph => "subgraph",
        }
    }
}

/// The result of a replay.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Replay {
    /// The number of rows that were scored.
    pub rows: usize,
    /// The largest difference from the trainer's prediction.
    pub max_difference: f64,
    /// The index of the golden row that has it.
    pub worst_row: usize,
}

/// The reason why golden rows could not be replayed or were not reproduced.
#[derive(Debug, Error)]
pub enum GoldenError {
    /// The backend cannot score them.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// Nothing verifies the backend.
    #[error("the model has no golden rows, so nothing verifies this runtime: export it again")]
    NoRows,
    /// The backend computes something else than the trainer.
    #[error(
        "golden row {row} scores {actual} on the {} instead of {expected} (tolerance {tolerance}): this runtime does not \
         compute what the trainer computed",
        .form.name()
    )]
    Mismatch {
        /// The graph that was run.
        form: GraphForm,
        /// The row's index.
        row: usize,
        /// The trainer's probability or number; of several classes, that of the class that differs most.
        expected: f64,
        /// The backend's.
        actual: f64,
        /// The artifact's tolerance.
        tolerance: f64,
    },
}

/// Returns the tolerance that a comparison may use. What a file states counts up to
/// [`Golden::MAX_TOLERANCE`], and anything but a positive number counts as 0.
pub fn tolerance_of(golden: &Golden) -> f64 {
    if golden.tolerance > 0.0 { golden.tolerance.min(Golden::MAX_TOLERANCE) } else { 0.0 }
}

/// A number that the trainer has predicted, and the backend's.
#[derive(Debug, Clone, Copy)]
struct Compared {
    expected: f64,
    actual: f64,
    difference: f64,
}

impl Compared {
    /// Compares probabilities: by their difference as it is.
    fn probability(expected: f64, actual: f64) -> Self {
        Self { expected, actual, difference: finite_or_infinite((actual - expected).abs()) }
    }

    /// Compares numbers: by their difference relative to the expected one, or to `unit` where that is larger.
    fn number(expected: f64, actual: f64, unit: f64) -> Self {
        let relative = (actual - expected).abs() / expected.abs().max(unit);
        Self { expected, actual, difference: finite_or_infinite(relative) }
    }

    /// Compares the probabilities of all classes and returns those that differ most.
    fn classes(expected: &[f64], actual: NumberSlice<'_>) -> Option<Self> {
        if expected.len() != actual.len() {
            return None;
        }
        let each = expected.iter().zip(actual.iter());
        let each = each.map(|(expected, actual)| Self::probability(*expected, actual));
        each.max_by(|one, other| one.difference.total_cmp(&other.difference))
    }

    /// Compares a backend's prediction with a golden row's. What is of another task, or missing, differs from
    /// everything.
    fn of(expected: &GoldenPrediction, actual: Option<Prediction<'_>>, unit: f64) -> Self {
        let compared = match (expected, actual) {
            (GoldenPrediction::Probability(expected), Some(Prediction::Probability(actual))) => {
                Some(Self::probability(*expected, f64::from(actual.to_f32())))
            }
            (GoldenPrediction::Probabilities(expected), Some(Prediction::Class(_, Some(actual)))) => {
                Self::classes(expected, actual)
            }
            (GoldenPrediction::Number(expected), Some(Prediction::Number(actual))) => {
                Some(Self::number(*expected, actual.to_f64(), unit))
            }
            _ => None,
        };
        let first = expected.numbers().first().copied();
        compared.unwrap_or_else(|| Self::probability(first.unwrap_or_default(), f64::NAN))
    }
}

/// Returns a difference. It is infinite where one of two numbers is not a number, so that no tolerance covers it.
fn finite_or_infinite(difference: f64) -> f64 {
    if difference.is_nan() { f64::INFINITY } else { difference }
}

/// Scores every golden row and compares it with the trainer's prediction.
///
/// # Errors
/// [`GoldenError`]; a prediction that is not a number, or of another task, counts as different.
pub fn replay(
    session: &mut dyn Session,
    metadata: &Metadata,
    form: GraphForm,
) -> Result<Replay, GoldenError> {
    let golden = &metadata.golden;
    if golden.rows.is_empty() {
        return Err(GoldenError::NoRows);
    }
    let (tolerance, unit) = (tolerance_of(golden), golden.unit());
    let scores = match form {
        GraphForm::Full => score_every_row(session, Batch::Inputs(&raw_columns(metadata)))?,
        GraphForm::Subgraph => score_every_row(session, Batch::Features(encoded_rows(metadata).view()))?,
    };
    let mut replay = Replay { rows: scores.len(), max_difference: 0.0, worst_row: 0 };
    for (index, row) in golden.rows.iter().enumerate() {
        let Compared { expected, actual, difference } =
            Compared::of(&row.prediction, scores.row(index), unit);
        if difference > tolerance {
            return Err(GoldenError::Mismatch { form, row: index, expected, actual, tolerance });
        }
        if difference > replay.max_difference {
            replay = Replay { max_difference: difference, worst_row: index, ..replay };
        }
    }
    Ok(replay)
}

/// Returns the golden rows as the `features` matrix.
pub fn encoded_rows(metadata: &Metadata) -> Array2<f32> {
    let rows: Vec<&[GoldenValue]> = metadata.golden.rows.iter().map(|row| row.values.as_slice()).collect();
    encode(&metadata.schema, &rows)
}

/// Encodes raw rows, each with a value for every feature, as the `features` matrix `[rows, features]`.
pub fn encode(schema: &Schema, rows: &[&[GoldenValue]]) -> Array2<f32> {
    let features = &schema.features;
    Array2::from_shape_fn((rows.len(), features.len()), |(row, index)| {
        features[index].code(rows[row][index].as_value())
    })
}

fn raw_columns(metadata: &Metadata) -> Vec<Input> {
    let column = |(index, feature): (usize, &onnward_schemas::Feature)| {
        let values = metadata.golden.rows.iter().map(|row| &row.values[index]);
        let values = match feature.kind {
            FeatureKind::Numeric { .. } => {
                InputValues::Floats(values.map(|value| feature.code(value.as_value())).collect())
            }
            // An artifact keeps no values.
            FeatureKind::Categorical { .. } | FeatureKind::Kept(_) => {
                InputValues::Texts(values.map(GoldenValue::text).collect())
            }
        };
        Input::column(&feature.name, values)
    };
    metadata.schema.features.iter().enumerate().map(column).collect()
}

#[cfg(test)]
mod tests;
