use std::time::Duration;

use onnward_onnx::ModelBounds;
use onnward_schemas::layout::is_model_name;
use onnward_serving::watcher::NamePatterns;
use serde::Deserialize;

use super::error::Invalid;
use super::value::{count, duration, within};

/// The limits of models.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawModels {
    names: Vec<String>,
    max_bytes: u64,
    max_nodes: u64,
    max_tree_nodes: u64,
    max_tree_depth: u64,
    max_features: u64,
    all_operators: bool,
    memory: Option<u64>,
    isolated_memory: u64,
    load_timeout_ms: u64,
}

/// The limits of models: of their files, in memory, and of loads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelsConfig {
    /// The models that are served.
    pub names: NamePatterns,
    /// The limits of a model file and its graph.
    pub bounds: ModelBounds,
    /// The memory of all models together, in bytes.
    pub memory: Option<u64>,
    /// The memory of an isolated process, in bytes.
    pub isolated_memory: u64,
    /// The time in which a model must be opened and tested.
    pub load_timeout: Duration,
}

impl RawModels {
    pub fn validate(self) -> Result<ModelsConfig, Invalid> {
        for pattern in &self.names {
            let name = pattern.strip_suffix('*').unwrap_or(pattern);
            if !(name.is_empty() && pattern == "*" || is_model_name(name)) {
                let problem =
                    format!("{pattern:?} covers no model's name: write a name, or its beginning and `*`");
                return Err(Invalid { key: "models.names", problem });
            }
        }
        Ok(ModelsConfig {
            names: NamePatterns(self.names),
            bounds: ModelBounds {
                max_bytes: within("models.max_bytes", self.max_bytes)?,
                max_nodes: count("models.max_nodes", self.max_nodes)?,
                max_tree_nodes: count("models.max_tree_nodes", self.max_tree_nodes)?,
                max_tree_depth: count("models.max_tree_depth", self.max_tree_depth)?,
                max_features: count("models.max_features", self.max_features)?,
                all_operators: self.all_operators,
            },
            memory: self.memory.map(|bytes| within("models.memory", bytes)).transpose()?,
            isolated_memory: within("models.isolated_memory", self.isolated_memory)?,
            load_timeout: duration("models.load_timeout_ms", self.load_timeout_ms)?,
        })
    }
}
