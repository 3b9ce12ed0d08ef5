//! Predictions as the store is handed them.

use std::sync::Arc;

use onnward_rows::RowKeys;
use onnward_serving::version::ModelVersion;

use crate::prediction_id::PredictionId;

/// The predictions of one request.
#[derive(Debug)]
pub struct PredictionBatch {
    /// The id of the first row.
    pub first: PredictionId,
    /// What predicted.
    pub by: Arc<ModelVersion>,
    /// The probabilities: `[rows]`.
    pub probabilities: Vec<f32>,
    /// The client's own keys of the rows.
    pub keys: RowKeys,
}
