//! The version of a model that predicted.

use onnward_schemas::Schema;

/// The version of a model that predicted, with what its outcomes are read and judged by.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelVersion {
    /// The model's name.
    pub model: String,
    /// The version.
    pub version: u64,
    /// The SHA-256 of its artifact, in hexadecimal. `None` for predictions stored without one, by an older engine.
    pub sha256: Option<String>,
    /// The probability from which a row is predicted positive.
    pub threshold: f64,
    /// The label's value of a positive row.
    pub positive: String,
    /// The label's value of a negative row.
    pub negative: String,
}

impl ModelVersion {
    /// Creates the identity of the version whose artifact has this SHA-256 and whose rows have this schema.
    pub fn new(model: &str, version: u64, sha256: &str, schema: &Schema) -> Self {
        Self {
            model: model.to_owned(),
            version,
            sha256: Some(sha256.to_owned()),
            threshold: schema.threshold,
            positive: schema.label.positive.clone(),
            negative: schema.label.negative.clone(),
        }
    }

    /// Returns whether both name the same artifact: by its digest, since repositories can reuse names and numbers.
    ///
    /// If one of them has no digest, the threshold and the label must be equal.
    pub fn is_same_artifact(&self, other: &Self) -> bool {
        let is_same_number = self.version == other.version && self.model == other.model;
        is_same_number
            && match (&self.sha256, &other.sha256) {
                (Some(one), Some(other)) => one == other,
                _ => {
                    let is_same_label = self.positive == other.positive && self.negative == other.negative;
                    is_same_label && self.threshold.to_bits() == other.threshold.to_bits()
                }
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
