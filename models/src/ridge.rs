//! Ridge regression (Hoerl and Kennard, Ridge Regression, Technometrics 12 (1970), doi:10.1080/00401706.1970.10488634)
//! with linear splines, by the normal equations.

use ndarray::ArrayView2;
use thiserror::Error;

use crate::fitted::FittedRidge;
use crate::linear::design::{Design, Linear, Row, add_scaled, mirror};
use crate::linear::solve::solve;
use crate::parameters::RidgeParams;
use crate::preprocess::Preprocessor;

/// The reason why no ridge regression could be fitted.
#[derive(Debug, Error)]
pub enum RidgeError {
    /// The equations have no finite solution.
    #[error(
        "the equations have no finite solution with alpha {alpha}: a larger alpha makes them easier to solve"
    )]
    Unsolvable {
        /// The strength of the penalty.
        alpha: f64,
    },
}

/// Fits a ridge regression on features `[rows, features]` as the preprocessing transforms them, on all cores.
///
/// The time grows with the square of the number of columns, and beyond some thousand of them with its cube.
///
/// # Errors
/// [`RidgeError`] if there is no finite solution.
pub(crate) fn fit(
    preprocessor: &Preprocessor,
    features: ArrayView2<'_, f32>,
    labels: &[f64],
    params: &RidgeParams,
) -> Result<FittedRidge, RidgeError> {
    let design = Design::new(preprocessor, features, params.knots);
    let columns = design.columns();
    // Sums of numbers around 0 lose no digits to a mean that is large beside their spread.
    let mean = labels.iter().sum::<f64>() / labels.len() as f64;
    let zero = || Equations { gram: vec![0.0; columns * columns], right: vec![0.0; columns] };
    let add = |sums: &mut Equations, at: usize, row: &Row| {
        row.add_outer(&mut sums.gram, columns, 1.0);
        row.add_to(&mut sums.right, labels[at] - mean);
    };
    let mut equations = design.sum(columns.pow(2), zero, add, Equations::add);
    mirror(&mut equations.gram, columns);
    // The intercept, which is last, is not penalised.
    (0..columns - 1).for_each(|at| equations.gram[at * columns + at] += params.alpha);
    let weights = solve(&equations.gram, &equations.right, columns);
    let mut weights = weights.ok_or(RidgeError::Unsolvable { alpha: params.alpha })?;
    if let Some(intercept) = weights.last_mut() {
        *intercept += mean;
    }
    let Linear { segments, weights, intercept } = design.linear(&weights);
    Ok(FittedRidge { segments, weights, intercept })
}

/// The normal equations: `gram · weights = right`.
struct Equations {
    /// `[columns, columns]`, row after row.
    gram: Vec<f64>,
    right: Vec<f64>,
}

impl Equations {
    fn add(&mut self, other: &Self) {
        add_scaled(&mut self.gram, 1.0, &other.gram);
        add_scaled(&mut self.right, 1.0, &other.right);
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;
    use crate::fitted::FittedModel;
    use crate::fixtures::{AMOUNT, PLAN, schema};
    use crate::labels::Scores;

    fn table() -> (Preprocessor, Array2<f32>) {
        let features = Array2::from_shape_fn((300, 2), |(row, at)| match at {
            0 => (row % 3) as f32,
            _ => (row * 37 % 101) as f32,
        });
        (Preprocessor::fit(&schema(&[PLAN, AMOUNT]), features.view()), features)
    }

    fn scores(preprocessor: &Preprocessor, features: &Array2<f32>, model: FittedRidge) -> Vec<f64> {
        match FittedModel::Ridge(model).score_rows(preprocessor.transform(features.view()).view()) {
            Scores::Numbers(numbers) => numbers,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_function_of_the_model_is_found_also_around_a_large_mean() {
        let (preprocessor, features) = table();
        for mean in [0.0, 1e6] {
            let bent = |x: f64| if x > 50.0 { 3.0 * (x - 50.0) } else { 0.0 };
            let labels: Vec<f64> = features
                .outer_iter()
                .map(|row| mean + 20.0 * f64::from(row[0]) + bent(f64::from(row[1])))
                .collect();
            // A spline of many knots has one within 5 of every bend, where the slope changes by 3.
            let params = RidgeParams { alpha: 1e-6, knots: 20 };
            let model = fit(&preprocessor, features.view(), &labels, &params).unwrap();
            for (score, label) in scores(&preprocessor, &features, model).iter().zip(&labels) {
                assert!((score - label).abs() < 4.0, "{score} {label}");
            }
        }
    }

    #[test]
    fn the_larger_the_penalty_the_nearer_to_the_mean() {
        let (preprocessor, features) = table();
        let labels: Vec<f64> = features.outer_iter().map(|row| f64::from(row[1])).collect();
        let mean = labels.iter().sum::<f64>() / 300.0;
        let spread = |alpha| {
            let model =
                fit(&preprocessor, features.view(), &labels, &RidgeParams { alpha, knots: 0 }).unwrap();
            let scores = scores(&preprocessor, &features, model);
            scores.iter().map(|score| (score - mean).abs()).fold(0.0, f64::max)
        };
        assert!(spread(1.0) > 45.0 && spread(300.0) < 30.0 && spread(1e9) < 1e-3);
    }
}
