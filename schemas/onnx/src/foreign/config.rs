//! `config.toml`, which may lie beside a foreign ONNX file and says what the file itself does not.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Table;

use super::ForeignError;
use crate::probability::Activation;

/// What `config.toml` says of the foreign ONNX file beside it. Every key may be left out; a file whose inputs and
/// outputs leave no doubt needs none of them.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ForeignConfig {
    /// `[output]`: where the probability is.
    pub output: OutputConfig,
    /// `[inputs]`: what the fields of a request are called.
    pub inputs: InputsConfig,
    /// `[example]`: a row that the model takes, field by field. It warms the model up and is the example in `/docs`;
    /// it is needed where a model fails on values that it has not seen in training.
    pub example: Option<Table>,
}

/// Where the probability is.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OutputConfig {
    /// The output that holds the probability. Without it: one named `probabilities`, `output_probability` or
    /// `probability`, else the only output of floats.
    pub name: Option<String>,
    /// The column of the positive label, counted from 0, where the output has several. Without it and without `label`:
    /// the second of two.
    pub column: Option<usize>,
    /// The positive label, instead of its column, where the file lists its labels.
    pub label: Option<String>,
    /// What makes probabilities of the output's numbers, where they are logits: `"sigmoid"` or `"softmax"`; `"none"`
    /// says that they are probabilities.
    pub activation: Option<ActivationConfig>,
    /// The probability from which an answer is positive; 0.5 without it.
    pub threshold: Option<f64>,
    /// The key of the decision in an answer, such as `"churn"`; `"positive"` without it.
    pub label_name: Option<String>,
}

/// What makes probabilities of an output's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ActivationConfig {
    /// They are probabilities.
    None,
    /// They are logits, each by itself.
    Sigmoid,
    /// They are the logits of all labels.
    Softmax,
}

/// What the fields of a request are called.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InputsConfig {
    /// The names of the columns of the one input of shape `[rows, columns]`, in order; `f0`, `f1`, … without it.
    pub features: Option<Vec<String>>,
    /// Other names for fields: the name without this key, then the name to use.
    pub rename: BTreeMap<String, String>,
}

impl ForeignConfig {
    /// Reads the text of a `config.toml`.
    ///
    /// # Errors
    /// [`ForeignError::Config`], with the line.
    pub fn parse(text: &str) -> Result<Self, ForeignError> {
        toml::from_str(text).map_err(|error| {
            let line = error.span().map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1);
            let place = line.map(|line| format!(" in line {line}")).unwrap_or_default();
            ForeignError::Config { place, problem: error.message().trim_end().replace('\n', ", ") }
        })
    }
}

impl From<ActivationConfig> for Activation {
    fn from(config: ActivationConfig) -> Self {
        match config {
            ActivationConfig::None => Self::None,
            ActivationConfig::Sigmoid => Self::Sigmoid,
            ActivationConfig::Softmax => Self::Softmax,
        }
    }
}
