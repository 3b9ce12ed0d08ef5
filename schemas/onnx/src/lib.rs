//! The artifact's wire format: an ONNX file whose metadata describes it.
//!
//! The exporter writes these messages and the engine reads and cuts them; this crate is the one place that knows their
//! bytes, so that neither half imports the other.

mod artifact;
mod bounds;
mod cut;
mod foreign;
mod metadata;
mod probability;
/// The messages of ONNX.
#[allow(missing_docs, rustdoc::all, clippy::all)]
pub mod proto;

pub use artifact::{Artifact, ArtifactError, FEATURES, LABEL, PROBABILITIES, decode_model};
pub use bounds::{BoundsError, ModelBounds};
pub use foreign::{
    ActivationConfig, Element, ForeignConfig, ForeignError, ForeignInput, ForeignModel, InputsConfig,
    OutputConfig,
};
pub use probability::{Activation, ProbabilityOutput};
