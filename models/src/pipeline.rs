use ndarray::{ArrayView2, Axis};
use onnward_schemas::{Metadata, Schema, TaskKind};
use rayon::prelude::*;

use crate::dataset::{Dataset, LabelledRows};
use crate::estimator::{Solver, UnsupportedSolver, UnsupportedTask};
use crate::fitted::FittedModel;
use crate::labels::{Labels, Scores};
use crate::parameters::{CandidateParams, Settings};
use crate::plan::TrainingError;
use crate::preprocess::Preprocessor;
use crate::{forest, logistic, ridge};

/// The number of rows that are preprocessed and scored at a time.
const BLOCK: usize = 4096;

/// The steps of progress of the fit of a linear model. That of a forest has one for each tree.
const LINEAR_STEPS: usize = 10;

/// A fitted model with the metadata of its artifact.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainedModel {
    /// The description that the artifact carries.
    pub metadata: Metadata,
    /// The preprocessing, fitted on the same rows as the model.
    pub preprocessor: Preprocessor,
    /// The model.
    pub model: FittedModel,
}

/// A preprocessing, and the model that was fitted on its output.
#[derive(Debug, Clone)]
pub struct Pipeline {
    /// The preprocessing.
    pub preprocessor: Preprocessor,
    /// The model.
    pub model: FittedModel,
}

impl TrainedModel {
    /// Returns the prediction for each row of a `features` matrix `[rows, features]`.
    pub fn predict(&self, features: ArrayView2<'_, f32>) -> Scores {
        predict(&self.preprocessor, &self.model, features)
    }
}

impl Pipeline {
    /// Fits a candidate on all rows of a table, without evaluating it. [`train`](crate::train()) does both.
    ///
    /// `advance` is called with the number of steps done, from several threads.
    ///
    /// # Errors
    /// [`TrainingError`] if a setting is out of range, or the model cannot be fitted.
    ///
    /// # Examples
    /// ```
    /// use std::path::Path;
    ///
    /// use onnward_models::{CandidateParams, Dataset, Family, OnInvalid, Pipeline, roc_auc};
    /// # use onnward_schemas::SchemaFile;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let schema = SchemaFile::parse(
    /// #     r#"
    /// #     name = "shop"
    /// #     version = 1
    /// #     label = { column = "left", positive = "yes", negative = "no" }
    /// #     [[features]]
    /// #     name = "age"
    /// #     type = "numeric"
    /// #     "#,
    /// # )?
    /// # .schema;
    /// let table = "age,left\n20,yes\n30,yes\n40,no\n50,no\n60,no\n";
    /// let data = Dataset::parse(table.as_bytes(), Path::new("shop.csv"), &schema, OnInvalid::Fail)?;
    ///
    /// let params = CandidateParams::default_of(Family::Logistic);
    /// let pipeline = Pipeline::fit(&data, &params, 42, &|_| ())?;
    /// let scores = pipeline.predict(data.features.view());
    /// let (Some(probabilities), Some(labels)) = (scores.probabilities(), data.labels.binary()) else {
    ///     return Err("the label is binary".into());
    /// };
    /// assert!(probabilities[0] > probabilities[4]);
    /// assert_eq!(roc_auc(labels, probabilities), 1.0);
    /// # Ok(())
    /// # }
    /// ```
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
        labels: &Labels,
        params: &CandidateParams,
        seed: u64,
        advance: &(dyn Fn(usize) + Sync),
    ) -> Result<Self, TrainingError> {
        let scaled = Preprocessor::fit(schema, features);
        // A tree compares values with thresholds, so scaling changes nothing. Without it, no runtime that
        // divides differently can round a value across a threshold.
        let unscaled = || scaled.clone().without_scaling();
        let unsupported = |task: TaskKind| UnsupportedTask { estimator: params.estimator(), task };
        let (preprocessor, model) = match (&params.settings, params.solver, labels) {
            (Settings::Logistic(params), Solver::Own, Labels::Binary(labels)) => {
                let model = logistic::newton::fit(&scaled, features, labels, params)?;
                (scaled, FittedModel::Logistic(model))
            }
            (Settings::Logistic(params), Solver::Own, Labels::Classes(labels)) => {
                let model = logistic::multinomial::fit(&scaled, features, labels, params)?;
                (scaled, FittedModel::Multinomial(model))
            }
            (Settings::Logistic(params), Solver::Linfa, Labels::Binary(labels)) => {
                let model = logistic::linfa::fit(scaled.transform(features).view(), labels, params)?;
                (scaled, FittedModel::Logistic(model))
            }
            (Settings::Ridge(params), Solver::Own, Labels::Numbers(labels)) => {
                let model = ridge::fit(&scaled, features, labels, params)?;
                (scaled, FittedModel::Ridge(model))
            }
            (Settings::Forest(params), Solver::Own, labels) => {
                let preprocessor = unscaled();
                let model = forest::histogram::fit(&preprocessor, features, labels, params, seed, advance);
                (preprocessor, model)
            }
            (Settings::Forest(params), Solver::Smartcore, Labels::Binary(labels)) => {
                let preprocessor = unscaled();
                let matrix = preprocessor.transform(features);
                let model = forest::smartcore::fit(matrix.view(), labels, params, seed, advance)?;
                (preprocessor, FittedModel::Forest(model))
            }
            (Settings::Logistic(_) | Settings::Ridge(_), Solver::Smartcore, _)
            | (Settings::Forest(_) | Settings::Ridge(_), Solver::Linfa, _) => {
                return Err(UnsupportedSolver(params.estimator()).into());
            }
            (Settings::Logistic(_) | Settings::Ridge(_), Solver::Own, labels)
            | (Settings::Logistic(_), Solver::Linfa, labels)
            | (Settings::Forest(_), Solver::Smartcore, labels) => {
                return Err(unsupported(labels.task()).into());
            }
        };
        if !matches!(params.settings, Settings::Forest(_)) {
            advance(LINEAR_STEPS);
        }
        Ok(Self { preprocessor, model })
    }

    /// Returns the prediction for each row of a `features` matrix `[rows, features]`.
    pub fn predict(&self, features: ArrayView2<'_, f32>) -> Scores {
        predict(&self.preprocessor, &self.model, features)
    }

    /// Computes the figure by which models of the rows' task are compared.
    pub(crate) fn criterion(&self, rows: &LabelledRows) -> f64 {
        crate::metrics::criterion(&rows.labels, &self.predict(rows.features.view()))
    }
}

impl CandidateParams {
    /// Returns the number of steps of progress that a fit with these settings takes.
    pub(crate) fn steps(&self) -> usize {
        match &self.settings {
            Settings::Logistic(_) | Settings::Ridge(_) => LINEAR_STEPS,
            Settings::Forest(params) => params.trees,
        }
    }
}

fn predict(preprocessor: &Preprocessor, model: &FittedModel, features: ArrayView2<'_, f32>) -> Scores {
    let blocks: Vec<_> = features.axis_chunks_iter(Axis(0), BLOCK).collect();
    let score = |block: &ArrayView2<'_, f32>| model.score_rows(preprocessor.transform(*block).view());
    let scored: Vec<Scores> = blocks.par_iter().map(score).collect();
    // A table without rows has no blocks.
    let none = || model.score_rows(preprocessor.transform(features).view());
    scored.into_iter().reduce(Scores::followed_by).unwrap_or_else(none)
}
