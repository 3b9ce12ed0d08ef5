use serde::{Deserialize, Serialize};

/// How many equal bins from 0 to 1 the score's histogram has.
pub const SCORE_BINS: usize = 20;

/// The distribution of the training rows, with which live traffic is compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// How many training rows the features' profiles are of.
    pub rows: u64,
    /// One profile for each feature, in the schema's order.
    pub features: Vec<FeatureProfile>,
    /// The histogram of the model's probability over the held-out rows, in [`SCORE_BINS`] equal bins. The
    /// training rows would mislead: a model is surer of them than of any that come later.
    pub score: Vec<u64>,
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
        /// How many values each bin held; one more than there are edges.
        counts: Vec<u64>,
        /// How many rows had no value.
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
        /// How many rows had each of the schema's values.
        counts: Vec<u64>,
        /// How many rows had no value.
        missing: u64,
        /// How many rows had a value that the schema does not list.
        unknown: u64,
    },
}
