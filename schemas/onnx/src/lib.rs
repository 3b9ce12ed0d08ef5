//! The artifact's wire format: an ONNX file whose metadata describes it.
//!
//! The exporter writes these messages, and the engine reads them. Only this crate encodes and decodes
//! them, so that neither half imports the other.

mod artifact;
mod attributes;
mod bounds;
mod expected_rows;
mod external;
mod external_data;
mod forest;
mod functions;
mod metadata;
mod output_reader;
/// The messages of ONNX, generated from its own definition.
#[allow(missing_docs, rustdoc::all, clippy::all)]
pub mod proto;
mod subgraph;

pub use artifact::{Artifact, ArtifactError, FEATURES, LABEL, PREDICTION, PROBABILITIES, decode_model};
pub use bounds::{BoundsError, MemoryDemand, ModelBounds};
pub use expected_rows::{ExpectedRow, ExpectedRows, ExpectedRowsError, Unexpected};
pub use external::{
    ActivationConfig, Element, Examples, ExternalConfig, ExternalError, ExternalInput, ExternalModel,
    InputsConfig, KindSource, Layout, ModelConfig, OutputConfig, OutputKind,
};
pub use external_data::{DataRange, ExternalDataError, fold_external_data};
pub use forest::{ForestSlices, TAKEN_FOREST, TreeLists};
pub use functions::{FunctionsError, inline_functions};
pub use output_reader::{
    Activation, ClassesOutput, NumberOutput, OutputReader, ProbabilityOutput, RawOutput, UnexpectedOutput,
};
