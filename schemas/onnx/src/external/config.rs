//! `config.toml`, which may be beside an external ONNX file and adds what the file does not say.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Table;

use super::ExternalError;
use crate::output_reader::Activation;

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
    /// `[model]`: how the graph is run.
    pub model: ModelConfig,
    /// `[example]`: a row that the model accepts, field by field; `[[example]]`: several. They warm the model up, and
    /// the first is the example in `/docs`. They are needed where a model fails on values that it has not seen in
    /// training.
    pub example: Option<Examples>,
}

/// One example row, or several.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Examples {
    /// A row.
    One(Table),
    /// Several rows.
    Several(Vec<Table>),
}

impl Examples {
    /// Returns the rows.
    pub fn rows(&self) -> &[Table] {
        match self {
            Self::One(row) => std::slice::from_ref(row),
            Self::Several(rows) => rows,
        }
    }
}

/// How the graph is run.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelConfig {
    /// The number of rows that the graph is given at a time. Only 1 can be set, for a graph whose rows depend on each
    /// other.
    pub rows_per_run: Option<usize>,
}

/// The output that is answered.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OutputConfig {
    /// What is answered. Without it, the graph's operators, labels and names decide.
    pub kind: Option<OutputKind>,
    /// The output that holds it. Without it: one named `probabilities`, `output_probability` or
    /// `probability`, else the only output of numbers. For `raw`, it is the only one that is answered.
    pub name: Option<String>,
    /// The column of the positive label, counted from 0, where the output has several. Without it and without
    /// `label`, the second of two.
    pub column: Option<usize>,
    /// The positive label, instead of its column, where the file lists its labels.
    pub label: Option<String>,
    /// The labels of all classes, in the order of the output's columns, where the file does not list them.
    pub labels: Option<Vec<String>>,
    /// The function that turns logits into probabilities: `"sigmoid"` or `"softmax"`; `"none"` says that the
    /// numbers are probabilities.
    pub activation: Option<ActivationConfig>,
    /// The probability from which a prediction is positive; 0.5 by default.
    pub threshold: Option<f64>,
    /// The key of the prediction in a response, such as `"churn"`. By default `"positive"`, `"class"` or
    /// `"prediction"`.
    pub label_name: Option<String>,
}

/// What is answered of an external model's outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutputKind {
    /// The probability of one label.
    Probability,
    /// One of several classes.
    Classes,
    /// A number.
    Number,
    /// The outputs as they are.
    Raw,
}

impl OutputKind {
    /// Returns the name in `config.toml`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Probability => "probability",
            Self::Classes => "classes",
            Self::Number => "number",
            Self::Raw => "raw",
        }
    }
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
    /// The fields, under their default names, that a row may leave out: they are then missing (NaN).
    pub optional: Vec<String>,
    /// Other names for fields: from the default name to the name to use.
    pub rename: BTreeMap<String, String>,
}

impl ExternalConfig {
    /// Parses a `config.toml`.
    ///
    /// # Errors
    /// [`ExternalError::Config`], with the line.
    pub fn parse(text: &str) -> Result<Self, ExternalError> {
        let config: Self = toml::from_str(text).map_err(|error| {
            let line = error.span().map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1);
            let place = line.map(|line| format!(" in line {line}")).unwrap_or_default();
            ExternalError::Config { place, problem: in_plain_words(error.message()) }
        })?;
        match config.model.rows_per_run {
            None | Some(1) => Ok(config),
            Some(rows) => Err(ExternalError::RowsPerRun(rows)),
        }
    }
}

/// Replaces the names of Rust's types in a parser's message.
fn in_plain_words(message: &str) -> String {
    const WORDS: [(&str, &str); 9] = [
        ("expected f64", "expected a number"),
        ("expected usize", "expected a whole number of 0 or more"),
        ("expected a sequence", "expected a list"),
        ("invalid type: sequence", "invalid type: a list"),
        ("expected struct ExternalConfig", "expected keys and values"),
        ("expected struct OutputConfig", "expected a table such as [output]"),
        ("expected struct ModelConfig", "expected a table such as [model]"),
        (
            "data did not match any variant of untagged enum Examples",
            "[example] is a table of fields, and [[example]] one of several such tables",
        ),
        ("expected struct InputsConfig", "expected a table such as [inputs]"),
    ];
    let message = message.trim_end().replace('\n', ", ");
    WORDS.into_iter().fold(message, |message, (from, to)| message.replace(from, to))
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
