//! The comparison of a training run: the content of `comparison.json` and of the report.

use std::collections::BTreeMap;

use onnward_schemas::{CrossValidation, Figures};
use serde::Serialize;

use crate::estimator::Estimator;

/// All candidates of a training run, evaluated on the same folds and the same held-out rows.
#[derive(Debug, Clone, Serialize)]
pub struct Comparison {
    /// The schema's name.
    pub schema: String,
    /// The label's column.
    pub label: String,
    /// The probability from which a row is predicted positive.
    pub threshold: f64,
    /// The seed of every random choice.
    pub seed: u64,
    /// The table.
    pub data: DataSummary,
    /// The number of rows on which the models were fitted.
    pub train_rows: usize,
    /// The number of rows held out.
    pub test_rows: usize,
    /// The estimator with the best cross-validated area under the ROC curve.
    pub selected: Estimator,
    /// The candidates, best first.
    pub candidates: Vec<Candidate>,
}

/// The result of one candidate.
#[derive(Debug, Clone, Serialize)]
pub struct Candidate {
    /// The estimator; `family` in the file.
    #[serde(rename = "family")]
    pub estimator: Estimator,
    /// The settings with which it was fitted.
    pub parameters: BTreeMap<String, f64>,
    /// The cross-validation on the training rows.
    pub cross_validation: CrossValidation,
    /// The metrics on the held-out rows.
    pub test: Figures,
    /// The curves on the held-out rows.
    pub curves: Curves,
    /// The importance of each feature on the held-out rows, most important first.
    pub importance: Vec<Importance>,
    /// The duration of the final fit, on all training rows.
    pub fit_seconds: f64,
}

/// The curves of a binary classifier on one set of rows.
#[derive(Debug, Clone, Serialize)]
pub struct Curves {
    /// Points `[false positive rate, true positive rate]`, from (0, 0) to (1, 1).
    pub roc: Vec<[f64; 2]>,
    /// Points `[recall, precision]`, recall ascending.
    pub precision_recall: Vec<[f64; 2]>,
    /// The calibration in at most ten bins of equally many rows, except that rows of equal probability share
    /// a bin.
    pub calibration: Vec<CalibrationBin>,
    /// The histogram of the positive rows' probabilities in [`onnward_schemas::SCORE_BINS`] equal bins.
    pub positive_scores: Vec<u64>,
    /// The same of the negative rows.
    pub negative_scores: Vec<u64>,
}

/// A bin of the calibration curve.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct CalibrationBin {
    /// The mean probability of its rows.
    pub predicted: f64,
    /// The share of positives among its rows.
    pub observed: f64,
    /// The number of its rows.
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

/// A summary of the table.
#[derive(Debug, Clone, Serialize)]
pub struct DataSummary {
    /// The number of rows read.
    pub rows: usize,
    /// The number of rows skipped as invalid.
    pub skipped_rows: usize,
    /// The number of positive rows.
    pub positives: usize,
    /// The SHA-256 of the file, in hexadecimal.
    pub sha256: String,
    /// The features, in the schema's order.
    pub features: Vec<FeatureSummary>,
}

/// A summary of one column.
#[derive(Debug, Clone, Serialize)]
pub struct FeatureSummary {
    /// The feature's name.
    pub name: String,
    /// The number of rows without a value.
    pub missing: usize,
    /// Its values.
    pub values: ValueSummary,
}

/// The distribution of a column's values.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum ValueSummary {
    /// A number.
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

/// Rows with one value, or in one range of values.
#[derive(Debug, Clone, Serialize)]
pub struct Group {
    /// The value, or the range.
    pub name: String,
    /// The number of rows.
    pub rows: usize,
    /// The number of positive rows.
    pub positives: usize,
}
