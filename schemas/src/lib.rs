//! The contract between the trainer, the exporter and the engine.
//!
//! A [`Schema`] lists the columns of a table of customers. It defines how a raw value becomes a number
//! ([`Feature::encode`]) and describes what is wrong with a value that cannot ([`Violation`]). [`Metadata`]
//! is an artifact's description of itself, and [`layout`] has the paths of a model repository.
//!
//! Everything here is *stateless*: the same code runs while training and while serving. What is *learned*
//! (medians, means, weights, trees) is in the ONNX graph.
//!
//! Deliberately absent: the reading of requests, which is `onnward-rows`, and the bytes of an artifact, which
//! are `onnward-onnx`.

mod checks;
pub mod compatibility;
mod digest;
mod encode;
pub mod error_document;
mod evaluation;
mod feature;
mod feature_keys;
#[cfg(any(test, feature = "test-util"))]
pub mod fixtures;
mod golden;
mod kept;
pub mod layout;
mod manifest;
mod metadata;
mod metadata_checks;
mod metadata_error;
mod predictions;
mod profile;
mod roc_auc;
mod rows;
pub mod sample;
mod schema;
mod spec;
mod task;
mod violation;

pub use checks::INSTANCES;
pub use digest::{is_digest, sha256_hex, sha256_prefix};
pub use encode::{UNKNOWN_CATEGORY, Value, is_missing_text, shorten};
pub use evaluation::{
    BinaryFigures, ClassFigures, Confusion, Criterion, CrossValidation, Evaluation, Figures, NumberFigures,
};
pub use feature::{Feature, FeatureKind, UnknownPolicy};
pub use golden::{Golden, GoldenPrediction, GoldenRow, GoldenValue, most_probable};
pub use kept::{ArrayBuilder, Kept, KeptElement, KeptType, Scalar};
pub use manifest::{Manifest, ModelSummary};
pub use metadata::{FORMAT_VERSION, Metadata, Provenance};
pub use metadata_error::MetadataError;
pub use predictions::{
    ClassPredictions, LabelledPrediction, Number, NumberSlice, Numbers, PredictedValues, Prediction,
    Predictions, RowFailure, TypedArray, TypedValues,
};
pub use profile::{ErrorProfile, FeatureProfile, Profile, SCORE_BINS, ScoreProfile};
pub use roc_auc::roc_auc;
pub use rows::Rows;
pub use schema::{Label, Schema, SchemaError, SchemaFile};
pub use task::{Binary, Classes, OutputElement, OutputField, Outputs, Task, TaskKind};
pub use violation::{Mismatch, Violation, Violations, pointer_to};
