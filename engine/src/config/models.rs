use onnward_onnx::ModelBounds;
use onnward_schemas::Schema;
use serde::Deserialize;

use super::error::Invalid;
use super::value::{count, within};

/// How large a model file and what is in it may be.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RawModels {
    max_bytes: u64,
    max_nodes: u64,
    max_tree_nodes: u64,
    max_tree_depth: u64,
    max_features: u64,
}

impl Default for RawModels {
    fn default() -> Self {
        let ModelBounds { max_bytes, max_nodes, max_tree_nodes, max_tree_depth, max_features } =
            ModelBounds::default();
        Self {
            max_bytes,
            max_nodes: max_nodes as u64,
            max_tree_nodes: max_tree_nodes as u64,
            max_tree_depth: max_tree_depth as u64,
            max_features: max_features as u64,
        }
    }
}

impl RawModels {
    pub fn check(self) -> Result<ModelBounds, Invalid> {
        // A message of protobuf has at most 2 GiB.
        const LARGEST_MESSAGE: u64 = (1 << 31) - 1;
        Ok(ModelBounds {
            max_bytes: within("models.max_bytes", self.max_bytes, 1024..=LARGEST_MESSAGE)?,
            max_nodes: count("models.max_nodes", self.max_nodes, 1..=10_000_000)?,
            max_tree_nodes: count("models.max_tree_nodes", self.max_tree_nodes, 1..=1_000_000_000)?,
            max_tree_depth: count("models.max_tree_depth", self.max_tree_depth, 1..=100_000)?,
            max_features: count("models.max_features", self.max_features, 1..=Schema::MAX_FEATURES as u64)?,
        })
    }
}
