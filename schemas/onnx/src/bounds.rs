//! What an ONNX file may be: model files are untrusted input, and a runtime is not what finds out.
//!
//! A file is looked through before anything is built of it ([`wire`]), so that a small one cannot take much memory by being
//! decoded. What was decoded is then held against the bounds: graphs with all that is nested in them ([`graph`]), tensors
//! ([`tensor`]), trees ([`trees`]) and what is made out of nothing ([`sizes`]). What a graph computes while it runs is more than can be
//! told from the file.

mod error;
mod graph;
mod sizes;
mod tensor;
mod trees;
mod wire;

use onnward_schemas::Schema;
use prost::Message;

pub use self::error::BoundsError;
use crate::artifact::ArtifactError;
use crate::proto::ModelProto;

/// How large an ONNX file and what is in it may be. Whatever lies outside of a version's one file, and whatever is not an
/// operator of ONNX's own, is refused whatever the bounds are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelBounds {
    /// The size of the file.
    pub max_bytes: u64,
    /// How many nodes its graph has, those of nested graphs included.
    pub max_nodes: usize,
    /// How many nodes all its decision trees have together; leaves are counted where a tree has them as nodes.
    pub max_tree_nodes: usize,
    /// How many decisions a tree takes at most.
    pub max_tree_depth: usize,
    /// How many features a row has: fields of a request.
    pub max_features: usize,
}

impl Default for ModelBounds {
    fn default() -> Self {
        Self {
            max_bytes: 512 * 1024 * 1024,
            max_nodes: 20_000,
            max_tree_nodes: 10_000_000,
            max_tree_depth: 256,
            max_features: 10_000,
        }
    }
}

/// How large the metadata may be.
const MAX_METADATA_BYTES: usize = 32 * 1024 * 1024;
/// How many golden rows there may be; the exporter writes a few dozen.
const MAX_GOLDEN_ROWS: usize = 10_000;
/// How many categories all features may have together: each is searched for the values of a row.
const MAX_CATEGORIES: usize = 100_000;

/// Reads an ONNX model, whoever wrote it, that is within the bounds.
///
/// # Errors
/// [`ArtifactError::Empty`], [`ArtifactError::NotOnnx`], [`ArtifactError::NoGraph`] or [`ArtifactError::Bounds`].
pub fn decode_model_within(bytes: &[u8], bounds: &ModelBounds) -> Result<ModelProto, ArtifactError> {
    if bytes.is_empty() {
        return Err(ArtifactError::Empty);
    }
    bounds.check_size(bytes.len() as u64)?;
    wire::scan(bytes, bounds)?;
    let model = ModelProto::decode(bytes)?;
    let Some(graph) = &model.graph else { return Err(ArtifactError::NoGraph) };
    let metadata = model.metadata_props.iter().map(|entry| entry.key().len() + entry.value().len()).sum();
    within("bytes of metadata", metadata, MAX_METADATA_BYTES, None)?;
    graph::check_opsets(&model.opset_import)?;
    graph::check(graph, bounds)?;
    sizes::check(graph, &sizes::Estimates::new())?;
    Ok(model)
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

/// Refuses more of something than the limit, which the key raises, if one does.
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
