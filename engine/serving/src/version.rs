//! The version of a model that predicted.

use onnward_schemas::{Binary, Schema, Task};

/// The version of a model that predicted, with what its outcomes are read and judged by.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelVersion {
    /// The model's name.
    pub model: String,
    /// The version.
    pub version: u64,
    /// The SHA-256 of its artifact, in hexadecimal. `None` for predictions stored without one, by an older engine.
    pub sha256: Option<String>,
    /// What it predicts.
    pub task: Task,
}

impl ModelVersion {
    /// Creates the identity of the version whose artifact has this SHA-256 and whose rows have this schema.
    pub fn new(model: &str, version: u64, sha256: &str, schema: &Schema) -> Self {
        let (model, sha256) = (model.to_owned(), Some(sha256.to_owned()));
        Self { model, version, sha256, task: schema.label.task.clone() }
    }

    /// Returns the label's two values and the threshold. `None` for any other task.
    pub fn binary(&self) -> Option<&Binary> {
        match &self.task {
            Task::Binary(binary) => Some(binary),
            Task::Classes(_) | Task::Number | Task::Raw(_) => None,
        }
    }

    /// Returns whether both name the same artifact: by its digest, since repositories can reuse names and numbers.
    ///
    /// If one of them has no digest, what they predict must be equal.
    pub fn is_same_artifact(&self, other: &Self) -> bool {
        let is_same_number = self.version == other.version && self.model == other.model;
        is_same_number
            && match (&self.sha256, &other.sha256) {
                (Some(one), Some(other)) => one == other,
                _ => self.task == other.task,
            }
    }
}
