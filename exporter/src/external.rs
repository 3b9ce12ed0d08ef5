//! External ONNX files, which Onnward did not write: how an engine would serve them.

use std::fmt::{self, Display, Formatter};

use onnward_onnx::{Activation, ExternalModel};
use onnward_schemas::Schema;
use serde::Serialize;

/// The interpretation of an external ONNX file by an engine.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExternalReading {
    /// The fields of a request.
    pub fields: Vec<Field>,
    /// The output that holds the probability.
    pub output: String,
    /// The function that makes probabilities of its numbers: `none`, `sigmoid` or `softmax`.
    pub activation: &'static str,
    /// The label whose probability the output holds.
    pub positive: String,
    /// The key of the prediction in a response.
    pub label_name: String,
    /// The probability from which the prediction is positive.
    pub threshold: f64,
}

/// A field of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Field {
    /// The name.
    pub name: String,
    /// The values that it takes, in words.
    pub takes: String,
    /// Whether a row without it is rejected.
    pub required: bool,
}

impl ExternalReading {
    /// Describes how this file would be served.
    pub fn of(model: &ExternalModel) -> Self {
        let Schema { features, label, threshold, .. } = &model.schema;
        let field = |feature: &onnward_schemas::Feature| Field {
            name: feature.name.clone(),
            takes: feature.expected(),
            required: feature.required,
        };
        Self {
            fields: features.iter().map(field).collect(),
            output: model.output.name.clone(),
            activation: match model.output.activation {
                Activation::None => "none",
                Activation::Sigmoid => "sigmoid",
                Activation::Softmax => "softmax",
            },
            positive: label.positive.clone(),
            label_name: label.name.clone(),
            threshold: *threshold,
        }
    }
}

impl Display for ExternalReading {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { fields, output, activation, positive, label_name, threshold } = self;
        writeln!(f, "fields of a request")?;
        for Field { name, takes, required } in fields {
            writeln!(f, "  {name:<24} {takes}{}", if *required { "" } else { ", optional" })?;
        }
        let after = if *activation == "none" { String::new() } else { format!(" after {activation}") };
        writeln!(f, "\nprobability  of label {positive:?}, from the output {output:?}{after}")?;
        writeln!(f, "response     {label_name:?} is true from a probability of {threshold}")?;
        writeln!(f, "unverified   an external file has no golden rows, so no runtime can be verified on it")
    }
}
