//! Measured performance: figures of predictions whose labels are known.
//!
//! [`Performance`] is that of binary models, [`ClassPerformance`] that of models of several classes, and
//! [`NumberPerformance`] that of models of a number. [`TaskPerformance`] is one of them.

mod by_task;
mod classes;
mod numbers;

pub use self::by_task::{ComparedFigure, Labelled, LabelledPredictions, MeasuredCounts, TaskPerformance};
pub use self::classes::{ClassCount, ClassPerformance, LabelProbability, LabelledClass};
pub use self::numbers::{
    ERROR_BINS, ERROR_QUANTILES, ErrorBin, ErrorQuantile, LabelledNumber, NumberPerformance,
};

use serde::{Deserialize, Serialize};

/// A prediction of a binary model whose label is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LabelledPrediction {
    /// The predicted probability of the positive label.
    pub probability: f32,
    /// Whether the label is the positive one.
    pub positive: bool,
}

/// The number of predictions with one probability, by their labels. The counts of several engines are added by putting
/// them one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ScoreCount(
    /// The predicted probability of the positive label.
    pub f32,
    /// The number of predictions with the positive label.
    pub u64,
    /// The number of the others.
    pub u64,
);

impl ScoreCount {
    /// Counts predictions that are sorted by probability.
    pub fn of(sorted: &[LabelledPrediction]) -> Vec<Self> {
        let ties = sorted.chunk_by(|a, b| a.probability == b.probability);
        let count = |tied: &[LabelledPrediction]| {
            let positives = tied.iter().filter(|one| one.positive).count() as u64;
            Some(Self(tied.first()?.probability, positives, tied.len() as u64 - positives))
        };
        ties.filter_map(count).collect()
    }

    /// Returns the predictions that were counted. `None` if they are more than `limit`.
    ///
    /// ```
    /// use onnward_quality::performance::ScoreCount;
    ///
    /// let counted = [ScoreCount(0.5, 2, 1)];
    /// assert_eq!(ScoreCount::predictions(&counted, 10).map(|all| all.len()), Some(3));
    /// assert_eq!(ScoreCount::predictions(&counted, 2), None);
    /// ```
    pub fn predictions(counts: &[Self], limit: u64) -> Option<Vec<LabelledPrediction>> {
        let all = counts.iter().try_fold(0_u64, |sum, Self(_, positives, others)| {
            sum.checked_add(*positives)?.checked_add(*others)
        });
        all.filter(|all| *all <= limit)?;
        let repeated = counts.iter().flat_map(|Self(probability, positives, others)| {
            let labels = [(true, *positives), (false, *others)];
            labels.into_iter().flat_map(move |(positive, count)| {
                let one = LabelledPrediction { probability: *probability, positive };
                (0..count).map(move |_| one)
            })
        });
        Some(repeated.collect())
    }
}

/// Figures of a binary model's predictions whose labels are known. A figure is `None` if it is not defined, such as the
/// precision without a positive decision.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Performance {
    /// The area under the ROC curve: the share of pairs of a positive and a negative in which the positive
    /// has the higher probability, ties counting half (Hanley and McNeil, 1982).
    pub roc_auc: Option<f64>,
    /// The share of correct decisions.
    pub accuracy: Option<f64>,
    /// The share of the positive decisions that were correct.
    pub precision: Option<f64>,
    /// The share of the positives that were decided positive.
    pub recall: Option<f64>,
    /// The mean squared difference of probability and label (Brier, 1950).
    pub brier: Option<f64>,
    /// The expected calibration error: over ten equal bins of the probability, the mean difference of mean
    /// probability and share of positives, weighted by the bins' predictions (Naeini, Cooper and Hauskrecht,
    /// 2015).
    pub calibration_error: Option<f64>,
    /// The bins, those without predictions left out.
    pub calibration: Vec<CalibrationBin>,
}

/// Predictions with similar probabilities.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CalibrationBin {
    /// The lower edge, which only the first bin includes.
    pub from: f64,
    /// The upper edge, which the bin includes.
    pub to: f64,
    /// The number of predictions.
    pub predictions: u64,
    /// Their mean probability.
    pub mean_probability: f64,
    /// The share of them with the positive label.
    pub share_positive: f64,
}

/// The number of calibration bins.
pub const CALIBRATION_BINS: usize = 10;

impl Performance {
    /// Computes the figures at a decision threshold. Sorts the predictions by probability.
    ///
    /// ```
    /// use onnward_quality::performance::{LabelledPrediction, Performance};
    ///
    /// let labelled = [(0.9, true), (0.6, false), (0.4, true), (0.2, false)];
    /// let mut predictions =
    ///     labelled.map(|(probability, positive)| LabelledPrediction { probability, positive });
    /// let performance = Performance::of(&mut predictions, 0.5);
    /// assert_eq!((performance.accuracy, performance.roc_auc), (Some(0.5), Some(0.75)));
    /// ```
    pub fn of(predictions: &mut [LabelledPrediction], threshold: f32) -> Self {
        // The same predictions give the same bits, in whatever order they come.
        predictions.sort_unstable_by(|a, b| {
            a.probability.total_cmp(&b.probability).then(a.positive.cmp(&b.positive))
        });
        let count = |holds: &dyn Fn(&LabelledPrediction) -> bool| {
            predictions.iter().filter(|one| holds(one)).count() as f64
        };
        let decided = |one: &LabelledPrediction| one.probability >= threshold;
        let all = predictions.len() as f64;
        let positives = count(&|one| one.positive);
        let decided_positive = count(&decided);
        let true_positives = count(&|one| one.positive && decided(one));
        let right = count(&|one| one.positive == decided(one));
        let squares: f64 = predictions.iter().map(|one| (probability_f64(one) - as_label(one)).powi(2)).sum();
        let calibration = calibration(predictions);
        let gaps = calibration
            .iter()
            .map(|bin| bin.predictions as f64 * (bin.mean_probability - bin.share_positive).abs());
        Self {
            roc_auc: roc_auc(predictions),
            accuracy: ratio(right, all),
            precision: ratio(true_positives, decided_positive),
            recall: ratio(true_positives, positives),
            brier: ratio(squares, all),
            calibration_error: ratio(gaps.sum(), all),
            calibration,
        }
    }

    /// Returns the figures with their metric labels.
    pub fn figures(&self) -> [(&'static str, Option<f64>); 6] {
        [
            ("roc_auc", self.roc_auc),
            ("accuracy", self.accuracy),
            ("precision", self.precision),
            ("recall", self.recall),
            ("brier", self.brier),
            ("calibration_error", self.calibration_error),
        ]
    }
}

/// Divides `part` by `total`. `None` if `total` is not above 0.
pub fn ratio(part: f64, total: f64) -> Option<f64> {
    (total > 0.0).then(|| part / total)
}

fn probability_f64(one: &LabelledPrediction) -> f64 {
    f64::from(one.probability)
}

fn as_label(one: &LabelledPrediction) -> f64 {
    f64::from(u8::from(one.positive))
}

/// Computes the ROC AUC of predictions in ascending order of their probability.
fn roc_auc(sorted: &[LabelledPrediction]) -> Option<f64> {
    let ties = sorted.chunk_by(|a, b| a.probability == b.probability);
    onnward_schemas::roc_auc(ties.map(|tied| {
        let positives = tied.iter().filter(|one| one.positive).count();
        (positives as f64, (tied.len() - positives) as f64)
    }))
}

/// Computes the calibration bins of predictions sorted by probability. A probability on an edge lies in the
/// lower bin, as in scikit-learn's `calibration_curve`.
fn calibration(sorted: &[LabelledPrediction]) -> Vec<CalibrationBin> {
    let edge = |bin: usize| bin as f64 / CALIBRATION_BINS as f64;
    let mut left = sorted;
    let mut bins = Vec::with_capacity(CALIBRATION_BINS);
    for bin in 0..CALIBRATION_BINS {
        let is_last = bin + 1 == CALIBRATION_BINS;
        let inside = left.partition_point(|one| is_last || probability_f64(one) <= edge(bin + 1));
        let (here, rest) = left.split_at(inside);
        left = rest;
        if here.is_empty() {
            continue;
        }
        let mean =
            |value: fn(&LabelledPrediction) -> f64| here.iter().map(value).sum::<f64>() / here.len() as f64;
        bins.push(CalibrationBin {
            from: edge(bin),
            to: edge(bin + 1),
            predictions: here.len() as u64,
            mean_probability: mean(probability_f64),
            share_positive: mean(as_label),
        });
    }
    bins
}

#[cfg(test)]
mod tests;
