//! Logistic regression by Newton's method, which here is iteratively reweighted least squares (Hastie, Tibshirani and
//! Friedman, The Elements of Statistical Learning, 2nd ed., 2009, §4.4.1), on the encoded features themselves: of the one-hot
//! columns of a feature a row has one at most, so that neither they nor the segments are ever written out.

mod design;

use ndarray::ArrayView2;
use smartcore::linalg::basic::arrays::Array;
use smartcore::linalg::basic::matrix::DenseMatrix;
use smartcore::linalg::traits::cholesky::CholeskyDecomposable;
use thiserror::Error;

use self::design::{Design, Sums};
use crate::fitted::FittedLogistic;
use crate::parameters::LogisticParams;
use crate::preprocess::Preprocessor;

/// Why no logistic regression could be fitted.
#[derive(Debug, Error)]
pub enum LogisticError {
    /// linfa's solver gave up.
    #[error("the solver failed: {0}")]
    Solver(#[from] linfa_logistic::error::Error),
    /// The solver stopped before the loss was at its minimum.
    #[error(
        "no minimum of the loss was found: after {iterations} iterations its slope is still {slope:.1e} a row; \
         {} (now {c})",
        if *c < 1.0 { "a C nearer to 1 keeps the penalty from drowning the data" }
        else { "a smaller C makes the minimum sharper" }
    )]
    NotConverged {
        /// How many iterations the solver was allowed.
        iterations: u64,
        /// The largest absolute component of the gradient, divided by the number of rows.
        slope: f64,
        /// The setting.
        c: f64,
    },
}

/// The slope of the mean loss under which a solver stops; scikit-learn's `tol` is 1e-4.
pub(crate) const SLOPE_SOUGHT: f64 = 1e-6;
/// The slope that is accepted where rounding keeps a solver from the one it seeks.
pub(crate) const SLOPE_ACCEPTED: f64 = 1e-5;
/// Newton's method takes 5 to 8 steps; more only where hardly any minimum is there.
const MAX_STEPS: u64 = 100;
/// By how much of its value rounding may raise the loss of a step that in truth lowers it.
const LOSS_ROUNDING: f64 = 1e-12;
/// A step that must be made smaller than this for the loss to fall leads nowhere.
const SMALLEST_STEP: f64 = 1e-6;

/// Fits a logistic regression on features `[rows, features]` as the preprocessing transforms them, on all cores. The time
/// grows with the square of the number of columns, and beyond some thousand of them with its cube.
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
        match downhill(&design, &weights, &sums, alpha) {
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

/// One step of Newton's method, halved until the loss falls; none where it does not.
fn downhill(design: &Design<'_>, weights: &[f64], sums: &Sums, alpha: f64) -> Option<(Vec<f64>, Sums)> {
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

/// The solution of `Hessian · step = gradient`. The one-hot columns of a feature add up to the intercept's, which leaves the
/// Hessian as good as singular where the penalty is small: a ridge is added that is nothing beside its entries, and more of
/// it until there is a solution.
fn newton_step(sums: &Sums) -> Option<Vec<f64>> {
    let size = sums.gradient.len();
    let largest = (0..size).map(|at| sums.hessian[at * size + at]).fold(0.0, f64::max);
    [1e-12, 1e-9, 1e-6, 1e-3, 1.0].into_iter().find_map(|ridge| {
        let mut hessian = sums.hessian.clone();
        (0..size).for_each(|at| hessian[at * size + at] += ridge * largest);
        let hessian = DenseMatrix::new(size, size, hessian, false).ok()?;
        let gradient = DenseMatrix::new(size, 1, sums.gradient.clone(), false).ok()?;
        let step = hessian.cholesky_solve_mut(gradient).ok()?;
        let step: Vec<f64> = (0..size).map(|at| *step.get((at, 0))).collect();
        step.iter().all(|part| part.is_finite()).then_some(step)
    })
}

#[cfg(test)]
mod tests;
