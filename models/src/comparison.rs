//! The comparison of a training run: the content of `comparison.json` and of the report.

use std::collections::BTreeMap;

use onnward_schemas::{Criterion, CrossValidation, Figures, TaskKind};
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use crate::estimator::Estimator;

/// All candidates of a training run, evaluated on the same folds and the same held-out rows.
#[derive(Debug, Clone, Serialize)]
pub struct Comparison {
    /// The schema's name.
    pub schema: String,
    /// The label's column.
    pub label: String,
    /// What the models predict.
    pub task: TaskKind,
    /// The probability from which a row is predicted positive; absent for any other task than a binary one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
    /// The classes of the label, in the schema's order; empty for any other task.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<String>,
    /// The seed of every random choice.
    pub seed: u64,
    /// The table.
    pub data: DataSummary,
    /// The number of rows on which the models were fitted.
    pub train_rows: usize,
    /// The number of rows held out.
    pub test_rows: usize,
    /// The estimator with the best cross-validated figure.
    pub selected: Estimator,
    /// What every model should beat.
    pub baseline: Baseline,
    /// The candidates, best first.
    pub candidates: Vec<Candidate>,
}

impl Comparison {
    /// Returns whether a model is better than what looks at no feature, by more than the standard deviation over the folds.
    pub fn has_signal(&self) -> bool {
        let guessing = match &self.baseline.test {
            Figures::Binary(_) => 0.5,
            Figures::Classes(figures) => figures.log_loss,
            Figures::Number(figures) => figures.rmse,
        };
        self.candidates.iter().any(|candidate| {
            let CrossValidation { criterion, mean, std, .. } = candidate.cross_validation;
            criterion.gain(mean, guessing) - std > 0.0
        })
    }
}

/// Predictions that look at no feature.
#[derive(Debug, Clone, Serialize)]
pub struct Baseline {
    /// What is predicted for every row, in words.
    pub name: &'static str,
    /// The figures on the held-out rows.
    pub test: Figures,
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

/// The curves of a model on one set of rows, by its task.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum Curves {
    /// Those of a binary model.
    Binary(BinaryCurves),
    /// Those of a model of several classes.
    Classes(ClassCurves),
    /// Those of a model of a number.
    Number(NumberCurves),
}

/// The curves of a binary classifier.
#[derive(Debug, Clone, Serialize)]
pub struct BinaryCurves {
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

/// The curves of a classifier of several classes.
#[derive(Debug, Clone, Serialize)]
pub struct ClassCurves {
    /// Each class, in the schema's order.
    pub classes: Vec<ClassResult>,
    /// The calibration of the confidence, which is the probability of the predicted class: the share of rows that
    /// were predicted correctly, in bins as those of [`BinaryCurves::calibration`].
    pub calibration: Vec<CalibrationBin>,
    /// The histogram of the confidence of the rows that were predicted correctly, in
    /// [`onnward_schemas::SCORE_BINS`] equal bins.
    pub right_confidences: Vec<u64>,
    /// The same of the other rows.
    pub wrong_confidences: Vec<u64>,
}

/// The result of a classifier for one class against all others.
#[derive(Debug, Clone, Serialize)]
pub struct ClassResult {
    /// The class.
    pub class: String,
    /// The number of its rows.
    pub rows: u64,
    /// The number of rows that were predicted to have it.
    pub predicted: u64,
    /// The share of its rows among those; 0 if there are none.
    pub precision: f64,
    /// The share of its rows that were predicted to have it; 0 if there are none.
    pub recall: f64,
    /// The harmonic mean of precision and recall.
    pub f1: f64,
    /// The area under the ROC curve of its probability.
    pub roc_auc: f64,
    /// Points `[false positive rate, true positive rate]`. Empty for all but the most frequent classes.
    pub roc: Vec<[f64; 2]>,
}

/// The curves of a model of a number. An error is `prediction − label`.
#[derive(Debug, Clone, Serialize)]
pub struct NumberCurves {
    /// Points `[label, prediction]` of some hundred rows.
    pub points: Vec<[f64; 2]>,
    /// The mean prediction and the mean label, in bins as those of [`BinaryCurves::calibration`].
    pub calibration: Vec<CalibrationBin>,
    /// The errors.
    pub errors: ErrorDistribution,
}

/// The distribution of a model's errors, in the units of the label.
#[derive(Debug, Clone, Serialize)]
pub struct ErrorDistribution {
    /// The quantiles, as pairs of a probability and an error.
    pub quantiles: Vec<[f64; 2]>,
    /// The bounds of the histogram's bins, which have equal widths: one more than there are bins. Errors beyond the
    /// first and the last are in the first and the last bin.
    pub edges: Vec<f64>,
    /// The number of rows in each bin.
    pub counts: Vec<u64>,
}

/// A bin of the calibration curve.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct CalibrationBin {
    /// The mean prediction of its rows.
    pub predicted: f64,
    /// The share of positives among its rows, or the mean of their labels.
    pub observed: f64,
    /// The number of its rows.
    pub rows: u64,
}

/// The permutation importance of a feature.
///
/// In JSON the figure's name is part of the keys: `roc_auc_drop`, `log_loss_rise` or `rmse_rise`, each with its
/// `_std`.
#[derive(Debug, Clone)]
pub struct Importance {
    /// The feature's name.
    pub feature: String,
    /// The figure that is watched.
    pub criterion: Criterion,
    /// The mean of how much worse the figure is when the feature's column is shuffled.
    pub loss: f64,
    /// Its standard deviation over the repeats.
    pub loss_std: f64,
}

impl Serialize for Importance {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (loss, std) = match self.criterion {
            Criterion::RocAuc => ("roc_auc_drop", "roc_auc_drop_std"),
            Criterion::LogLoss => ("log_loss_rise", "log_loss_rise_std"),
            Criterion::Rmse => ("rmse_rise", "rmse_rise_std"),
        };
        let mut fields = serializer.serialize_struct("Importance", 3)?;
        fields.serialize_field("feature", &self.feature)?;
        fields.serialize_field(loss, &self.loss)?;
        fields.serialize_field(std, &self.loss_std)?;
        fields.end()
    }
}

/// A summary of the table.
#[derive(Debug, Clone, Serialize)]
pub struct DataSummary {
    /// The number of rows read.
    pub rows: usize,
    /// The number of rows skipped as invalid.
    pub skipped_rows: usize,
    /// The labels.
    #[serde(flatten)]
    pub label: LabelSummary,
    /// The distribution of a label that is a number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_values: Option<ValueSummary>,
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
        /// Bins of equal width from `min` to `max`, with the rows and the labels of each.
        bins: Vec<Group>,
    },
    /// A category: each value with its rows and their labels, in the schema's order.
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
    /// Their labels.
    #[serde(flatten)]
    pub label: LabelSummary,
}

/// The labels of some rows, by the task.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum LabelSummary {
    /// Of a binary label.
    Binary {
        /// The number of positive rows.
        positives: usize,
    },
    /// Of several classes.
    Classes {
        /// The number of rows of each class, in the schema's order.
        class_rows: Vec<u64>,
    },
    /// Of a number.
    Number {
        /// The mean; 0 if there are no rows.
        mean: f64,
    },
}
