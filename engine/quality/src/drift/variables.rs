use std::ops::Range;

use onnward_schemas::{FeatureKind, FeatureProfile, Profile, SCORE_BINS, Schema, ScoreProfile};
use serde::{Deserialize, Serialize};

/// The name of the score of a binary model, as in an answer. That of any other model has the label's name.
pub const SCORE_NAME: &str = "probability";

/// A feature, or the score.
#[derive(Debug)]
pub struct Variable {
    /// The kind of the variable.
    pub kind: VariableKind,
    /// The feature's name; of the score, its key in an answer.
    pub name: String,
    /// Its description in the schema.
    pub description: Option<String>,
    /// Its bins among all bins.
    pub range: Range<usize>,
    /// The bins.
    pub bins: Vec<Bin>,
    /// The number of training rows in each bin.
    pub training: Vec<u64>,
}

/// Whether something is a feature or the score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VariableKind {
    /// A feature of the schema.
    Feature,
    /// What the model predicts: a probability, a class, or a number.
    Score,
}

impl VariableKind {
    /// Returns the name used in metric labels.
    pub fn name(self) -> &'static str {
        match self {
            Self::Feature => "feature",
            Self::Score => "score",
        }
    }
}

/// The score's name in reports for people, by the model's task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScoreTitle {
    /// The probability of a binary model.
    Score,
    /// The class of a model of several classes.
    PredictedClass,
    /// The number of a model of a number.
    PredictedNumber,
}

impl ScoreTitle {
    /// Returns the title of a score with this name and these bins.
    pub fn of<'a>(name: &str, mut bins: impl Iterator<Item = &'a Bin>) -> Self {
        match (bins.any(|bin| bin.content == BinContent::Value), name) {
            (true, _) => Self::PredictedClass,
            (false, SCORE_NAME) => Self::Score,
            (false, _) => Self::PredictedNumber,
        }
    }

    /// Returns the title, in lower case.
    pub fn text(self) -> &'static str {
        match self {
            Self::Score => "score",
            Self::PredictedClass => "predicted class",
            Self::PredictedNumber => "predicted number",
        }
    }
}

/// Values that are counted together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bin {
    /// Its human-readable name.
    pub name: String,
    /// The values that it holds.
    #[serde(flatten)]
    pub content: BinContent,
}

/// The values of a bin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "content", rename_all = "lowercase")]
pub enum BinContent {
    /// Quantities above `from` and up to `to`; of the score, from `from` on and below `to`. Without a bound
    /// it is open.
    Range {
        /// The lower bound.
        #[serde(skip_serializing_if = "Option::is_none")]
        from: Option<f32>,
        /// The upper bound.
        #[serde(skip_serializing_if = "Option::is_none")]
        to: Option<f32>,
    },
    /// One category.
    Value,
    /// Rows without a value.
    Missing,
    /// Rows with a value that the schema does not list.
    Unknown,
}

impl Variable {
    /// Returns the variables: the features in the schema's order, then the score. Their bins are in the order
    /// of [`super::bins::Bins`].
    pub fn all(schema: &Schema, profile: &Profile) -> Vec<Self> {
        let mut start = 0;
        let features = schema.features.iter().zip(&profile.features).map(|(feature, profile)| {
            let is_integer = matches!(feature.kind, FeatureKind::Numeric { integer: true, .. });
            let (bins, training) = bins(feature.categories().unwrap_or_default(), is_integer, profile);
            (VariableKind::Feature, feature.name.clone(), Some(feature.description.clone()), bins, training)
        });
        let (name, (bins, training)) = match &profile.score {
            ScoreProfile::Probability(counts) => (SCORE_NAME, score_bins(counts)),
            ScoreProfile::Values(profile) => {
                (schema.label.name.as_str(), bins(schema.label.task.classes(), false, profile))
            }
        };
        let score = (VariableKind::Score, name.to_owned(), None, bins, training);
        let variable = |(kind, name, description, bins, training): (_, _, _, Vec<Bin>, _)| {
            let range = start..start + bins.len();
            start = range.end;
            Self { kind, name, description, range, bins, training }
        };
        features.chain([score]).map(variable).collect()
    }

    /// Returns the number of bins of values; those after them are of missing and unknown ones.
    pub fn values(&self) -> usize {
        let is_value = |bin: &&Bin| !matches!(bin.content, BinContent::Missing | BinContent::Unknown);
        self.bins.iter().filter(is_value).count()
    }
}

fn bins(categories: &[String], is_integer: bool, profile: &FeatureProfile) -> (Vec<Bin>, Vec<u64>) {
    let missing = Bin { name: "missing".to_owned(), content: BinContent::Missing };
    match profile {
        FeatureProfile::Numeric { edges, counts, missing: missing_rows, .. } => {
            let lower = std::iter::once(None).chain(edges.iter().copied().map(Some));
            let upper = edges.iter().copied().map(Some).chain([None]);
            let ranges = lower.zip(upper).map(|(from, to)| Bin {
                name: if is_integer { whole_numbers(from, to) } else { numbers(from, to) },
                content: BinContent::Range { from, to },
            });
            (ranges.chain([missing]).collect(), counts.iter().copied().chain([*missing_rows]).collect())
        }
        FeatureProfile::Categorical { counts, missing: missing_rows, unknown } => {
            let names =
                categories.iter().cloned().map(Some).chain(std::iter::repeat(None)).take(counts.len());
            let values = names.enumerate().map(|(index, name)| Bin {
                name: name.unwrap_or_else(|| format!("value {index}")),
                content: BinContent::Value,
            });
            let unlisted = Bin { name: "unknown".to_owned(), content: BinContent::Unknown };
            let training = counts.iter().copied().chain([*missing_rows, *unknown]);
            (values.chain([missing, unlisted]).collect(), training.collect())
        }
    }
}

fn score_bins(counts: &[u64]) -> (Vec<Bin>, Vec<u64>) {
    let edge = |bin: usize| bin as f32 / SCORE_BINS as f32;
    let ranges = (0..SCORE_BINS).map(|bin| Bin {
        name: format!("{:.2} to {:.2}", edge(bin), edge(bin + 1)),
        content: BinContent::Range { from: Some(edge(bin)), to: Some(edge(bin + 1)) },
    });
    let missing = Bin { name: "not a number".to_owned(), content: BinContent::Missing };
    let mut training = counts.to_vec();
    training.resize(SCORE_BINS, 0);
    training.push(0);
    (ranges.chain([missing]).collect(), training)
}

fn numbers(above: Option<f32>, up_to: Option<f32>) -> String {
    match (above, up_to) {
        (None, None) => "any number".to_owned(),
        (None, Some(to)) => format!("up to {to}"),
        (Some(from), Some(to)) => format!("{from} to {to}"),
        (Some(from), None) => format!("over {from}"),
    }
}

/// Formats a range of whole numbers by those that lie in the bin.
fn whole_numbers(above: Option<f32>, up_to: Option<f32>) -> String {
    match (above.map(|above| above.floor() + 1.0), up_to.map(f32::floor)) {
        (Some(first), Some(last)) if first >= last => last.to_string(),
        (Some(first), Some(last)) => format!("{first} to {last}"),
        (Some(first), None) => format!("{first} and more"),
        _ => numbers(above, up_to),
    }
}
