//! The curves of a report, thinned to what a picture can show.

use onnward_schemas::SCORE_BINS;

use crate::comparison::{CalibrationBin, Curves};
use crate::metrics::steps;

const MOST_POINTS: usize = 200;
const CALIBRATION_BINS: usize = 10;

/// The curves for rows with these true labels and these probabilities. Both classes must occur.
pub(crate) fn curves(labels: &[bool], probabilities: &[f64]) -> Curves {
    let (roc, precision_recall) = roc_and_precision_recall(labels, probabilities);
    let of = |class| {
        let rows = labels.iter().zip(probabilities).filter(move |(label, _)| **label == class);
        score_histogram(rows.map(|(_, probability)| *probability))
    };
    Curves {
        roc: thinned(&roc),
        precision_recall: thinned(&precision_recall),
        calibration: calibration(labels, probabilities),
        positive_scores: of(true),
        negative_scores: of(false),
    }
}

/// How many probabilities lie in each of [`SCORE_BINS`] equal bins from 0 to 1; 1 itself lies in the last.
pub(crate) fn score_histogram(probabilities: impl Iterator<Item = f64>) -> Vec<u64> {
    let mut counts = vec![0; SCORE_BINS];
    for probability in probabilities {
        counts[((probability * SCORE_BINS as f64) as usize).min(SCORE_BINS - 1)] += 1;
    }
    counts
}

type Points = Vec<[f64; 2]>;

fn roc_and_precision_recall(labels: &[bool], probabilities: &[f64]) -> (Points, Points) {
    let positives = labels.iter().filter(|label| **label).count() as f64;
    let negatives = labels.len() as f64 - positives;
    let (mut roc, mut precision_recall) = (vec![[0.0, 0.0]], vec![[0.0, 1.0]]);
    let (mut true_positives, mut false_positives) = (0.0, 0.0);
    for step in steps(labels, probabilities) {
        true_positives += step.positives as f64;
        false_positives += step.negatives as f64;
        roc.push([false_positives / negatives, true_positives / positives]);
        precision_recall
            .push([true_positives / positives, true_positives / (true_positives + false_positives)]);
    }
    (roc, precision_recall)
}

fn calibration(labels: &[bool], probabilities: &[f64]) -> Vec<CalibrationBin> {
    let mut rows: Vec<(f64, bool)> = probabilities.iter().copied().zip(labels.iter().copied()).collect();
    rows.sort_by(|a, b| a.0.total_cmp(&b.0));
    let edge = |bin: usize| bin * rows.len() / CALIBRATION_BINS;
    let bins = (0..CALIBRATION_BINS).map(|bin| &rows[edge(bin)..edge(bin + 1)]);
    bins.filter(|bin| !bin.is_empty())
        .map(|bin| {
            let count = bin.len() as f64;
            CalibrationBin {
                predicted: bin.iter().map(|(probability, _)| probability).sum::<f64>() / count,
                observed: bin.iter().filter(|(_, positive)| *positive).count() as f64 / count,
                rows: bin.len() as u64,
            }
        })
        .collect()
}

/// At most [`MOST_POINTS`] of the points, evenly spaced along the list, the first and the last among them.
fn thinned(points: &[[f64; 2]]) -> Points {
    let last = points.len().saturating_sub(1);
    let kept = points.len().min(MOST_POINTS);
    (0..kept).map(|at| points[at * last / (kept - 1).max(1)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_run_from_corner_to_corner_in_few_points() {
        let labels: Vec<bool> = (0..5000).map(|row| row % 3 == 0 || row > 4000).collect();
        let probabilities: Vec<f64> = (0..5000).map(|row| f64::from(row) / 4999.0).collect();
        let curves = curves(&labels, &probabilities);
        assert_eq!(curves.roc.len(), MOST_POINTS);
        assert_eq!((curves.roc[0], curves.roc[MOST_POINTS - 1]), ([0.0, 0.0], [1.0, 1.0]));
        assert!(curves.roc.is_sorted_by(|a, b| a[0] <= b[0] && a[1] <= b[1]));
        assert!(curves.precision_recall.is_sorted_by(|a, b| a[0] <= b[0]));
        let scored: u64 = curves.positive_scores.iter().chain(&curves.negative_scores).sum();
        assert_eq!(scored, 5000);
        assert!(curves.calibration.iter().all(|bin| bin.rows == 500));
        assert!((curves.calibration[0].predicted - 249.5 / 4999.0).abs() < 1e-9);
        assert!((curves.calibration[9].observed - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_handful_of_rows_has_curves_too() {
        let curves = curves(&[true, false, true], &[1.0, 0.0, 0.5]);
        assert_eq!(curves.roc, [[0.0, 0.0], [0.0, 0.5], [0.0, 1.0], [1.0, 1.0]]);
        assert_eq!(curves.calibration.iter().map(|bin| bin.rows).sum::<u64>(), 3);
        assert_eq!((curves.positive_scores[SCORE_BINS - 1], curves.negative_scores[0]), (1, 1));
    }
}
