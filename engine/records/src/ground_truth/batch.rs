//! The predictions that a request hands to the store.

use std::sync::Arc;

use onnward_rows::RowKeys;
use onnward_serving::version::ModelVersion;

use crate::prediction_id::PredictionId;

/// The predictions of one request.
#[derive(Debug)]
pub struct PredictionBatch {
    /// The id of the first row.
    pub first: PredictionId,
    /// The version that predicted.
    pub by: Arc<ModelVersion>,
    /// The probabilities: `[rows]`.
    pub probabilities: Vec<f32>,
    /// The client's own keys for the rows.
    pub keys: RowKeys,
}
