use ndarray::ArrayView2;
use onnward_schemas::Metadata;

use crate::fitted::FittedModel;
use crate::preprocess::Preprocessor;

/// A model with everything that is known of it.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainedModel {
    /// What the artifact will say of the model.
    pub metadata: Metadata,
    /// The preprocessing, fitted on the training rows.
    pub preprocessor: Preprocessor,
    /// The model, fitted on the preprocessed training rows.
    pub model: FittedModel,
}

impl TrainedModel {
    /// The probability of the positive label for each row of a `features` matrix `[rows, features]`.
    pub fn predict(&self, features: ArrayView2<'_, f32>) -> Vec<f64> {
        let columns = self.preprocessor.transform(features);
        columns.outer_iter().map(|row| self.model.score(&row.to_vec())).collect()
    }
}
