use serde::{Deserialize, Serialize};

/// The number of equal bins from 0 to 1 in the score's histogram.
pub const SCORE_BINS: usize = 20;

/// The distribution of the training rows, with which live traffic is compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// The number of training rows in the features' profiles.
    pub rows: u64,
    /// One profile for each feature, in the schema's order.
    pub features: Vec<FeatureProfile>,
    /// The distribution of the model's predictions over the held-out rows. The training rows would mislead: a
    /// model scores them with more confidence than later rows.
    pub score: ScoreProfile,
    /// The errors of a model of a number on the held-out rows. `None` for any other task, and in older files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errors: Option<ErrorProfile>,
}

/// The errors of a model of a number on the held-out rows, by its prediction: in the bins of [`Profile::score`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ErrorProfile {
    /// The mean of |prediction − label| in each bin, in the label's units.
    pub absolute: Vec<f64>,
    /// The mean of (prediction − label)² in each bin.
    pub squared: Vec<f64>,
}

/// The distribution of a model's predictions over the held-out rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ScoreProfile {
    /// The histogram of the probability of a binary model, in [`SCORE_BINS`] equal bins.
    Probability(Vec<u64>),
    /// The predicted classes, or the predicted numbers, as if they were a feature.
    Values(FeatureProfile),
}

/// The distribution of one feature in the training rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum FeatureProfile {
    /// A quantity.
    Numeric {
        /// The inner edges of the bins, ascending: bin `i` holds values `edges[i-1] < x <= edges[i]`, the
        /// first and the last bin are open.
        edges: Vec<f32>,
        /// The number of values in each bin; there is one bin more than there are edges.
        counts: Vec<u64>,
        /// The number of rows without a value.
        missing: u64,
        /// The smallest value.
        min: f32,
        /// The median, which also replaces a missing value.
        median: f32,
        /// The mean of the values present.
        mean: f64,
        /// The largest value.
        max: f32,
    },
    /// A category.
    Categorical {
        /// The number of rows with each of the schema's values.
        counts: Vec<u64>,
        /// The number of rows without a value.
        missing: u64,
        /// The number of rows with a value that the schema does not list.
        unknown: u64,
    },
}
