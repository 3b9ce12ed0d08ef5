//! Outcomes as they come, and what becomes of each.

use serde::Serialize;

use crate::prediction_id::PredictionId;

/// What turned out to be true of a customer for whom there is a prediction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// For which prediction.
    pub of: Reference,
    /// What turned out.
    pub label: LabelValue,
    /// When it turned out, in milliseconds since 1970, if that was told.
    pub millis: Option<u64>,
    /// Whether it may take the place of another outcome that came before.
    pub corrects: bool,
}

/// What names a prediction.
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
    /// As the table of customers has it.
    Value(String),
}

/// What has become of an outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum JoinResult {
    /// The prediction has its outcome now.
    Joined,
    /// The prediction had another outcome, whose place this one has taken.
    Corrected,
    /// The prediction has this outcome already.
    Duplicate,
    /// The prediction has another outcome, which stays.
    Contradicting,
    /// The prediction is not kept any more.
    Late,
    /// This engine keeps no such prediction.
    Unknown,
}

impl JoinResult {
    /// Every result.
    pub const ALL: [Self; 6] =
        [Self::Joined, Self::Corrected, Self::Duplicate, Self::Contradicting, Self::Late, Self::Unknown];

    /// Returns the name, as in an answer and in a metric's label.
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

/// What is answered to an outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Joined {
    /// What has become of it.
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

/// A label that the model does not have: nothing of the whole request is joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrongLabel {
    /// Which of the outcomes, counted from 0.
    pub item: usize,
    /// The values that the label has: the positive one and the negative one.
    pub has: [String; 2],
}
