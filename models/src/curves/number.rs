use super::calibration;
use crate::comparison::{ErrorDistribution, NumberCurves};
use crate::metrics::quantile;

/// The maximum number of points of the scatter plot.
const MOST_POINTS: usize = 500;
const ERROR_BINS: usize = 20;
const QUANTILES: [f64; 7] = [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99];

/// Computes the curves of predicted numbers.
pub(super) fn curves(labels: &[f64], predicted: &[f64]) -> NumberCurves {
    let every = labels.len().div_ceil(MOST_POINTS).max(1);
    let points = labels.iter().zip(predicted).step_by(every);
    NumberCurves {
        points: points.map(|(label, predicted)| [*label, *predicted]).collect(),
        calibration: calibration(labels.iter().copied(), predicted),
        errors: error_distribution(labels, predicted),
    }
}

/// Summarises the errors. The histogram goes from the first to the 99th percentile, so that one far error does not
/// press all others into one bin.
fn error_distribution(labels: &[f64], predicted: &[f64]) -> ErrorDistribution {
    let mut errors: Vec<f64> =
        labels.iter().zip(predicted).map(|(label, predicted)| predicted - label).collect();
    errors.sort_unstable_by(f64::total_cmp);
    let quantiles: Vec<[f64; 2]> =
        QUANTILES.iter().map(|probability| [*probability, quantile(&errors, *probability)]).collect();
    let (low, high) = match (quantiles.first(), quantiles.last()) {
        (Some([_, low]), Some([_, high])) if low < high => (*low, *high),
        (Some([_, only]), _) => (only - 0.5, only + 0.5),
        _ => (-0.5, 0.5),
    };
    let width = (high - low) / ERROR_BINS as f64;
    let mut counts = vec![0; ERROR_BINS];
    for error in &errors {
        counts[(((error - low) / width).max(0.0) as usize).min(ERROR_BINS - 1)] += 1;
    }
    let edges = (0..=ERROR_BINS).map(|bin| low + width * bin as f64).collect();
    ErrorDistribution { quantiles, edges, counts }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_counted_once_each_and_one_far_error_does_not_hide_the_others() {
        let labels = vec![0.0; 1001];
        let mut predicted: Vec<f64> = (0..1001).map(|row| f64::from(row) / 1000.0 - 0.5).collect();
        let curves = curves(&labels, &predicted);
        assert!(curves.points.len() <= MOST_POINTS);
        let median = curves.errors.quantiles[3];
        assert!((median[1]).abs() < 1e-12 && median[0] == 0.5, "{median:?}");
        predicted[1000] = 1e9;
        let errors = error_distribution(&labels, &predicted);
        assert_eq!(errors.counts.iter().sum::<u64>(), 1001);
        assert!(errors.edges[ERROR_BINS] < 1.0 && errors.counts[10] > 40, "{errors:?}");
        let perfect = error_distribution(&[3.0; 4], &[3.0; 4]);
        assert_eq!((perfect.counts.iter().sum::<u64>(), perfect.edges.len()), (4, ERROR_BINS + 1));
    }
}
