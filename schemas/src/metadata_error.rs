use std::fmt::Display;

use thiserror::Error;

/// A figure in an artifact's metadata that no trainer writes.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[error("{field} is {value}; it must be {permitted}")]
pub struct MetadataError {
    /// The field, as a path into the metadata: `golden.tolerance`.
    pub field: String,
    /// Its value in the file.
    pub value: String,
    /// A description of the permitted values.
    pub permitted: String,
}

impl MetadataError {
    /// Says that a field has a value that is not permitted.
    pub fn new(field: impl Into<String>, value: impl Display, permitted: impl Into<String>) -> Self {
        Self { field: field.into(), value: value.to_string(), permitted: permitted.into() }
    }
}
