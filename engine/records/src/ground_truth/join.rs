//! Received outcomes, and the results of joining them.

use std::fmt;

use onnward_schemas::shorten;
use serde::Serialize;

use crate::prediction_id::PredictionId;

/// A received outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The prediction it belongs to.
    pub of: Reference,
    /// The label.
    pub label: LabelValue,
    /// The time of the outcome, in milliseconds since 1970, if the client sent it.
    pub millis: Option<u64>,
    /// Whether it replaces an earlier, different outcome.
    pub corrects: bool,
}

/// The reference to a prediction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// Its id.
    Id(PredictionId),
    /// The client's own key, under which a model may have predicted more than once.
    Key {
        /// The model's name.
        model: String,
        /// The key.
        key: String,
    },
}

/// A label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LabelValue {
    /// Whether it is the positive one.
    Truth(bool),
    /// The value in the training table.
    Value(String),
    /// A number, as text.
    Number(String),
}

impl fmt::Display for LabelValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truth(truth) => write!(f, "{truth}"),
            Self::Value(text) => write!(f, "\"{}\"", shorten(text)),
            Self::Number(text) => f.write_str(text),
        }
    }
}

/// The result of joining an outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum JoinResult {
    /// The prediction has its outcome now.
    Joined,
    /// The prediction had another outcome, which this one replaces.
    Corrected,
    /// The prediction has this outcome already.
    Duplicate,
    /// The prediction has another outcome, which stays.
    Contradicting,
    /// The prediction is no longer stored.
    Late,
    /// This engine stores no such prediction.
    Unknown,
}

impl JoinResult {
    /// Every result.
    pub const ALL: [Self; 6] =
        [Self::Joined, Self::Corrected, Self::Duplicate, Self::Contradicting, Self::Late, Self::Unknown];

    /// Returns the name used in answers and metric labels.
    pub fn name(self) -> &'static str {
        match self {
            Self::Joined => "joined",
            Self::Corrected => "corrected",
            Self::Duplicate => "duplicate",
            Self::Contradicting => "contradicting",
            Self::Late => "late",
            Self::Unknown => "unknown",
        }
    }
}

/// The answer to one outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Joined {
    /// The result.
    pub result: JoinResult,
    /// The prediction that it is the outcome of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<PredictionId>,
    /// The model that predicted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Its version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
}

/// A label that the model does not have. No outcome of the request is joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrongLabel {
    /// The index of the outcome, from 0.
    pub item: usize,
    /// The valid values.
    pub has: PermittedLabels,
    /// The label.
    pub got: LabelValue,
}

/// The labels that an outcome of a model can have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PermittedLabels {
    /// The positive and the negative value, or whether it is the positive one.
    Binary([String; 2]),
    /// One of the classes.
    Classes(Vec<String>),
    /// A number.
    Number,
}

impl PermittedLabels {
    /// The maximum number of classes that are listed.
    const LISTED: usize = 20;
}

impl fmt::Display for PermittedLabels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Binary([positive, negative]) => {
                write!(f, "true, false, or a value of the model's label, \"{positive}\" or \"{negative}\"")
            }
            Self::Classes(values) => {
                f.write_str("a value of the model's label, one of ")?;
                for (at, value) in values.iter().take(Self::LISTED).enumerate() {
                    write!(f, "{}\"{value}\"", if at == 0 { "" } else { ", " })?;
                }
                match values.len().saturating_sub(Self::LISTED) {
                    0 => Ok(()),
                    more => write!(f, " and {more} more"),
                }
            }
            Self::Number => {
                f.write_str("a number within the range of single precision, as the model predicts one")
            }
        }
    }
}
