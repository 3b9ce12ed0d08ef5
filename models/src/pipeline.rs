use ndarray::{ArrayView2, Axis};
use onnward_schemas::Metadata;

use crate::dataset::LabelledRows;
use crate::fitted::FittedModel;
use crate::preprocess::Preprocessor;

/// How many rows are preprocessed at a time.
const BLOCK: usize = 1024;

/// A fitted model with everything that an artifact says about it.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainedModel {
    /// What the artifact says about itself.
    pub metadata: Metadata,
    /// The preprocessing, learned from the same rows as the model.
    pub preprocessor: Preprocessor,
    /// The model.
    pub model: FittedModel,
}

/// A preprocessing and the model that was fitted on what it makes.
#[derive(Debug, Clone)]
pub(crate) struct Pipeline {
    pub preprocessor: Preprocessor,
    pub model: FittedModel,
}

impl TrainedModel {
    /// The probability of the positive label for each row of a `features` matrix `[rows, features]`.
    pub fn predict(&self, features: ArrayView2<'_, f32>) -> Vec<f64> {
        predict(&self.preprocessor, &self.model, features)
    }
}

impl Pipeline {
    pub fn predict(&self, features: ArrayView2<'_, f32>) -> Vec<f64> {
        predict(&self.preprocessor, &self.model, features)
    }

    pub fn roc_auc(&self, rows: &LabelledRows) -> f64 {
        crate::metrics::roc_auc(&rows.labels, &self.predict(rows.features.view()))
    }
}

fn predict(preprocessor: &Preprocessor, model: &FittedModel, features: ArrayView2<'_, f32>) -> Vec<f64> {
    let mut probabilities = Vec::with_capacity(features.nrows());
    for block in features.axis_chunks_iter(Axis(0), BLOCK) {
        let rows = preprocessor.transform(block);
        probabilities.extend(rows.outer_iter().map(|row| model.score(&row.to_vec())));
    }
    probabilities
}
