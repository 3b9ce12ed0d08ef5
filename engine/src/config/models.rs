use onnward_onnx::ModelBounds;
use serde::Deserialize;

use super::error::Invalid;
use super::value::{count, within};

/// The size limits of a model file and its graph.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawModels {
    max_bytes: u64,
    max_nodes: u64,
    max_tree_nodes: u64,
    max_tree_depth: u64,
    max_features: u64,
}

impl RawModels {
    pub fn validate(self) -> Result<ModelBounds, Invalid> {
        Ok(ModelBounds {
            max_bytes: within("models.max_bytes", self.max_bytes)?,
            max_nodes: count("models.max_nodes", self.max_nodes)?,
            max_tree_nodes: count("models.max_tree_nodes", self.max_tree_nodes)?,
            max_tree_depth: count("models.max_tree_depth", self.max_tree_depth)?,
            max_features: count("models.max_features", self.max_features)?,
        })
    }
}
