//! The trainer: reads a table of customers, and returns fitted and evaluated models.
//!
//! Data flows one way: read, split, preprocess, fit, evaluate, select. Nothing here depends on ONNX, storage
//! or HTTP.
//!
//! | to do this | call |
//! |---|---|
//! | propose a schema for a table | [`infer_schema`] |
//! | read a table | [`Dataset::read`] |
//! | draw a table of sample customers | [`write_sample`] |
//! | compare models, and keep the best | [`train()`] |
//! | fit one model without evaluating it | [`Pipeline::fit`] |
//!
//! A whole run, on sample customers:
//!
//! ```
//! use std::path::Path;
//!
//! use onnward_models::{Dataset, OnInvalid, SampleFormat, TrainingPlan, train, write_sample};
//! use onnward_schemas::SchemaFile;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let file = SchemaFile::parse(
//!     r#"
//!     name = "shop"
//!     version = 1
//!     label = { column = "left", positive = "yes", negative = "no" }
//!     [[features]]
//!     name = "plan"
//!     type = "categorical"
//!     values = ["basic", "full"]
//!     [[features]]
//!     name = "age"
//!     type = "numeric"
//!     min = 18
//!     max = 90
//!     "#,
//! )?;
//! let mut table = Vec::new();
//! write_sample(&file, 300, 42, SampleFormat::Csv, &mut table, |_| ())?;
//! let data = Dataset::parse(&table, Path::new("sample.csv"), &file.schema, OnInvalid::Fail)?;
//!
//! let run = train(&data, &TrainingPlan { folds: 2, ..TrainingPlan::default() }, &|_| ())?;
//! let best = &run.models[0];
//! assert_eq!(best.metadata.family, run.comparison.selected.name());
//! let figures = best.metadata.evaluation.test.binary();
//! assert!(figures.is_some_and(|figures| figures.roc_auc > 0.5));
//! # Ok(())
//! # }
//! ```

mod comparison;
mod curves;
mod dataset;
mod dataset_error;
mod estimator;
mod fitted;
#[cfg(test)]
mod fixtures;
mod forest;
mod golden;
mod importance;
mod infer;
mod labels;
mod linear;
mod logistic;
mod metrics;
mod parameters;
mod pipeline;
mod plan;
mod preprocess;
mod profile;
mod random;
mod ridge;
mod sample;
mod split;
mod summary;
mod train;

pub use comparison::{
    Baseline, BinaryCurves, CalibrationBin, Candidate, ClassCurves, ClassResult, Comparison, Curves,
    DataSummary, ErrorDistribution, FeatureSummary, Group, Importance, LabelSummary, NumberCurves,
    ValueSummary,
};
pub use dataset::{Dataset, OnInvalid};
pub use dataset_error::{DatasetError, InvalidRows, RowProblem, RowReason};
pub use estimator::{
    Estimator, Family, Solver, UnknownEstimator, UnknownFamily, UnsupportedSolver, UnsupportedTask,
};
pub use fitted::{
    ClassShare, FittedClassForest, FittedForest, FittedLogistic, FittedModel, FittedMultinomial, FittedRidge,
    Node, Segment, Tree,
};
pub use forest::smartcore::SmartcoreError;
pub use infer::{InferError, InferOptions, InferredSchema, infer_schema};
pub use labels::{ClassLabels, Labels, Scores};
pub use logistic::LogisticError;
pub use metrics::roc_auc;
pub use parameters::{CandidateParams, ForestParams, InvalidSetting, LogisticParams, RidgeParams, Settings};
pub use pipeline::{Pipeline, TrainedModel};
pub use plan::{Activity, Progress, TrainingError, TrainingPlan};
pub use preprocess::{NumericColumn, OneHotColumn, Preprocessor};
pub use ridge::RidgeError;
pub use sample::{SampleError, SampleFormat, default_model, write_sample};
pub use split::Split;
pub use train::{TrainingRun, train};
