use onnward_schemas::{Metadata, MetadataError};
use prost::Message;
use thiserror::Error;

use crate::bounds::{BoundsError, ModelBounds, decode_model_within};
use crate::cut::cut_at_features;
use crate::metadata::{properties_of, read_properties};
use crate::proto::{ModelProto, StringStringEntryProto};

/// The value in which the graph's front ends and its core begins: float32 `[rows, features]`, in the schema's order.
pub const FEATURES: &str = "features";
/// The output that holds the probabilities of the negative and the positive label: float32 `[rows, 2]`.
pub const PROBABILITIES: &str = "probabilities";
/// The output that holds the more probable label: int64 `[rows]`, 0 or 1.
pub const LABEL: &str = "label";

/// An ONNX file that describes itself.
#[derive(Debug, Clone)]
pub struct Artifact {
    /// What the file says about itself.
    pub metadata: Metadata,
    model: ModelProto,
}

/// Why bytes are no artifact.
#[derive(Debug, Error)]
pub enum ArtifactError {
    /// There are no bytes.
    #[error("the file is empty: it is not an ONNX model")]
    Empty,
    /// The bytes are not an ONNX model; what the decoder says of them helps only people who know the wire format.
    #[error("not an ONNX file")]
    NotOnnx,
    /// The bytes decode, as many do, but hold no graph.
    #[error("the file has no graph: it is not an ONNX model")]
    NoGraph,
    /// An ONNX model without Onnward's metadata.
    #[error("the file has no metadata of Onnward's: export it with `onnward-exporter train`")]
    Foreign,
    /// The file is newer than this program.
    #[error("the file has format version {found}, this program reads up to {known}: use a newer release")]
    TooNew {
        /// The file's version.
        found: u32,
        /// The newest version that is known.
        known: u32,
    },
    /// A property that every artifact has is not there.
    #[error("the metadata property {0:?} is missing")]
    Missing(&'static str),
    /// A property does not read.
    #[error("the metadata property {key:?} does not read: {source}")]
    Property {
        /// The property's key.
        key: &'static str,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A figure in the metadata is not one that a trainer writes.
    #[error("the file's metadata are not usable: {0}; export it again with `onnward-exporter train`")]
    Metadata(#[from] MetadataError),
    /// Two parts of the file contradict each other.
    #[error("the file contradicts itself: {0}")]
    Inconsistent(String),
    /// The file is not one that is even tried.
    #[error(transparent)]
    Bounds(#[from] BoundsError),
}

impl From<prost::DecodeError> for ArtifactError {
    fn from(_: prost::DecodeError) -> Self {
        Self::NotOnnx
    }
}

/// Reads an ONNX model, whoever wrote it, within the usual bounds.
///
/// # Errors
/// [`ArtifactError::Empty`], [`ArtifactError::NotOnnx`], [`ArtifactError::NoGraph`] or [`ArtifactError::Bounds`].
pub fn decode_model(bytes: &[u8]) -> Result<ModelProto, ArtifactError> {
    decode_model_within(bytes, &ModelBounds::default())
}

impl Artifact {
    /// Joins a graph with its description; properties that the graph already has under other keys are kept.
    ///
    /// # Errors
    /// [`ArtifactError::Inconsistent`] if the graph has no value named [`FEATURES`] or no output named
    /// [`PROBABILITIES`]; [`ArtifactError::Property`] if the metadata cannot be written as JSON.
    pub fn new(mut model: ModelProto, metadata: Metadata) -> Result<Self, ArtifactError> {
        cut_at_features(&model, metadata.schema.features.len())?;
        for (key, value) in properties_of(&metadata)? {
            model
                .metadata_props
                .push(StringStringEntryProto { key: Some(key.to_owned()), value: Some(value) });
        }
        Ok(Self { metadata, model })
    }

    /// Reads an artifact from the bytes of its file, within the usual bounds.
    ///
    /// # Errors
    /// As [`Artifact::decode_within`].
    pub fn decode(bytes: &[u8]) -> Result<Self, ArtifactError> {
        Self::decode_within(bytes, &ModelBounds::default())
    }

    /// Reads an artifact from the bytes of its file, if it is within these bounds.
    ///
    /// # Errors
    /// [`ArtifactError`]; [`ArtifactError::Foreign`] for an ONNX file that does not describe itself.
    pub fn decode_within(bytes: &[u8], bounds: &ModelBounds) -> Result<Self, ArtifactError> {
        let model = decode_model_within(bytes, bounds)?;
        let metadata = read_properties(&model, bounds)?;
        Ok(Self { metadata, model })
    }

    /// The bytes of the artifact's file; the same artifact always gives the same bytes.
    pub fn encode(&self) -> Vec<u8> {
        self.model.encode_to_vec()
    }

    /// The whole graph, with raw named columns as its inputs.
    pub fn model(&self) -> &ModelProto {
        &self.model
    }

    /// The bytes of the graph cut at [`FEATURES`]: its only input is the encoded matrix, its only output
    /// [`PROBABILITIES`], and the metadata is left out.
    ///
    /// # Errors
    /// [`ArtifactError::Inconsistent`] if the graph cannot be cut there.
    pub fn encode_cut(&self) -> Result<Vec<u8>, ArtifactError> {
        Ok(cut_at_features(&self.model, self.metadata.schema.features.len())?.encode_to_vec())
    }
}
