//! The version of a model that predicted.

use onnward_schemas::Schema;

/// The version of a model that predicted, with what its outcomes are read and judged by.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelVersion {
    /// The model's name.
    pub model: String,
    /// The version.
    pub version: u64,
    /// The probability from which a row is judged positive.
    pub threshold: f64,
    /// The label's value of a positive row.
    pub positive: String,
    /// The label's value of a negative row.
    pub negative: String,
}

impl ModelVersion {
    /// Creates the identity of a version whose rows have this schema.
    pub fn new(model: &str, version: u64, schema: &Schema) -> Self {
        Self {
            model: model.to_owned(),
            version,
            threshold: schema.threshold,
            positive: schema.label.positive.clone(),
            negative: schema.label.negative.clone(),
        }
    }

    /// Returns whether this value of the label is the positive one. `None` for a value that the label does
    /// not have.
    pub fn is_positive(&self, value: &str) -> Option<bool> {
        match value {
            value if value == self.positive => Some(true),
            value if value == self.negative => Some(false),
            _ => None,
        }
    }

    /// Returns the threshold in single precision, as responses have it.
    pub fn threshold(&self) -> f32 {
        self.threshold as f32
    }
}
