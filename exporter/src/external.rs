//! External ONNX files, which Onnward did not write: how an engine would serve them.

use std::fmt::{self, Display, Formatter};

use onnward_onnx::{Activation, ExternalModel, KindSource, OutputReader};
use onnward_schemas::{Binary, Task};
use serde::Serialize;

/// The interpretation of an external ONNX file by an engine.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExternalReading {
    /// The fields of a request.
    pub fields: Vec<Field>,
    /// What is answered: `probability`, `classes`, `number` or `raw`.
    pub kind: &'static str,
    /// Whether this is a guess, since neither `config.toml` nor the graph's operators settle it.
    pub guessed: bool,
    /// The outputs that are read.
    pub outputs: Vec<String>,
    /// The outputs that are not answered.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unanswered: Vec<String>,
    /// The function that makes probabilities of their numbers: `none`, `sigmoid` or `softmax`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activation: Option<&'static str>,
    /// The label whose probability is answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub positive: Option<String>,
    /// The classes that an answer can be.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<String>,
    /// The key of the prediction in a response.
    pub label_name: String,
    /// The probability from which the prediction is positive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
    /// The number of rows with expected outputs that are published with it.
    pub expected_rows: usize,
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
        let field = |feature: &onnward_schemas::Feature| Field {
            name: feature.name.clone(),
            takes: feature.expected(),
            required: feature.required,
        };
        let label = &model.schema.label;
        let (kind, activation) = match &model.output {
            OutputReader::Probability(output) => ("probability", Some(output.activation)),
            OutputReader::Classes(output) => {
                ("classes", output.scores.as_ref().map(|(_, activation)| *activation))
            }
            OutputReader::Number(_) => ("number", None),
            OutputReader::Raw(_) => ("raw", None),
        };
        let (positive, classes, threshold) = match label.task.clone() {
            Task::Binary(Binary { positive, threshold, .. }) => (Some(positive), Vec::new(), Some(threshold)),
            Task::Classes(classes) => (None, classes.values, None),
            Task::Number | Task::Raw(_) => (None, Vec::new(), None),
        };
        Self {
            fields: model.schema.features.iter().map(field).collect(),
            kind,
            guessed: model.decided_by == KindSource::Guess,
            outputs: model.output.tensors().into_iter().map(str::to_owned).collect(),
            unanswered: model.unanswered.clone(),
            activation: activation.map(|activation| match activation {
                Activation::None => "none",
                Activation::Sigmoid => "sigmoid",
                Activation::Softmax => "softmax",
            }),
            positive,
            classes,
            label_name: label.name.clone(),
            threshold,
            expected_rows: model.golden_rows(),
        }
    }
}

/// The most classes that are listed.
const LISTED_CLASSES: usize = 10;

impl Display for ExternalReading {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "fields of a request")?;
        for Field { name, takes, required } in &self.fields {
            writeln!(f, "  {name:<24} {takes}{}", if *required { "" } else { ", optional" })?;
        }
        let key = &self.label_name;
        let outputs = self.outputs.iter().map(|output| format!("{output:?}")).collect::<Vec<_>>().join(", ");
        let after = match self.activation {
            None | Some("none") => String::new(),
            Some(activation) => format!(" after {activation}"),
        };
        match (&self.positive, self.threshold) {
            (Some(positive), Some(threshold)) => {
                writeln!(f, "\nprobability  of label {positive:?}, from the output {outputs}{after}")?;
                writeln!(f, "response     {key:?} is true from a probability of {threshold}")?;
            }
            _ if !self.classes.is_empty() => {
                let listed = self.classes.iter().take(LISTED_CLASSES).map(String::as_str).collect::<Vec<_>>();
                let more = if self.classes.len() > LISTED_CLASSES { ", …" } else { "" };
                writeln!(f, "\nclasses      {}{more}, from {outputs}{after}", listed.join(", "))?;
                writeln!(f, "response     {key:?} is the class of a row")?;
            }
            _ if self.kind == "number" => {
                writeln!(f, "\nnumber       from the output {outputs}")?;
                writeln!(f, "response     {key:?} is the number")?;
            }
            _ => writeln!(f, "\nraw          the outputs {outputs}, as they are")?,
        }
        if !self.unanswered.is_empty() {
            let names = self.unanswered.join(", ");
            let fix = match self.kind {
                "raw" => "only tensors are answered; export the model with tensors for them",
                _ => {
                    "write `kind = \"raw\"` under [output] in config.toml to answer all outputs that are tensors"
                }
            };
            writeln!(f, "unanswered   {names}: {fix}")?;
        }
        if self.guessed {
            writeln!(
                f,
                "guessed      the graph leaves open what is answered: write `kind = {:?}`, or another, under [output] in \
                 config.toml to settle it",
                self.kind
            )?;
        }
        match self.expected_rows {
            0 => writeln!(
                f,
                "unverified   an external file has no golden rows, so no runtime can be verified on it: publish it with \
                 --golden, and rows with what its library computes"
            ),
            rows => {
                writeln!(f, "golden rows  {rows}, which every runtime reproduces before it serves the model")
            }
        }
    }
}
