use serde::{Deserialize, Serialize};

use crate::encode::Value;
use crate::kept::Scalar;

/// The rows by which an artifact verifies that a runtime computes what the trainer computed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Golden {
    /// The largest absolute difference of a probability that counts as the same.
    pub tolerance: f64,
    /// The rows.
    pub rows: Vec<GoldenRow>,
}

impl Golden {
    /// The largest tolerance that a file may state. The trainer writes 1e-6, which two runtimes keep in
    /// single precision, and more for linear models of many columns; beyond this, a runtime that computes something else would pass.
    pub const MAX_TOLERANCE: f64 = 1e-4;
}

/// A row made from the schema, never a customer's, and the probability that the trainer's own code computes
/// for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GoldenRow {
    /// A raw value for each feature, in the schema's order.
    pub values: Vec<GoldenValue>,
    /// The probability of the positive label.
    pub probability: f64,
}

/// A raw value, owned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum GoldenValue {
    /// No value; `null` in JSON.
    Missing,
    /// A number.
    Number(f64),
    /// A string.
    Text(String),
    /// A Boolean, for an input of an external graph.
    Boolean(bool),
    /// A list of values, for an input of an external graph.
    Array(Vec<GoldenValue>),
}

impl GoldenValue {
    /// Borrows the value.
    pub fn as_value(&self) -> Value<'_> {
        match self {
            Self::Missing => Value::Missing,
            Self::Number(number) => Value::Number(*number),
            Self::Text(text) => Value::Text(text),
            Self::Boolean(value) => Value::Boolean(*value),
            Self::Array(_) => Value::Array,
        }
    }

    /// Returns the value as a scalar of a request. A list is none, and counts as missing.
    pub(crate) fn as_scalar(&self) -> Scalar<'_> {
        match self {
            Self::Missing | Self::Array(_) => Scalar::Null,
            Self::Number(number) => Scalar::Float(*number),
            Self::Text(text) => Scalar::Text(text),
            Self::Boolean(value) => Scalar::Boolean(*value),
        }
    }

    /// Returns the value as a graph's input of strings takes it; a missing one is empty.
    pub fn text(&self) -> String {
        match self {
            Self::Missing => String::new(),
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text.clone(),
            Self::Boolean(value) => value.to_string(),
            Self::Array(_) => String::new(),
        }
    }
}
