//! The predictions that a request hands to the store.

use std::sync::Arc;

use onnward_rows::RowKeys;
use onnward_schemas::{PredictedValues, Predictions, Task};
use onnward_serving::version::ModelVersion;

use crate::prediction_id::PredictionId;

/// The predictions of one request.
#[derive(Debug)]
pub struct PredictionBatch {
    /// The id of the first row.
    pub first: PredictionId,
    /// The version that predicted.
    pub by: Arc<ModelVersion>,
    /// The predictions of the rows.
    pub predictions: Predictions,
    /// The client's own keys for the rows.
    pub keys: RowKeys,
}

impl PredictionBatch {
    /// Returns whether outcomes can belong to the predictions: to any but the outputs of an external graph.
    pub fn is_storable(&self) -> bool {
        matches!(
            (&self.by.task, &self.predictions.values),
            (Task::Binary(_), PredictedValues::Probabilities(_))
                | (Task::Classes(_), PredictedValues::Classes(_))
                | (Task::Number, PredictedValues::Numbers(_))
        )
    }

    /// Returns the number of rows.
    pub(super) fn rows(&self) -> usize {
        self.predictions.len()
    }

    /// Returns the place that the predictions take in the queue: one for each number.
    pub(super) fn size(&self) -> usize {
        match &self.predictions.values {
            PredictedValues::Classes(classes) => self.rows().saturating_mul(1 + classes.width()),
            PredictedValues::Probabilities(_) | PredictedValues::Numbers(_) | PredictedValues::Outputs(_) => {
                self.rows()
            }
        }
    }
}
