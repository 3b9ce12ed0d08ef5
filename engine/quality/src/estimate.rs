//! Estimated performance, before any label is known: confidence-based performance estimation.
//!
//! If a model is calibrated, a positive prediction of 0.8 is correct in 80 of 100 cases. So the expected
//! number of true positives is the sum of the probabilities that were decided positive. The other three cells
//! of the confusion matrix follow in the same way, and every figure is computed from these. This is NannyML's
//! CBPE (<https://nannyml.readthedocs.io/en/stable/how_it_works/performance_estimation.html>,
//! "Confidence-based Performance Estimation"). The expected ROC curve is computed in the same way at every
//! threshold.
//!
//! For several classes, the expected confusion matrix holds the sums of the classes' probabilities by predicted class,
//! and the expected accuracy is the mean of the largest probability (the same page, "Multiclass classification").
//!
//! For numbers it is direct loss estimation, NannyML's DLE (the same page, "Direct Loss Estimation"): a model of the errors,
//! fitted on held-out rows, predicts the error of each new row, and the estimate is their mean. The model of the errors is
//! the mean in each tenth of the predictions, which the artifact's profile holds ([`onnward_schemas::ErrorProfile`]). A file
//! without it has no estimate: [`NO_ERRORS`] says so.
//!
//! The estimate reflects changes in the rows, but not in the relation between features and labels. It is only
//! as good as the model's calibration.

mod by_task;
mod classes;
mod counts;
mod numbers;

use serde::{Deserialize, Serialize};

pub use self::by_task::{NO_ERRORS, TaskEstimate, TaskEstimator, TaskSums};
pub use self::classes::{ClassEstimate, ClassEstimator, ClassSums};
use self::counts::{Counts, Sums};
pub use self::numbers::{NumberEstimate, NumberEstimator, NumberSums};
use crate::performance::ratio;
use crate::time::millis_now;

/// Estimates the performance of one version of a binary model from its last scores.
#[derive(Debug)]
pub struct Estimator {
    threshold: f32,
    counts: Counts<ScoreSums>,
}

/// The number of bins of equal width in which probabilities are counted, for the ROC curve. Rows of one bin
/// count as tied; at this width that changes the area by less than a ten-thousandth.
const BINS: usize = 2048;

/// The sums that an estimate is made from. Those of several engines are added by [`ScoreSums::join`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScoreSums {
    /// Since when the predictions were made, in milliseconds since 1970.
    since_millis: u64,
    /// The number of predictions.
    rows: u64,
    /// Rows decided positive, and the sum of their probabilities.
    positives: (u64, f64),
    /// The sum of the probabilities of the rows decided negative.
    negatives: f64,
    /// Of each bin, how many rows and the sum of their probabilities.
    bins: Vec<(u32, f64)>,
}

/// Estimated figures; `None` where a figure is not defined.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Estimate {
    /// The number of predictions it is made from.
    #[serde(rename = "predictions")]
    pub rows: u64,
    /// Since when they were made, in milliseconds since 1970.
    #[serde(skip)]
    pub since_millis: u64,
    /// The expected share of correct decisions.
    pub accuracy: Option<f64>,
    /// The expected share of correct ones among the positive decisions.
    pub precision: Option<f64>,
    /// The expected share of the positives that were decided positive.
    pub recall: Option<f64>,
    /// The harmonic mean of precision and recall.
    pub f1: Option<f64>,
    /// The expected area under the ROC curve.
    pub roc_auc: Option<f64>,
}

impl Estimator {
    /// Creates an empty estimator. An estimate covers at least the last `rows` scores once there are so many,
    /// and at most twice as many.
    ///
    /// ```
    /// use onnward_quality::estimate::Estimator;
    ///
    /// let estimator = Estimator::new(0.5, 1000);
    /// assert_eq!(estimator.estimate(), None);
    ///
    /// // Three positive decisions, each of which is correct in three of four cases.
    /// estimator.observe(&[0.75, 0.75, 0.75]);
    /// let estimate = estimator.estimate().ok_or("it has scores")?;
    /// assert_eq!((estimate.rows, estimate.precision), (3, Some(0.75)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(threshold: f64, rows: usize) -> Self {
        // In single precision, as decisions are made.
        Self { threshold: threshold as f32, counts: Counts::new(rows) }
    }

    /// Counts the probabilities of one batch, `[rows]`. Ignores those that are not finite.
    pub fn observe(&self, probabilities: &[f32]) {
        self.counts.add(ScoreSums::new, |count| {
            for &probability in probabilities.iter().filter(|probability| probability.is_finite()) {
                count.add(probability, probability >= self.threshold);
            }
        });
    }

    /// Returns the estimate over the last scores. `None` before the first score.
    pub fn estimate(&self) -> Option<Estimate> {
        self.sums().map(|sums| sums.estimate())
    }

    /// Returns what the estimate is made from. `None` before the first score.
    pub fn sums(&self) -> Option<ScoreSums> {
        self.counts.both()
    }
}

impl Sums for ScoreSums {
    fn rows(&self) -> u64 {
        self.rows
    }

    fn join(&mut self, other: &Self) {
        Self::join(self, other);
    }
}

impl ScoreSums {
    fn new() -> Self {
        Self {
            since_millis: millis_now(),
            rows: 0,
            positives: (0, 0.0),
            negatives: 0.0,
            bins: vec![(0, 0.0); BINS],
        }
    }

    fn add(&mut self, probability: f32, is_positive: bool) {
        let widened = f64::from(probability);
        self.rows += 1;
        if is_positive {
            self.positives.0 += 1;
            self.positives.1 += widened;
        } else {
            self.negatives += widened;
        }
        // The cast turns a negative number into 0: an external model's output need not be a probability.
        let bin = ((probability * BINS as f32) as usize).min(BINS - 1);
        if let Some((rows, sum)) = self.bins.get_mut(bin) {
            *rows += 1;
            *sum += widened;
        }
    }

    /// Adds the sums of other predictions, at the same threshold.
    pub fn join(&mut self, other: &Self) {
        self.since_millis = self.since_millis.min(other.since_millis);
        self.rows += other.rows;
        self.positives.0 += other.positives.0;
        self.positives.1 += other.positives.1;
        self.negatives += other.negatives;
        let bins = self.bins.len().max(other.bins.len());
        self.bins.resize(bins, (0, 0.0));
        for ((rows, sum), (more, further)) in self.bins.iter_mut().zip(&other.bins) {
            *rows = rows.saturating_add(*more);
            *sum += further;
        }
    }

    /// Computes the expected figures.
    pub fn estimate(&self) -> Estimate {
        let rows = self.rows as f64;
        let (decided, true_positives) = (self.positives.0 as f64, self.positives.1);
        let false_negatives = self.negatives;
        let true_negatives = rows - decided - false_negatives;
        let positives = true_positives + false_negatives;
        Estimate {
            rows: self.rows,
            since_millis: self.since_millis,
            accuracy: ratio(true_positives + true_negatives, rows),
            precision: ratio(true_positives, decided),
            recall: ratio(true_positives, positives),
            f1: ratio(2.0 * true_positives, decided + positives),
            roc_auc: self.roc_auc(),
        }
    }

    /// Computes the area under the expected ROC curve. At each threshold, the expected true positives are the
    /// sum of the probabilities above it, and the expected false positives the sum of their complements.
    fn roc_auc(&self) -> Option<f64> {
        onnward_schemas::roc_auc(self.bins.iter().map(|(rows, sum)| (*sum, f64::from(*rows) - sum)))
    }
}

impl Estimate {
    /// Returns the figures with their metric labels.
    pub fn figures(&self) -> [(&'static str, Option<f64>); 5] {
        [
            ("accuracy", self.accuracy),
            ("precision", self.precision),
            ("recall", self.recall),
            ("f1", self.f1),
            ("roc_auc", self.roc_auc),
        ]
    }
}
