//! `config.toml`, which may be beside an external ONNX file and adds what the file does not say.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Table;

use super::ExternalError;
use crate::probability::Activation;

/// The content of a `config.toml`. Every key is optional, and a file with unambiguous inputs and outputs
/// needs none.
///
/// ```
/// use onnward_onnx::ExternalConfig;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let config = ExternalConfig::parse("[output]\nlabel = \"yes\"\nthreshold = 0.3")?;
/// assert_eq!((config.output.label.as_deref(), config.output.threshold), (Some("yes"), Some(0.3)));
///
/// let error = ExternalConfig::parse("[output]\ntreshold = 0.3").err().map(|error| error.to_string());
/// assert!(error.unwrap_or_default().contains("line 2"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ExternalConfig {
    /// `[output]`: the output with the probability.
    pub output: OutputConfig,
    /// `[inputs]`: the names of the fields of a request.
    pub inputs: InputsConfig,
    /// `[example]`: a row that the model accepts, field by field. It warms the model up and is the example in
    /// `/docs`. It is needed where a model fails on values that it has not seen in training.
    pub example: Option<Table>,
}

/// The output with the probability.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OutputConfig {
    /// The output that holds the probability. Without it: one named `probabilities`, `output_probability` or
    /// `probability`, else the only output of floats.
    pub name: Option<String>,
    /// The column of the positive label, counted from 0, where the output has several. Without it and without
    /// `label`, the second of two.
    pub column: Option<usize>,
    /// The positive label, instead of its column, where the file lists its labels.
    pub label: Option<String>,
    /// The function that turns logits into probabilities: `"sigmoid"` or `"softmax"`; `"none"` says that the
    /// numbers are probabilities.
    pub activation: Option<ActivationConfig>,
    /// The probability from which a prediction is positive; 0.5 by default.
    pub threshold: Option<f64>,
    /// The key of the decision in a response, such as `"churn"`; `"positive"` by default.
    pub label_name: Option<String>,
}

/// The function that turns an output's numbers into probabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ActivationConfig {
    /// The numbers are probabilities.
    None,
    /// The numbers are independent logits.
    Sigmoid,
    /// The numbers are the logits of all labels.
    Softmax,
}

/// The names of the fields of a request.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InputsConfig {
    /// The names of the columns of the one input of shape `[rows, columns]`, in order; `f0`, `f1`, … by
    /// default.
    pub features: Option<Vec<String>>,
    /// Other names for fields: from the default name to the name to use.
    pub rename: BTreeMap<String, String>,
}

impl ExternalConfig {
    /// Parses a `config.toml`.
    ///
    /// # Errors
    /// [`ExternalError::Config`], with the line.
    pub fn parse(text: &str) -> Result<Self, ExternalError> {
        toml::from_str(text).map_err(|error| {
            let line = error.span().map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1);
            let place = line.map(|line| format!(" in line {line}")).unwrap_or_default();
            ExternalError::Config { place, problem: error.message().trim_end().replace('\n', ", ") }
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
