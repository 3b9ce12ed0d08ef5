//! How good predictions probably are, before any outcome has come: confidence-based performance estimation.
//!
//! A prediction of 0.8 is right to be positive in 80 of 100 cases, if the model is calibrated. So the expected number of
//! true positives is the sum of the probabilities that were decided positive, and likewise for the other three cells of the
//! confusion matrix, out of which every figure is computed. This is NannyML's CBPE, as its documentation has it under "How it
//! works, Estimating Performance of Estimated Models, Confidence-based Performance Estimation"
//! (<https://nannyml.readthedocs.io/en/stable/how_it_works/performance_estimation.html>); the expectation of the ROC curve is
//! taken in the same way at every threshold.
//!
//! It sees a change in what is scored, and not a change in how features and labels hang together. It is as good as the
//! calibration of the model is.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use crate::performance::ratio;
use crate::time::millis_now;

/// The scores of one version of a model, counted for an estimate over the last of them.
#[derive(Debug)]
pub struct Estimator {
    threshold: f32,
    /// From how many rows on a count is put aside for the next.
    rows: u64,
    counts: Mutex<Counts>,
}

/// The estimate covers what is counted now and what was counted before it: between one and two times the rows of a count.
#[derive(Debug, Default)]
struct Counts {
    now: Option<Count>,
    before: Option<Count>,
}

/// Into how many bins of equal width the probabilities are counted, for the ROC curve. Rows of one bin count as tied; at
/// this width that changes the area by less than a ten-thousandth.
const BINS: usize = 2048;

#[derive(Debug, Clone)]
struct Count {
    since_millis: u64,
    rows: u64,
    /// Rows decided positive, and the sum of their probabilities.
    decided: (u64, f64),
    /// The sum of the probabilities of the rows decided negative.
    passed: f64,
    /// Of each bin, how many rows and the sum of their probabilities.
    bins: Vec<(u32, f64)>,
}

/// An estimate of how good predictions are; `None` where the scores do not decide a figure.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Estimate {
    /// How many predictions it is made from.
    #[serde(rename = "predictions")]
    pub rows: u64,
    /// Since when they were made, in milliseconds since 1970.
    #[serde(skip)]
    pub since_millis: u64,
    /// The expected share of right decisions.
    pub accuracy: Option<f64>,
    /// The expected share of right ones among the positive decisions.
    pub precision: Option<f64>,
    /// The expected share of the positives that were decided to be so.
    pub recall: Option<f64>,
    /// The harmonic mean of precision and recall.
    pub f1: Option<f64>,
    /// The expected area under the ROC curve.
    pub roc_auc: Option<f64>,
}

impl Estimator {
    /// One that has counted nothing. `rows` is how many of the last scores an estimate covers at least, once there are so
    /// many; it covers at most twice as many.
    pub fn new(threshold: f64, rows: usize) -> Self {
        // In single precision, as decisions are made.
        Self { threshold: threshold as f32, rows: rows as u64, counts: Mutex::default() }
    }

    /// Counts the probabilities of one batch: `[rows]`. One that is not finite is not counted.
    pub fn observe(&self, probabilities: &[f32]) {
        let mut counts = self.counts();
        if counts.now.as_ref().is_some_and(|count| count.rows >= self.rows) {
            counts.before = counts.now.take();
        }
        let count = counts.now.get_or_insert_with(Count::new);
        for &probability in probabilities.iter().filter(|probability| probability.is_finite()) {
            count.add(probability, probability >= self.threshold);
        }
    }

    /// The estimate over the last scores; `None` before there is one.
    pub fn estimate(&self) -> Option<Estimate> {
        let counts = self.counts();
        let mut both = counts.now.clone()?;
        if let Some(before) = &counts.before {
            both.join(before);
        }
        drop(counts);
        (both.rows > 0).then(|| both.estimate())
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Count {
    fn new() -> Self {
        Self {
            since_millis: millis_now(),
            rows: 0,
            decided: (0, 0.0),
            passed: 0.0,
            bins: vec![(0, 0.0); BINS],
        }
    }

    fn add(&mut self, probability: f32, is_decided: bool) {
        let widened = f64::from(probability);
        self.rows += 1;
        if is_decided {
            self.decided.0 += 1;
            self.decided.1 += widened;
        } else {
            self.passed += widened;
        }
        // Below 0 it is 0: a foreign model's output need not be a probability.
        let bin = ((probability * BINS as f32) as usize).min(BINS - 1);
        if let Some((rows, sum)) = self.bins.get_mut(bin) {
            *rows += 1;
            *sum += widened;
        }
    }

    fn join(&mut self, before: &Self) {
        self.since_millis = before.since_millis;
        self.rows += before.rows;
        self.decided.0 += before.decided.0;
        self.decided.1 += before.decided.1;
        self.passed += before.passed;
        for ((rows, sum), (more, further)) in self.bins.iter_mut().zip(&before.bins) {
            *rows += more;
            *sum += further;
        }
    }

    fn estimate(&self) -> Estimate {
        let rows = self.rows as f64;
        let (decided, true_positives) = (self.decided.0 as f64, self.decided.1);
        let false_negatives = self.passed;
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

    /// The area under the expected ROC curve, by the trapezoidal rule: at each threshold the expected true and false positives are the
    /// sums of the probabilities above it and of what they lack to 1.
    fn roc_auc(&self) -> Option<f64> {
        let (mut positives, mut negatives, mut won) = (0.0, 0.0, 0.0);
        for (rows, sum) in &self.bins {
            let others = f64::from(*rows) - sum;
            won += sum * (negatives + others / 2.0);
            positives += sum;
            negatives += others;
        }
        ratio(won, positives * negatives)
    }
}

impl Estimate {
    /// The figures by the names that metrics have for them.
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
