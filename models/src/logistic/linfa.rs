//! Logistic regression by linfa-logistic, on the preprocessed matrix.

use linfa::DatasetBase;
use linfa::traits::Fit;
use linfa_logistic::{FittedLogisticRegression, LogisticRegression};
use ndarray::ArrayView2;
use ndarray016::{Array1, Array2};

use super::{LogisticError, SLOPE_ACCEPTED, SLOPE_SOUGHT};
use crate::fitted::{FittedLogistic, Segment};
use crate::linear::spline::{self, Design};
use crate::parameters::LogisticParams;

/// The iterations of one round of the solver. The next round starts where it stopped.
const ITERATIONS_A_ROUND: u64 = 300;
const ROUNDS: u64 = 10;

/// Fits a logistic regression on the preprocessed rows `[rows, columns]`.
///
/// # Errors
/// [`LogisticError`] if the minimum of the loss is not found.
pub(crate) fn fit(
    rows: ArrayView2<'_, f32>,
    labels: &[bool],
    params: &LogisticParams,
) -> Result<FittedLogistic, LogisticError> {
    let count = rows.nrows() as f64;
    let alpha = 1.0 / params.c;
    let segments = spline::segment_all(rows, params.knots);
    let design = Design::new(rows, &segments);
    let table = DatasetBase::new(design.records.view(), Array1::from_vec(labels.to_vec()));
    let mut solver = LogisticRegression::default()
        .alpha(alpha)
        .max_iterations(ITERATIONS_A_ROUND)
        .gradient_tolerance(SLOPE_SOUGHT * count);
    let mut slope = f64::INFINITY;
    let mut last = None;
    for _ in 0..ROUNDS {
        let fitted = match (solver.fit(&table), last.take()) {
            (Ok(fitted), _) => fitted,
            // The solver fails where it is so close to the minimum that rounding leaves no way down.
            (Err(_), Some(last)) if slope <= SLOPE_ACCEPTED => {
                return Ok(for_the_positive_label(&last, &design, segments));
            }
            (Err(error), _) => return Err(error.into()),
        };
        let before = slope;
        slope = largest_slope(&fitted, &design.records, labels, alpha) / count;
        // linfa reports no error at its last iteration, nor where rounding hides any further descent.
        let stuck = slope >= 0.5 * before;
        if slope <= SLOPE_SOUGHT || (stuck && slope <= SLOPE_ACCEPTED) {
            return Ok(for_the_positive_label(&fitted, &design, segments));
        }
        let reached = fitted.params().iter().chain([&fitted.intercept()]).copied().collect();
        solver = solver.initial_params(reached);
        last = Some(fitted);
    }
    Err(LogisticError::NotConverged { iterations: ITERATIONS_A_ROUND * ROUNDS, slope, c: params.c })
}

/// Returns the largest absolute component of the gradient of `Σ −log p(label) + alpha/2 · ‖weights‖²`.
fn largest_slope(
    fitted: &FittedLogisticRegression<f64, bool>,
    records: &Array2<f64>,
    labels: &[bool],
    alpha: f64,
) -> f64 {
    let counted_as_one = fitted.labels().pos.class;
    let mut residuals = fitted.predict_probabilities(records);
    for (residual, label) in residuals.iter_mut().zip(labels) {
        *residual -= f64::from(u8::from(*label == counted_as_one));
    }
    let weights = records.t().dot(&residuals) + fitted.params() * alpha;
    weights.iter().chain([&residuals.sum()]).fold(0.0, |largest, slope| slope.abs().max(largest))
}

/// Returns the model of the positive label. linfa models the probability of the more frequent one.
fn for_the_positive_label(
    fitted: &FittedLogisticRegression<f64, bool>,
    design: &Design,
    segments: Vec<Segment>,
) -> FittedLogistic {
    let sign = if fitted.labels().pos.class { 1.0 } else { -1.0 };
    let (weights, intercept) = design.unstandardised(&fitted.params().to_vec(), fitted.intercept());
    FittedLogistic {
        segments,
        // Adding 0 makes 0 of -0.
        weights: weights.into_iter().map(|weight| (sign * weight) as f32 + 0.0).collect(),
        intercept: (sign * intercept) as f32,
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};

    use super::*;
    use crate::fitted::FittedModel;

    /// The optimum for one 0/1 column without a penalty is known: the log-odds of each group.
    #[test]
    fn weights_are_the_log_odds_whichever_label_is_more_frequent() {
        let column: Vec<f32> = (0..100).map(|row| f32::from(u8::from(row >= 40))).collect();
        let rows = Array2::from_shape_vec((100, 1), column).unwrap();
        let rare: Vec<bool> = (0..100).map(|row| row < 4 || (40..70).contains(&row)).collect();
        let frequent: Vec<bool> = rare.iter().map(|label| !label).collect();
        let params = LogisticParams { c: 1e6, knots: 0 };
        let model = fit(rows.view(), &rare, &params).unwrap();
        assert!((f64::from(model.intercept) - (0.1f64 / 0.9).ln()).abs() < 1e-3, "{model:?}");
        assert!((f64::from(model.weights[0]) - (9f64).ln()).abs() < 1e-3, "{model:?}");
        let mirrored = fit(rows.view(), &frequent, &params).unwrap();
        assert!((model.weights[0] + mirrored.weights[0]).abs() < 1e-4, "{mirrored:?}");
    }

    #[test]
    fn separable_rows_and_constant_columns_converge() {
        let rows = array![[0.0, 1.0], [1.0, 1.0], [2.0, 1.0], [3.0, 1.0]];
        let params = LogisticParams { c: 1.0, knots: 0 };
        let model = fit(rows.view(), &[false, false, true, true], &params).unwrap();
        assert!(model.weights[0] > 0.5 && model.weights[1].abs() < 1e-6, "{model:?}");
    }

    #[test]
    fn the_line_bends_where_the_data_does_and_one_hot_columns_keep_their_weight() {
        let rows = Array2::from_shape_fn((400, 2), |(row, column)| match column {
            0 => row as f32 / 100.0,
            _ => f32::from(u8::from(row % 3 == 0)),
        });
        // Rare in the middle, certain at neither end: no straight line ranks these rows.
        let labels: Vec<bool> = (0..400).map(|row| !(100..300).contains(&row) && row % 4 != 0).collect();
        let linear = fit(rows.view(), &labels, &LogisticParams { c: 1.0, knots: 0 }).unwrap();
        let spline = fit(rows.view(), &labels, &LogisticParams { c: 1.0, knots: 3 }).unwrap();
        assert_eq!((linear.segments.len(), spline.segments.len(), spline.weights.len()), (0, 4, 6));
        assert!(spline.weights[0] == 0.0 && spline.weights[1] != 0.0, "{spline:?}");
        let score = |model: &FittedLogistic, x: f32| {
            let scores = FittedModel::Logistic(model.clone()).score_rows(array![[x, 0.0]].view());
            scores.probabilities().unwrap()[0]
        };
        assert!((score(&linear, 0.0) - score(&linear, 2.0)).abs() < 0.1);
        assert!(score(&spline, 0.0) > 0.7 && score(&spline, 2.0) < 0.2 && score(&spline, 3.99) > 0.7);
    }
}
