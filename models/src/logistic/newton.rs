//! Logistic regression by Newton's method, which here is iteratively reweighted least squares (Hastie,
//! Tibshirani and Friedman, The Elements of Statistical Learning, 2nd ed., 2009, §4.4.1).
//!
//! It works on the encoded features. A row has at most one 1 among the one-hot columns of a feature, so
//! neither these columns nor the spline segments are ever written out as a matrix.

mod design;

use linfa_linalg::cholesky::SolveCInplace;
use ndarray::ArrayView2;
use ndarray016::Array2;

use self::design::{Design, Sums};
use super::{LogisticError, SLOPE_ACCEPTED, SLOPE_SOUGHT};
use crate::fitted::FittedLogistic;
use crate::parameters::LogisticParams;
use crate::preprocess::Preprocessor;

/// The maximum number of steps. Newton's method takes 5 to 8, and more only where the loss has hardly a
/// minimum.
const MAX_STEPS: u64 = 100;
/// By how much rounding may raise the loss of a step that in truth lowers it, relative to the loss.
const LOSS_ROUNDING: f64 = 1e-12;
/// The smallest share of a step that is tried before the descent is given up.
const SMALLEST_STEP: f64 = 1e-6;
/// The values added to the diagonal of the Hessian, relative to its largest entry, in turn until it can be
/// factored.
const RIDGES: [f64; 5] = [1e-12, 1e-9, 1e-6, 1e-3, 1.0];

/// Fits a logistic regression on features `[rows, features]` as the preprocessing transforms them, on all
/// cores.
///
/// The time grows with the square of the number of columns, and beyond some thousand of them with its cube.
///
/// # Errors
/// [`LogisticError`] if the minimum of the loss is not found.
pub(crate) fn fit(
    preprocessor: &Preprocessor,
    features: ArrayView2<'_, f32>,
    labels: &[bool],
    params: &LogisticParams,
) -> Result<FittedLogistic, LogisticError> {
    let design = Design::new(preprocessor, features, labels, params.knots);
    let alpha = 1.0 / params.c;
    let mut weights = design.start();
    let mut sums = design.sums(&weights, alpha);
    let mut steps = 0;
    while sums.slope() > SLOPE_SOUGHT && steps < MAX_STEPS {
        steps += 1;
        match descend(&design, &weights, &sums, alpha) {
            Some((lower, there)) => (weights, sums) = (lower, there),
            None => break,
        }
    }
    if sums.slope() <= SLOPE_ACCEPTED {
        Ok(design.fitted(&weights))
    } else {
        Err(LogisticError::NotConverged { iterations: steps, slope: sums.slope(), c: params.c })
    }
}

/// Takes one step of Newton's method, halved until the loss falls. Returns `None` if it never does.
fn descend(design: &Design<'_>, weights: &[f64], sums: &Sums, alpha: f64) -> Option<(Vec<f64>, Sums)> {
    let step = newton_step(sums)?;
    let mut share = 1.0;
    while share >= SMALLEST_STEP {
        let lower: Vec<f64> = weights.iter().zip(&step).map(|(weight, step)| weight - share * step).collect();
        let there = design.sums(&lower, alpha);
        if there.loss <= sums.loss * (1.0 + LOSS_ROUNDING) {
            return Some((lower, there));
        }
        share /= 2.0;
    }
    None
}

/// Solves `Hessian · step = gradient`.
///
/// The one-hot columns of a feature add up to the intercept's column, so the Hessian is all but singular
/// where the penalty is small. A ridge that is tiny beside its entries is added, and a larger one until there
/// is a solution.
fn newton_step(sums: &Sums) -> Option<Vec<f64>> {
    let size = sums.gradient.len();
    let largest = (0..size).map(|at| sums.hessian[at * size + at]).fold(0.0, f64::max);
    RIDGES.into_iter().find_map(|ridge| {
        let mut hessian = Array2::from_shape_vec((size, size), sums.hessian.clone()).ok()?;
        hessian.diag_mut().mapv_inplace(|entry| entry + ridge * largest);
        let gradient = Array2::from_shape_vec((size, 1), sums.gradient.clone()).ok()?;
        let step = hessian.solvec_into(gradient).ok()?;
        step.iter().all(|part| part.is_finite()).then(|| step.iter().copied().collect())
    })
}

#[cfg(test)]
mod tests;
