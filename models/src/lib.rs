//! The trainer: a table of customers goes in, fitted and evaluated models come out.
//!
//! Data flows one way: read, split, preprocess, fit, evaluate, select. Nothing here knows ONNX, storage or HTTP.

mod comparison;
mod family;
mod fitted;
mod infer;
mod preprocess;
mod sample;
mod trained;

pub use comparison::{
    CalibrationBin, Candidate, Comparison, Curves, DataSummary, FeatureSummary, Group, Importance,
    ValueSummary,
};
pub use family::{Family, UnknownFamily};
pub use fitted::{FittedForest, FittedLogistic, FittedModel, Node, Tree};
pub use infer::{InferError, InferOptions, InferredSchema, infer_schema};
pub use preprocess::{NumericColumn, OneHotColumn, Preprocessor};
pub use sample::{SampleError, default_model, write_sample};
pub use trained::TrainedModel;
