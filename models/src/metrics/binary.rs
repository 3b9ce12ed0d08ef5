//! Metrics of a binary classifier. Definitions: T. Fawcett, An introduction to ROC analysis, Pattern
//! Recognition Letters 27 (2006), doi:10.1016/j.patrec.2005.10.010, unless another source is given.

use onnward_schemas::{BinaryFigures, Confusion};

/// Computes all metrics for rows with these true labels and these probabilities of the positive label.
///
/// A row is predicted positive from `threshold` on. Both classes must occur.
pub(crate) fn figures(labels: &[bool], probabilities: &[f64], threshold: f64) -> BinaryFigures {
    let confusion = confusion(labels, probabilities, threshold);
    let Confusion { true_positives, false_positives, true_negatives, false_negatives } = confusion;
    let share = |part: u64, whole: u64| if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
    BinaryFigures {
        // (TP + TN) / (P + N)
        accuracy: share(true_positives + true_negatives, labels.len() as u64),
        // TP / (TP + FP)
        precision: share(true_positives, true_positives + false_positives),
        // TP / P
        recall: share(true_positives, true_positives + false_negatives),
        // 2 / (1/precision + 1/recall), which is 2 TP / (2 TP + FP + FN)
        f1: share(2 * true_positives, 2 * true_positives + false_positives + false_negatives),
        roc_auc: roc_auc(labels, probabilities),
        average_precision: average_precision(labels, probabilities),
        log_loss: log_loss(labels, probabilities),
        brier: brier(labels, probabilities),
        confusion,
    }
}

/// Computes the area under the ROC curve, as [`onnward_schemas::roc_auc`]: the probability that a positive
/// row scores above a negative one, ties counting half. It is 0.5 if a class is absent.
///
/// ```
/// let labels = [false, true, false, true];
/// assert_eq!(onnward_models::roc_auc(&labels, &[0.1, 0.4, 0.35, 0.8]), 1.0);
/// assert_eq!(onnward_models::roc_auc(&labels, &[0.1, 0.3, 0.35, 0.8]), 0.75);
/// ```
pub fn roc_auc(labels: &[bool], probabilities: &[f64]) -> f64 {
    let steps = steps(labels, probabilities);
    let ties = steps.iter().rev().map(|step| (step.positives as f64, step.negatives as f64));
    onnward_schemas::roc_auc(ties).unwrap_or(0.5)
}

/// Computes the average precision, Σ (Rₙ − Rₙ₋₁) Pₙ over the distinct thresholds, without interpolation
/// (scikit-learn's user guide, §3.4.4.9; Manning, Raghavan and Schütze, Introduction to Information
/// Retrieval, §8.4).
pub(crate) fn average_precision(labels: &[bool], probabilities: &[f64]) -> f64 {
    let (mut positives, mut predicted, mut sum) = (0.0, 0.0, 0.0);
    for step in steps(labels, probabilities) {
        positives += step.positives as f64;
        predicted += (step.positives + step.negatives) as f64;
        sum += step.positives as f64 * positives / predicted;
    }
    if positives == 0.0 { 0.0 } else { sum / positives }
}

/// Computes the mean of −ln p(true label), in nats (Bishop, Pattern Recognition and Machine Learning, 2006,
/// eq. 4.90).
///
/// As in scikit-learn, probabilities are kept 2.2e-16 away from 0 and 1, so that one certain error is not
/// infinite.
pub(crate) fn log_loss(labels: &[bool], probabilities: &[f64]) -> f64 {
    mean(labels, probabilities, |label, probability| {
        let probability = probability.clamp(f64::EPSILON, 1.0 - f64::EPSILON);
        -(if label { probability } else { 1.0 - probability }).ln()
    })
}

/// Computes the mean of (p − label)² (G. W. Brier, Monthly Weather Review 78 (1950),
/// doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2, in its form for one of two classes).
pub(crate) fn brier(labels: &[bool], probabilities: &[f64]) -> f64 {
    mean(labels, probabilities, |label, probability| (probability - f64::from(u8::from(label))).powi(2))
}

/// Rows that share one score.
pub(crate) struct Step {
    /// The number of positive ones.
    pub positives: u64,
    /// The number of negative ones.
    pub negatives: u64,
}

/// Groups the rows by distinct score, from the highest down.
pub(crate) fn steps(labels: &[bool], probabilities: &[f64]) -> Vec<Step> {
    let mut rows: Vec<(f64, bool)> = probabilities.iter().copied().zip(labels.iter().copied()).collect();
    rows.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
    rows.chunk_by(|a, b| a.0 == b.0)
        .map(|tied| {
            let positives = tied.iter().filter(|(_, positive)| *positive).count() as u64;
            Step { positives, negatives: tied.len() as u64 - positives }
        })
        .collect()
}

fn confusion(labels: &[bool], probabilities: &[f64], threshold: f64) -> Confusion {
    let mut confusion = Confusion::default();
    for (label, probability) in labels.iter().zip(probabilities) {
        let count = match (label, *probability >= threshold) {
            (true, true) => &mut confusion.true_positives,
            (false, true) => &mut confusion.false_positives,
            (false, false) => &mut confusion.true_negatives,
            (true, false) => &mut confusion.false_negatives,
        };
        *count += 1;
    }
    confusion
}

fn mean(labels: &[bool], probabilities: &[f64], f: impl Fn(bool, f64) -> f64) -> f64 {
    let sum: f64 = labels.iter().zip(probabilities).map(|(label, probability)| f(*label, *probability)).sum();
    sum / labels.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const LABELS: [bool; 10] = [true, false, true, true, false, false, true, false, false, true];
    const PROBABILITIES: [f64; 10] = [0.9, 0.8, 0.8, 0.6, 0.6, 0.5, 0.4, 0.3, 0.1, 0.0];

    fn assert_close(actual: f64, expected: f64) {
        assert!((actual - expected).abs() < 1e-12, "{actual} is not {expected}");
    }

    /// The expected values are those of scikit-learn 1.9.1.
    #[test]
    fn figures_agree_with_scikit_learn_on_tied_scores() {
        let figures = figures(&LABELS, &PROBABILITIES, 0.5);
        assert_close(figures.roc_auc, 0.6);
        assert_close(figures.average_precision, 0.667_619_047_619_047_7);
        assert_close(figures.log_loss, 4.148_018_509_619_409);
        assert_close(figures.brier, 0.292);
        assert_close(figures.accuracy, 0.5);
        assert_close(figures.precision, 0.5);
        assert_close(figures.recall, 0.6);
        assert_close(figures.f1, 0.545_454_545_454_545_4);
        let confusion =
            Confusion { true_positives: 3, false_positives: 3, true_negatives: 2, false_negatives: 2 };
        assert_eq!(figures.confusion, confusion);
    }

    #[test]
    fn the_threshold_itself_is_positive_and_without_positives_precision_is_0() {
        assert_eq!(figures(&LABELS, &PROBABILITIES, 0.9).confusion.true_positives, 1);
        let strict = figures(&LABELS, &PROBABILITIES, 0.95);
        assert_eq!((strict.precision, strict.recall, strict.f1), (0.0, 0.0, 0.0));
        assert_close(strict.accuracy, 0.5);
    }

    #[test]
    fn scores_without_signal_and_perfect_scores() {
        assert_close(roc_auc(&LABELS, &[0.3; 10]), 0.5);
        assert_close(average_precision(&LABELS, &[0.3; 10]), 0.5);
        let perfect = LABELS.map(|label| f64::from(u8::from(label)));
        assert_close(roc_auc(&LABELS, &perfect), 1.0);
        assert_close(roc_auc(&LABELS, &perfect.map(|probability| 1.0 - probability)), 0.0);
        assert_close(average_precision(&LABELS, &perfect), 1.0);
        assert!(log_loss(&LABELS, &perfect) < 1e-15 && brier(&LABELS, &perfect) == 0.0);
        assert!(log_loss(&[true], &[0.0]).is_finite());
    }
}
