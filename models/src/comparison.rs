//! What a training run found out: the content of `comparison.json` and of the report.

use std::collections::BTreeMap;

use onnward_schemas::{CrossValidation, Figures};
use serde::Serialize;

use crate::family::Family;

/// The outcome of a training run: every candidate, side by side on the same folds and the same held-out rows.
#[derive(Debug, Clone, Serialize)]
pub struct Comparison {
    /// The schema's name.
    pub schema: String,
    /// The label's column.
    pub label: String,
    /// The probability from which a row is judged positive.
    pub threshold: f64,
    /// The seed of every random choice.
    pub seed: u64,
    /// The table.
    pub data: DataSummary,
    /// How many rows the models were fitted on.
    pub train_rows: usize,
    /// How many rows were held out.
    pub test_rows: usize,
    /// The family with the best cross-validated area under the ROC curve.
    pub selected: Family,
    /// The candidates, best first.
    pub candidates: Vec<Candidate>,
}

/// One model family's result.
#[derive(Debug, Clone, Serialize)]
pub struct Candidate {
    /// The family.
    pub family: Family,
    /// The settings it was fitted with.
    pub parameters: BTreeMap<String, f64>,
    /// The cross-validation on the training rows.
    pub cross_validation: CrossValidation,
    /// The figures on the held-out rows.
    pub test: Figures,
    /// The curves on the held-out rows.
    pub curves: Curves,
    /// What each feature is worth on the held-out rows, most important first.
    pub importance: Vec<Importance>,
    /// How long the final fit on all training rows took.
    pub fit_seconds: f64,
}

/// The curves of a binary classifier on one set of rows.
#[derive(Debug, Clone, Serialize)]
pub struct Curves {
    /// Points `[false positive rate, true positive rate]`, from (0, 0) to (1, 1).
    pub roc: Vec<[f64; 2]>,
    /// Points `[recall, precision]`, recall ascending.
    pub precision_recall: Vec<[f64; 2]>,
    /// The calibration in at most ten bins of equally many rows, as far as rows of equal probability let them be.
    pub calibration: Vec<CalibrationBin>,
    /// Histograms of the probability in [`onnward_schemas::SCORE_BINS`] equal bins, by the row's true label.
    pub positive_scores: Vec<u64>,
    /// As `positive_scores`, of the negative rows.
    pub negative_scores: Vec<u64>,
}

/// A bin of the calibration curve.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct CalibrationBin {
    /// The mean probability of its rows.
    pub predicted: f64,
    /// The share of positives among them.
    pub observed: f64,
    /// How many rows it holds.
    pub rows: u64,
}

/// The permutation importance of a feature.
#[derive(Debug, Clone, Serialize)]
pub struct Importance {
    /// The feature's name.
    pub feature: String,
    /// The mean drop of the area under the ROC curve when the feature's column is shuffled.
    pub roc_auc_drop: f64,
    /// The drop's standard deviation over the repeats.
    pub roc_auc_drop_std: f64,
}

/// What the table holds.
#[derive(Debug, Clone, Serialize)]
pub struct DataSummary {
    /// How many rows were read.
    pub rows: usize,
    /// How many rows were left out as invalid.
    pub skipped_rows: usize,
    /// How many rows are positive.
    pub positives: usize,
    /// The SHA-256 of the file, in hexadecimal.
    pub sha256: String,
    /// Each feature.
    pub features: Vec<FeatureSummary>,
}

/// What a column of the table holds.
#[derive(Debug, Clone, Serialize)]
pub struct FeatureSummary {
    /// The feature's name.
    pub name: String,
    /// How many rows have no value.
    pub missing: usize,
    /// Its values.
    pub values: ValueSummary,
}

/// The values of a column.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum ValueSummary {
    /// A quantity.
    Numeric {
        /// The smallest value.
        min: f64,
        /// The mean.
        mean: f64,
        /// The median.
        median: f64,
        /// The largest value.
        max: f64,
        /// Bins of equal width from `min` to `max`, with the rows and the positives of each.
        bins: Vec<Group>,
    },
    /// A category: each value with its rows and its positives, in the schema's order.
    Categorical {
        /// The values.
        values: Vec<Group>,
    },
}

/// Rows that belong together.
#[derive(Debug, Clone, Serialize)]
pub struct Group {
    /// What they have in common: a value, or a range of values.
    pub name: String,
    /// How many there are.
    pub rows: usize,
    /// How many of them are positive.
    pub positives: usize,
}
