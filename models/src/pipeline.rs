use ndarray::{ArrayView2, Axis};
use onnward_schemas::{Metadata, Schema};

use crate::dataset::{Dataset, LabelledRows};
use crate::fitted::FittedModel;
use crate::parameters::CandidateParams;
use crate::plan::TrainingError;
use crate::preprocess::Preprocessor;
use crate::{forest, linfa_logistic, logistic, parallel, smartcore_forest};

/// How many rows are preprocessed and scored at a time.
const BLOCK: usize = 4096;

/// How many steps of progress the fit of a logistic regression counts for; that of a forest counts its trees.
const LOGISTIC_STEPS: usize = 10;

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
pub struct Pipeline {
    /// The preprocessing.
    pub preprocessor: Preprocessor,
    /// The model.
    pub model: FittedModel,
}

impl TrainedModel {
    /// The probability of the positive label for each row of a `features` matrix `[rows, features]`.
    pub fn predict(&self, features: ArrayView2<'_, f32>) -> Vec<f64> {
        predict(&self.preprocessor, &self.model, features)
    }
}

impl Pipeline {
    /// Fits a candidate on all rows of a table, without judging it; [`train`](crate::train()) does both. `advance` hears of the
    /// steps done, on several threads.
    ///
    /// # Errors
    /// [`TrainingError`]: a setting is not usable, or the model cannot be fitted.
    pub fn fit(
        data: &Dataset,
        params: &CandidateParams,
        seed: u64,
        advance: &(dyn Fn(usize) + Sync),
    ) -> Result<Self, TrainingError> {
        params.check()?;
        Self::fit_rows(&data.schema, data.features.view(), &data.labels, params, seed, advance)
    }

    /// Fits the preprocessing and the model on the same rows.
    pub(crate) fn fit_rows(
        schema: &Schema,
        features: ArrayView2<'_, f32>,
        labels: &[bool],
        params: &CandidateParams,
        seed: u64,
        advance: &(dyn Fn(usize) + Sync),
    ) -> Result<Self, TrainingError> {
        let scaled = Preprocessor::fit(schema, features);
        // A tree asks on which side of a threshold a value lies, which scaling does not change; left out, it cannot
        // round a value across a threshold on a runtime that divides differently.
        let unscaled = || scaled.clone().without_scaling();
        let (preprocessor, model) = match params {
            CandidateParams::Logistic(params) => {
                let model = logistic::fit(&scaled, features, labels, params)?;
                (scaled, FittedModel::Logistic(model))
            }
            CandidateParams::LinfaLogistic(params) => {
                let model = linfa_logistic::fit(scaled.transform(features).view(), labels, params)?;
                (scaled, FittedModel::Logistic(model))
            }
            CandidateParams::Forest(params) => {
                let preprocessor = unscaled();
                let model = forest::fit(&preprocessor, features, labels, params, seed, advance);
                (preprocessor, FittedModel::Forest(model))
            }
            CandidateParams::SmartcoreForest(params) => {
                let preprocessor = unscaled();
                let matrix = preprocessor.transform(features);
                let model = smartcore_forest::fit(matrix.view(), labels, params, seed, advance)?;
                (preprocessor, FittedModel::Forest(model))
            }
        };
        if let FittedModel::Logistic(_) = model {
            advance(LOGISTIC_STEPS);
        }
        Ok(Self { preprocessor, model })
    }

    /// The probability of the positive label for each row of a `features` matrix `[rows, features]`.
    pub fn predict(&self, features: ArrayView2<'_, f32>) -> Vec<f64> {
        predict(&self.preprocessor, &self.model, features)
    }

    pub(crate) fn roc_auc(&self, rows: &LabelledRows) -> f64 {
        crate::metrics::roc_auc(&rows.labels, &self.predict(rows.features.view()))
    }
}

impl CandidateParams {
    /// How many steps of progress a fit with these settings takes.
    pub(crate) fn steps(&self) -> usize {
        match self {
            Self::Logistic(_) | Self::LinfaLogistic(_) => LOGISTIC_STEPS,
            Self::Forest(params) | Self::SmartcoreForest(params) => params.trees,
        }
    }
}

fn predict(preprocessor: &Preprocessor, model: &FittedModel, features: ArrayView2<'_, f32>) -> Vec<f64> {
    let blocks: Vec<_> = features.axis_chunks_iter(Axis(0), BLOCK).collect();
    let scored = parallel::map(&blocks, |block| model.score_rows(preprocessor.transform(*block).view()));
    scored.concat()
}
