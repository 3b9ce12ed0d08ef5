use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::evaluation::Figures;
use crate::metadata::Metadata;
use crate::schema::{Label, Schema};
use crate::task::{Binary, Classes, Task, TaskKind};

/// The content of `manifest.json`, about the `model.onnx` beside it. It is written last: a version without
/// one does not exist.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The SHA-256 of `model.onnx`, as 64 lower-case hexadecimal digits.
    pub sha256: String,
    /// The size of `model.onnx`.
    pub size_bytes: u64,
    /// The fingerprint of the artifact's schema; absent for an external ONNX file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// The time of publication, in RFC 3339 and UTC.
    pub created: String,
    /// A summary of the model, for lists of versions; absent in manifests of older programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<ModelSummary>,
    /// The author, as the publisher named them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// The commit of the code that trained the model, as the publisher named it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The tags that the version was published with.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

/// A summary of what a model's file says of itself. It is for people and for lists: what is served is decided
/// by the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelSummary {
    /// The model family; `foreign` for an external ONNX file.
    pub family: String,
    /// The key of the decision in a response.
    pub label: String,
    /// What the model predicts.
    #[serde(default, skip_serializing_if = "TaskKind::is_default")]
    pub task: TaskKind,
    /// The value of the label where a decision is true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub positive: Option<String>,
    /// The value of the label where a decision is false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub negative: Option<String>,
    /// The probability from which a row is predicted positive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
    /// The classes that a prediction can be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<String>,
    /// The area under the ROC curve on held-out rows; absent for an external file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roc_auc: Option<f64>,
    /// The mean squared error of the probability on held-out rows; absent for an external file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub brier: Option<f64>,
    /// The log loss of the classes on held-out rows; absent for any other task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_loss: Option<f64>,
    /// The root of the mean squared error of the number on held-out rows; absent for any other task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rmse: Option<f64>,
}

impl ModelSummary {
    /// Summarizes an artifact's metadata.
    pub fn of(metadata: &Metadata) -> Self {
        let summary = Self { family: metadata.family.clone(), ..Self::of_schema(&metadata.schema) };
        match &metadata.evaluation.test {
            Figures::Binary(figures) => {
                Self { roc_auc: Some(figures.roc_auc), brier: Some(figures.brier), ..summary }
            }
            Figures::Classes(figures) => Self { log_loss: Some(figures.log_loss), ..summary },
            Figures::Number(figures) => Self { rmse: Some(figures.rmse), ..summary },
        }
    }

    /// Summarizes an external model, of which only the schema is known.
    pub fn of_schema(schema: &Schema) -> Self {
        let Label { name, task, .. } = &schema.label;
        let summary = Self {
            family: "foreign".to_owned(),
            label: name.clone(),
            task: task.kind(),
            positive: None,
            negative: None,
            threshold: None,
            classes: Vec::new(),
            roc_auc: None,
            brier: None,
            log_loss: None,
            rmse: None,
        };
        match task.clone() {
            Task::Binary(Binary { positive, negative, threshold }) => Self {
                positive: Some(positive),
                negative: Some(negative),
                threshold: Some(threshold),
                ..summary
            },
            Task::Classes(Classes { values }) => Self { classes: values, ..summary },
            Task::Number | Task::Raw(_) => summary,
        }
    }

    /// Returns whether responses have the same key with the same meaning.
    pub fn answers_like(&self, other: &Self) -> bool {
        let response = |summary: &Self| {
            let Self { label, task, positive, negative, classes, .. } = summary.clone();
            (label, task, positive, negative, classes)
        };
        response(self) == response(other)
    }
}
