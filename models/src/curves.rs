//! The curves of a report, thinned to what a chart can show.

mod classes;
mod number;

use onnward_schemas::{SCORE_BINS, Schema};

use crate::comparison::{BinaryCurves, CalibrationBin, Curves};
use crate::labels::{Labels, Scores};
use crate::metrics::binary::steps;

const MOST_POINTS: usize = 200;
/// A chart needs fewer, but the step area under the thinned precision-recall curve must stay within 5e-4 of
/// the average precision.
const MOST_PRECISION_POINTS: usize = 800;
const CALIBRATION_BINS: usize = 10;

/// Computes the curves for predictions of rows with these labels. `None` if the predictions are of another task than
/// the labels.
pub(crate) fn curves(schema: &Schema, labels: &Labels, scores: &Scores) -> Option<Curves> {
    match (labels, scores) {
        (Labels::Binary(labels), Scores::Probabilities(probabilities)) => {
            Some(Curves::Binary(binary_curves(labels, probabilities)))
        }
        (Labels::Classes(labels), Scores::ClassProbabilities(probabilities)) => {
            Some(Curves::Classes(classes::curves(schema, labels, probabilities.view())))
        }
        (Labels::Numbers(labels), Scores::Numbers(numbers)) => {
            Some(Curves::Number(number::curves(labels, numbers)))
        }
        (Labels::Binary(_) | Labels::Classes(_) | Labels::Numbers(_), _) => None,
    }
}

/// Computes the curves for rows with these true labels and these probabilities. Both classes must occur.
fn binary_curves(labels: &[bool], probabilities: &[f64]) -> BinaryCurves {
    let (roc, precision_recall) = roc_and_precision_recall(labels, probabilities);
    let of = |class| {
        let rows = labels.iter().zip(probabilities).filter(move |(label, _)| **label == class);
        score_histogram(rows.map(|(_, probability)| *probability))
    };
    let observed = labels.iter().map(|label| f64::from(u8::from(*label)));
    BinaryCurves {
        roc: thinned(&roc),
        precision_recall: thinned_by_length(&precision_recall),
        calibration: calibration(observed, probabilities),
        positive_scores: of(true),
        negative_scores: of(false),
    }
}

/// Counts the probabilities in each of [`SCORE_BINS`] equal bins from 0 to 1. The last bin includes 1.
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

/// Divides the rows by ascending prediction into bins of equally many rows. Rows of equal predictions share a bin,
/// since their order means nothing.
fn calibration(observed: impl Iterator<Item = f64>, predicted: &[f64]) -> Vec<CalibrationBin> {
    let mut rows: Vec<(f64, f64)> = predicted.iter().copied().zip(observed).collect();
    rows.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut bins: Vec<&[(f64, f64)]> = Vec::new();
    let mut start = 0;
    for bin in 1..=CALIBRATION_BINS {
        let (bin, rest) = rows.split_at(start.max(bin * rows.len() / CALIBRATION_BINS));
        let tied = |last: &(f64, f64)| rest.iter().take_while(|row| row.0 == last.0).count();
        let end = bin.len() + bin.last().map_or(0, tied);
        bins.extend(rows.get(start..end).filter(|bin| !bin.is_empty()));
        start = end;
    }
    bins.into_iter()
        .map(|bin| {
            let count = bin.len() as f64;
            CalibrationBin {
                predicted: bin.iter().map(|(predicted, _)| predicted).sum::<f64>() / count,
                observed: bin.iter().map(|(_, observed)| observed).sum::<f64>() / count,
                rows: bin.len() as u64,
            }
        })
        .collect()
}

/// Returns at most [`MOST_POINTS`] of the points, evenly spaced along the list, with the first and the last.
fn thinned(points: &[[f64; 2]]) -> Points {
    let last = points.len().saturating_sub(1);
    let kept = points.len().min(MOST_POINTS);
    (0..kept).map(|at| points[at * last / (kept - 1).max(1)]).collect()
}

/// Returns at most [`MOST_PRECISION_POINTS`] of the points, evenly spaced along the curve's length, with the
/// first and the last. So there are more where precision jumps, at low recall.
fn thinned_by_length(points: &[[f64; 2]]) -> Points {
    let step = |pair: &[[f64; 2]]| match pair {
        [a, b] => (b[0] - a[0]).abs() + (b[1] - a[1]).abs(),
        _ => 0.0,
    };
    let total: f64 = points.windows(2).map(step).sum();
    // Two points are the ends. Every stretch of this length between them has one.
    let stretch = total / (MOST_PRECISION_POINTS - 2) as f64;
    if points.len() <= MOST_PRECISION_POINTS {
        return points.to_vec();
    }
    let mut kept: Points = points.first().copied().into_iter().collect();
    let mut length = 0.0;
    for pair in points.windows(2) {
        let before = (length / stretch) as usize;
        length += step(pair);
        if (length / stretch) as usize > before {
            kept.extend(pair.last());
        }
    }
    if kept.last() != points.last() {
        kept.extend(points.last());
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_run_from_corner_to_corner_in_few_points() {
        let labels: Vec<bool> = (0..5000).map(|row| row % 3 == 0 || row > 4000).collect();
        let probabilities: Vec<f64> = (0..5000).map(|row| f64::from(row) / 4999.0).collect();
        let curves = binary_curves(&labels, &probabilities);
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
    fn equal_probabilities_share_a_bin() {
        let labels: Vec<bool> = (0..100).map(|row| row < 30).collect();
        let observed = || labels.iter().map(|label| f64::from(u8::from(*label)));
        let constant = calibration(observed(), &[0.3; 100]);
        assert_eq!(constant.iter().map(|bin| (bin.observed, bin.rows)).collect::<Vec<_>>(), [(0.3, 100)]);
        // 25 rows each of 0, 0.25, 0.5 and 0.75.
        let few: Vec<f64> = (0..100).map(|row| f64::from(row % 4) / 4.0).collect();
        let bins = calibration(observed(), &few);
        assert_eq!(
            bins.iter().map(|bin| (bin.predicted, bin.rows)).collect::<Vec<_>>(),
            [(0.0, 25), (0.25, 25), (0.5, 25), (0.75, 25)]
        );
    }

    #[test]
    fn the_area_under_the_thinned_precision_is_the_average_precision() {
        let area = |points: &[[f64; 2]]| -> f64 {
            points.windows(2).map(|pair| (pair[1][0] - pair[0][0]) * pair[1][1]).sum()
        };
        for rows in [1400_u32, 20_000] {
            // A low-discrepancy draw: positives are likelier at high probabilities, but not sure.
            let draw = |row: u32, by: f64| (f64::from(row) * by).fract();
            let probabilities: Vec<f64> = (0..rows).map(|row| draw(row, 0.618_033_988_749)).collect();
            let labels: Vec<bool> = (0..rows)
                .map(|row| draw(row, 0.754_877_666_247) < probabilities[row as usize].powi(2))
                .collect();
            let (_, full) = roc_and_precision_recall(&labels, &probabilities);
            let thinned = binary_curves(&labels, &probabilities).precision_recall;
            assert!(thinned.len() <= MOST_PRECISION_POINTS && thinned.len() > 300, "{}", thinned.len());
            assert_eq!((thinned.first(), thinned.last()), (full.first(), full.last()));
            assert!((area(&thinned) - area(&full)).abs() < 5e-4, "{} {}", area(&thinned), area(&full));
        }
    }

    #[test]
    fn a_handful_of_rows_has_curves_too() {
        let curves = binary_curves(&[true, false, true], &[1.0, 0.0, 0.5]);
        assert_eq!(curves.roc, [[0.0, 0.0], [0.0, 0.5], [0.0, 1.0], [1.0, 1.0]]);
        assert_eq!(curves.calibration.iter().map(|bin| bin.rows).sum::<u64>(), 3);
        assert_eq!((curves.positive_scores[SCORE_BINS - 1], curves.negative_scores[0]), (1, 1));
    }
}
