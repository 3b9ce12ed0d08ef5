//! Figures of the predictions of a number. Definitions: scikit-learn's user guide, §3.4.6.

use onnward_schemas::NumberFigures;

/// Computes all figures. There must be at least one row.
pub(crate) fn figures(labels: &[f64], predicted: &[f64]) -> NumberFigures {
    let count = labels.len() as f64;
    let mean = |of: &dyn Fn(f64, f64) -> f64| {
        labels.iter().zip(predicted).map(|(label, number)| of(*label, *number)).sum::<f64>() / count
    };
    let center = labels.iter().sum::<f64>() / count;
    let squares = mean(&|label, number| (number - label).powi(2));
    let spread = mean(&|label, _| (label - center).powi(2));
    NumberFigures {
        rmse: squares.sqrt(),
        mae: mean(&|label, number| (number - label).abs()),
        median_absolute_error: median_absolute_error(labels, predicted),
        // Where all labels are equal, scikit-learn calls perfect predictions 1 and any others 0.
        r2: match (spread > 0.0, squares > 0.0) {
            (true, _) => 1.0 - squares / spread,
            (false, false) => 1.0,
            (false, true) => 0.0,
        },
        mape: labels
            .iter()
            .all(|label| *label != 0.0)
            .then(|| mean(&|label, number| ((number - label) / label).abs())),
        pinball_10: mean(&|label, number| pinball(label, number, 0.1)),
        pinball_50: mean(&|label, number| pinball(label, number, 0.5)),
        pinball_90: mean(&|label, number| pinball(label, number, 0.9)),
        bias: mean(&|label, number| number - label),
    }
}

/// Computes the root of the mean squared error.
pub(crate) fn rmse(labels: &[f64], predicted: &[f64]) -> f64 {
    let squares: f64 = labels.iter().zip(predicted).map(|(label, number)| (number - label).powi(2)).sum();
    (squares / labels.len() as f64).sqrt()
}

/// Computes the pinball loss of one prediction as a quantile (R. Koenker and G. Bassett, Regression Quantiles,
/// Econometrica 46 (1978), doi:10.2307/1913643).
fn pinball(label: f64, number: f64, quantile: f64) -> f64 {
    let short = label - number;
    if short > 0.0 { quantile * short } else { (quantile - 1.0) * short }
}

fn median_absolute_error(labels: &[f64], predicted: &[f64]) -> f64 {
    let mut errors: Vec<f64> =
        labels.iter().zip(predicted).map(|(label, number)| (number - label).abs()).collect();
    errors.sort_unstable_by(f64::total_cmp);
    match (errors.get(errors.len().saturating_sub(1) / 2), errors.get(errors.len() / 2)) {
        (Some(low), Some(high)) => f64::midpoint(*low, *high),
        _ => 0.0,
    }
}
