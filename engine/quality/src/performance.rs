//! How good predictions were, by the outcomes that came for them.

use serde::Serialize;

/// A prediction whose outcome is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Judged {
    /// The probability that was answered.
    pub probability: f32,
    /// Whether the label turned out to be the positive one.
    pub positive: bool,
}

/// Figures of predictions whose outcomes are known. A figure that these do not decide, such as a precision without a positive
/// decision, is `None`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Performance {
    /// The area under the ROC curve: the share of pairs of a positive and a negative in which the positive has the higher
    /// probability, ties counting half (Hanley and McNeil, 1982).
    pub roc_auc: Option<f64>,
    /// The share of decisions that were right.
    pub accuracy: Option<f64>,
    /// The share of the positive decisions that were right.
    pub precision: Option<f64>,
    /// The share of the positives that were decided to be so.
    pub recall: Option<f64>,
    /// The mean squared difference of probability and label (Brier, 1950).
    pub brier: Option<f64>,
    /// The expected calibration error: over ten equal bins of the probability, the mean difference of mean probability and
    /// share of positives, weighted by the bins' predictions (Naeini, Cooper and Hauskrecht, 2015).
    pub calibration_error: Option<f64>,
    /// The bins, those without predictions left out.
    pub calibration: Vec<CalibrationBin>,
}

/// Predictions of about one probability.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CalibrationBin {
    /// Above which probability; the first bin has 0 too.
    pub from: f64,
    /// Up to which probability.
    pub to: f64,
    /// How many predictions.
    pub predictions: u64,
    /// What they said on average.
    pub mean_probability: f64,
    /// How many of them turned out to be positive.
    pub share_positive: f64,
}

/// How many bins the calibration has.
pub const CALIBRATION_BINS: usize = 10;

impl Performance {
    /// The figures of predictions that are decided at `threshold`. They are sorted by their probability on the way.
    pub fn of(judged: &mut [Judged], threshold: f32) -> Self {
        judged.sort_unstable_by(|a, b| a.probability.total_cmp(&b.probability));
        let count = |holds: &dyn Fn(&Judged) -> bool| judged.iter().filter(|one| holds(one)).count() as f64;
        let decided = |one: &Judged| one.probability >= threshold;
        let all = judged.len() as f64;
        let positives = count(&|one| one.positive);
        let decided_positive = count(&decided);
        let true_positives = count(&|one| one.positive && decided(one));
        let right = count(&|one| one.positive == decided(one));
        let squares: f64 = judged.iter().map(|one| (widened(one) - truth(one)).powi(2)).sum();
        let calibration = calibration(judged);
        let gaps = calibration
            .iter()
            .map(|bin| bin.predictions as f64 * (bin.mean_probability - bin.share_positive).abs());
        Self {
            roc_auc: roc_auc(judged),
            accuracy: ratio(right, all),
            precision: ratio(true_positives, decided_positive),
            recall: ratio(true_positives, positives),
            brier: ratio(squares, all),
            calibration_error: ratio(gaps.sum(), all),
            calibration,
        }
    }

    /// The figures by the names that metrics have for them.
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

/// Returns `part / whole`, if there is anything to divide.
pub fn ratio(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| part / whole)
}

fn widened(one: &Judged) -> f64 {
    f64::from(one.probability)
}

fn truth(one: &Judged) -> f64 {
    f64::from(u8::from(one.positive))
}

/// Of predictions in ascending order of their probability.
fn roc_auc(sorted: &[Judged]) -> Option<f64> {
    let (mut positives, mut negatives, mut won) = (0.0, 0.0, 0.0);
    for tied in sorted.chunk_by(|a, b| a.probability == b.probability) {
        let here = tied.iter().filter(|one| one.positive).count() as f64;
        let others = tied.len() as f64 - here;
        won += here * (negatives + others / 2.0);
        positives += here;
        negatives += others;
    }
    ratio(won, positives * negatives)
}

/// Of predictions in ascending order of their probability. A probability on an edge lies in the lower bin, as in scikit-learn's
/// `calibration_curve`.
fn calibration(sorted: &[Judged]) -> Vec<CalibrationBin> {
    let edge = |bin: usize| bin as f64 / CALIBRATION_BINS as f64;
    let mut left = sorted;
    let mut bins = Vec::with_capacity(CALIBRATION_BINS);
    for bin in 0..CALIBRATION_BINS {
        let is_last = bin + 1 == CALIBRATION_BINS;
        let inside = left.partition_point(|one| is_last || widened(one) <= edge(bin + 1));
        let (here, rest) = left.split_at(inside);
        left = rest;
        if here.is_empty() {
            continue;
        }
        let mean = |value: fn(&Judged) -> f64| here.iter().map(value).sum::<f64>() / here.len() as f64;
        bins.push(CalibrationBin {
            from: edge(bin),
            to: edge(bin + 1),
            predictions: here.len() as u64,
            mean_probability: mean(widened),
            share_positive: mean(truth),
        });
    }
    bins
}

#[cfg(test)]
mod tests;
