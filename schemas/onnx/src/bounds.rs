//! Bounds on ONNX files. Model files are untrusted input, and a runtime must not be the first to find out.
//!
//! A file is scanned before anything is built of it ([`wire`]), so that a small one cannot take much memory
//! by being decoded. The decoded file is then checked: graphs and all that is nested in them ([`graph`]),
//! tensors ([`tensor`]), trees ([`trees`]), and tensors that the graph itself creates ([`sizes`]). What a
//! graph computes while it runs cannot all be told from the file.

mod demand;
mod error;
mod graph;
mod sizes;
mod tensor;
mod trees;
mod wire;

use onnward_schemas::Schema;
use prost::Message;

pub use self::demand::MemoryDemand;
pub use self::error::BoundsError;
use crate::artifact::ArtifactError;
use crate::proto::ModelProto;

/// Limits of an ONNX file and its parts. Data outside of the one file, and operators that are not ONNX's own,
/// are refused whatever the limits are.
///
/// ```
/// use onnward_onnx::{Artifact, ModelBounds};
///
/// let bounds = ModelBounds { max_bytes: 1_000_000, ..ModelBounds::default() };
/// let refused = Artifact::decode_within(&vec![0; 1_000_001], &bounds);
/// let message = refused.err().map(|error| error.to_string()).unwrap_or_default();
/// assert!(message.contains("more than the 1000000") && message.contains("models.max_bytes"));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelBounds {
    /// The largest file, in bytes.
    pub max_bytes: u64,
    /// The most nodes, those of nested graphs included.
    pub max_nodes: usize,
    /// The most nodes of all decision trees together. Leaves count where a tree stores them as nodes.
    pub max_tree_nodes: usize,
    /// The most decisions on a path through a tree.
    pub max_tree_depth: usize,
    /// The most features of a row: fields of a request.
    pub max_features: usize,
    /// Whether every operator of ONNX Runtime's own domain is accepted, and not only the usual ones.
    pub all_operators: bool,
}

impl Default for ModelBounds {
    fn default() -> Self {
        Self {
            max_bytes: 512 * 1024 * 1024,
            max_nodes: 20_000,
            max_tree_nodes: 10_000_000,
            max_tree_depth: 256,
            max_features: 10_000,
            all_operators: false,
        }
    }
}

impl ModelBounds {
    /// The largest bounds that an engine can be configured to have. What is published is held against these.
    pub const LARGEST: Self = Self {
        // The maximum size of a protobuf message, just below 2 GiB.
        max_bytes: (1 << 31) - 1,
        max_nodes: 10_000_000,
        max_tree_nodes: 1_000_000_000,
        max_tree_depth: 100_000,
        max_features: Schema::MAX_FEATURES,
        all_operators: true,
    };
}

/// The largest metadata, in bytes, of a model with few features.
const MAX_METADATA_BYTES: usize = 32 * 1024 * 1024;
/// The additional bytes of metadata that are permitted per feature. The trainer writes some 400: its
/// definition, its profile and its values in the golden rows.
const METADATA_BYTES_PER_FEATURE: usize = 1024;
/// The most golden rows; the exporter writes a few dozen.
const MAX_GOLDEN_ROWS: usize = 10_000;
/// The most categories of all features together: each is searched for the values of a row.
const MAX_CATEGORIES: usize = 100_000;

/// Decodes an ONNX model, whoever wrote it, that is within the bounds.
///
/// # Errors
/// [`ArtifactError::Empty`], [`ArtifactError::NotOnnx`], [`ArtifactError::NoGraph`] or
/// [`ArtifactError::Bounds`].
pub fn decode_model_within(bytes: &[u8], bounds: &ModelBounds) -> Result<ModelProto, ArtifactError> {
    let model = decode_with_functions(bytes, bounds)?;
    if !model.functions.is_empty() {
        return Err(BoundsError::Functions.into());
    }
    let Some(graph) = &model.graph else { return Err(ArtifactError::NoGraph) };
    let metadata = model.metadata_props.iter().map(|entry| entry.key().len() + entry.value().len()).sum();
    let most = MAX_METADATA_BYTES.max(bounds.max_features.saturating_mul(METADATA_BYTES_PER_FEATURE));
    within("bytes of metadata", metadata, most, Some("models.max_features"))?;
    graph::check_opsets(&model.opset_import)?;
    graph::check(graph, bounds)?;
    sizes::check(graph, &sizes::Estimates::new())?;
    Ok(model)
}

/// Decodes an ONNX model that may define functions itself. Its graph is not checked.
pub(crate) fn decode_with_functions(bytes: &[u8], bounds: &ModelBounds) -> Result<ModelProto, ArtifactError> {
    if bytes.is_empty() {
        return Err(ArtifactError::Empty);
    }
    bounds.check_size(bytes.len() as u64)?;
    wire::scan(bytes, bounds)?;
    Ok(ModelProto::decode(bytes)?)
}

impl ModelBounds {
    /// Refuses a file that is too large.
    ///
    /// # Errors
    /// [`BoundsError::TooMany`].
    pub fn check_size(&self, bytes: u64) -> Result<(), BoundsError> {
        let limit = self.max_bytes;
        if bytes <= limit {
            return Ok(());
        }
        Err(BoundsError::TooMany { what: "bytes", found: bytes, limit, key: Some("models.max_bytes") })
    }

    /// Returns how many bytes a file takes when it is decoded, beside its own.
    ///
    /// # Errors
    /// [`ArtifactError::Bounds`] for a file that is too large, or would take many times its size;
    /// [`ArtifactError::NotOnnx`].
    pub fn decoded_bytes(&self, file: &[u8]) -> Result<u64, ArtifactError> {
        self.check_size(file.len() as u64)?;
        wire::scan(file, self).map(|bytes| bytes as u64)
    }

    /// Refuses a schema of too many features or categories.
    pub(crate) fn check_schema(&self, schema: &Schema) -> Result<(), BoundsError> {
        within("features", schema.features.len(), self.max_features, Some("models.max_features"))?;
        let categories = schema.features.iter().filter_map(|feature| feature.categories());
        within("categories", categories.map(<[String]>::len).sum(), MAX_CATEGORIES, None)
    }
}

/// Refuses too many golden rows.
pub(crate) fn check_golden_rows(rows: usize) -> Result<(), BoundsError> {
    within("golden rows", rows, MAX_GOLDEN_ROWS, None)
}

/// Refuses a count above its limit; `key` is the configuration key that raises the limit, if one does.
fn within(
    what: &'static str,
    found: usize,
    limit: usize,
    key: Option<&'static str>,
) -> Result<(), BoundsError> {
    if found <= limit {
        return Ok(());
    }
    Err(BoundsError::TooMany { what, found: found as u64, limit: limit as u64, key })
}

#[cfg(test)]
mod tests;
