//! Replaying an artifact's golden rows: does this backend compute what the trainer computed?

use ndarray::Array2;
use onnward_schemas::{FeatureKind, GoldenRow, GoldenValue, Metadata, Schema};
use thiserror::Error;

use crate::backend::{BackendError, Batch, Input, InputValues, Session};

/// Which graph of an artifact is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GraphForm {
    /// The full graph, over raw named columns.
    Full,
    /// The subgraph from `features` on, over encoded rows.
    Subgraph,
}

impl GraphForm {
    /// The form's name, for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "full graph",
            Self::Subgraph => "subgraph",
        }
    }
}

/// How a replay went.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Replay {
    /// How many rows were scored.
    pub rows: usize,
    /// The largest absolute difference from the trainer's probability.
    pub max_difference: f64,
    /// The index of the golden row that has it.
    pub worst_row: usize,
}

/// Why golden rows could not be replayed or were not reproduced.
#[derive(Debug, Error)]
pub enum GoldenError {
    /// The backend cannot score them.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The backend computes something else.
    #[error(
        "golden row {row} gives {got} on the {} instead of {expected} (tolerance {tolerance}): this runtime does not \
         compute what the trainer computed",
        .form.name()
    )]
    Different {
        /// The graph that was run.
        form: GraphForm,
        /// The row's index.
        row: usize,
        /// The trainer's probability.
        expected: f64,
        /// The backend's.
        got: f64,
        /// The artifact's tolerance.
        tolerance: f64,
    },
}

/// Scores every golden row and compares.
///
/// # Errors
/// [`GoldenError`]; a probability that is not a number counts as different.
pub fn replay(
    session: &mut dyn Session,
    metadata: &Metadata,
    form: GraphForm,
) -> Result<Replay, GoldenError> {
    let golden = &metadata.golden;
    let scores = match form {
        GraphForm::Full => session.score(Batch::Inputs(&raw_columns(metadata)))?,
        GraphForm::Subgraph => session.score(Batch::Features(encoded_rows(metadata).view()))?,
    };
    let mut replay = Replay { rows: scores.len(), max_difference: 0.0, worst_row: 0 };
    for (index, (row, score)) in golden.rows.iter().zip(&scores).enumerate() {
        let got = f64::from(*score);
        let difference = (got - row.probability).abs();
        if difference.is_nan() || difference > golden.tolerance {
            let GoldenRow { probability: expected, .. } = *row;
            return Err(GoldenError::Different {
                form,
                row: index,
                expected,
                got,
                tolerance: golden.tolerance,
            });
        }
        if difference > replay.max_difference {
            replay = Replay { max_difference: difference, worst_row: index, ..replay };
        }
    }
    Ok(replay)
}

/// The golden rows as the `features` matrix.
pub fn encoded_rows(metadata: &Metadata) -> Array2<f32> {
    let rows: Vec<&[GoldenValue]> = metadata.golden.rows.iter().map(|row| row.values.as_slice()).collect();
    encode(&metadata.schema, &rows)
}

/// Raw rows, each with a value for every feature, as the `features` matrix `[rows, features]`.
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
            FeatureKind::Categorical { .. } => InputValues::Texts(values.map(GoldenValue::text).collect()),
        };
        Input::column(&feature.name, values)
    };
    metadata.schema.features.iter().enumerate().map(column).collect()
}
