//! The trainer: a table of customers goes in, fitted and evaluated models come out.
//!
//! Data flows one way: read, split, preprocess, fit, evaluate, select. Nothing here knows ONNX, storage or HTTP.

mod comparison;
mod curves;
mod dataset;
mod dataset_error;
mod family;
mod fitted;
#[cfg(test)]
mod fixtures;
mod forest;
mod golden;
mod importance;
mod infer;
mod linfa_logistic;
mod logistic;
mod metrics;
mod parallel;
mod parameters;
mod pipeline;
mod plan;
mod preprocess;
mod profile;
mod random;
mod sample;
mod smartcore_forest;
mod spline;
mod split;
mod summary;
mod train;

pub use comparison::{
    CalibrationBin, Candidate, Comparison, Curves, DataSummary, FeatureSummary, Group, Importance,
    ValueSummary,
};
pub use dataset::{Dataset, OnInvalid};
pub use dataset_error::{DatasetError, InvalidRows, RowProblem, RowReason};
pub use family::{Family, UnknownFamily};
pub use fitted::{FittedForest, FittedLogistic, FittedModel, Node, Segment, Tree};
pub use infer::{InferError, InferOptions, InferredSchema, infer_schema};
pub use logistic::LogisticError;
pub use metrics::roc_auc;
pub use parameters::{CandidateParams, ForestParams, InvalidSetting, LogisticParams};
pub use pipeline::{Pipeline, TrainedModel};
pub use plan::{Activity, Progress, TrainingError, TrainingPlan};
pub use preprocess::{NumericColumn, OneHotColumn, Preprocessor};
pub use sample::{SampleError, SampleFormat, default_model, write_sample};
pub use smartcore_forest::SmartcoreError;
pub use split::Split;
pub use train::{TrainingRun, train};
