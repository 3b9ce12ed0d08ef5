//! How an engine would serve an ONNX file that Onnward did not write.

use std::fmt::{self, Display, Formatter};

use onnward_onnx::{Activation, ExternalModel};
use onnward_schemas::Schema;
use serde::Serialize;

/// How an engine would serve a foreign ONNX file.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ForeignReading {
    /// The fields of a request.
    pub fields: Vec<Field>,
    /// The output that holds the probability.
    pub output: String,
    /// What makes probabilities of its numbers: `none`, `sigmoid` or `softmax`.
    pub activation: &'static str,
    /// The label whose probability it is.
    pub positive: String,
    /// The key of the decision in an answer.
    pub label_name: String,
    /// The probability from which an answer is positive.
    pub threshold: f64,
}

/// A field of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Field {
    /// The name.
    pub name: String,
    /// What it takes, in words.
    pub takes: String,
    /// Whether a row without it is refused.
    pub required: bool,
}

impl ForeignReading {
    /// How this file would be served.
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

impl Display for ForeignReading {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { fields, output, activation, positive, label_name, threshold } = self;
        writeln!(f, "fields of a request")?;
        for Field { name, takes, required } in fields {
            writeln!(f, "  {name:<24} {takes}{}", if *required { "" } else { ", optional" })?;
        }
        let after = if *activation == "none" { String::new() } else { format!(" after {activation}") };
        writeln!(f, "\nprobability  of label {positive:?}, from the output {output:?}{after}")?;
        writeln!(f, "answer       {label_name:?} is true from a probability of {threshold}")?;
        writeln!(f, "unproven     a foreign file has no golden rows, so nothing proves a runtime on it")
    }
}
