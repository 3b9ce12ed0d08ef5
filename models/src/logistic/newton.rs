//! Logistic regression by Newton's method, which here is iteratively reweighted least squares (Hastie,
//! Tibshirani and Friedman, The Elements of Statistical Learning, 2nd ed., 2009, §4.4.1).
//!
//! It works on the encoded features. A row has at most one 1 among the one-hot columns of a feature, so
//! neither these columns nor the spline segments are ever written out as a matrix.

use ndarray::ArrayView2;

use super::{LogisticError, SLOPE_ACCEPTED, SLOPE_SOUGHT};
use crate::fitted::FittedLogistic;
use crate::linear::design::{Design, Linear, Row, add_scaled, mirror};
use crate::linear::solve::solve;
use crate::parameters::LogisticParams;
use crate::preprocess::Preprocessor;

/// The maximum number of steps. Newton's method takes 5 to 8, and more only where the loss has hardly a
/// minimum.
const MAX_STEPS: u64 = 100;
/// By how much rounding may raise the loss of a step that in truth lowers it, relative to the loss.
const LOSS_ROUNDING: f64 = 1e-12;
/// The smallest share of a step that is tried before the descent is given up.
const SMALLEST_STEP: f64 = 1e-6;

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
    let design = Design::new(preprocessor, features, params.knots);
    let loss = Loss { design, labels, alpha: 1.0 / params.c };
    let mut weights = loss.start();
    let mut sums = loss.sums(&weights);
    let mut steps = 0;
    while sums.slope() > SLOPE_SOUGHT && steps < MAX_STEPS {
        steps += 1;
        match descend(&loss, &weights, &sums) {
            Some((lower, there)) => (weights, sums) = (lower, there),
            None => break,
        }
    }
    if sums.slope() <= SLOPE_ACCEPTED {
        let Linear { segments, weights, intercept } = loss.design.linear(&weights);
        Ok(FittedLogistic { segments, weights, intercept })
    } else {
        Err(LogisticError::NotConverged { iterations: steps, slope: sums.slope(), c: params.c })
    }
}

/// Takes one step of Newton's method, halved until the loss falls. Returns `None` if it never does.
fn descend(loss: &Loss<'_>, weights: &[f64], sums: &Sums) -> Option<(Vec<f64>, Sums)> {
    let step = solve(&sums.hessian, &sums.gradient, sums.gradient.len())?;
    let mut share = 1.0;
    while share >= SMALLEST_STEP {
        let lower: Vec<f64> = weights.iter().zip(&step).map(|(weight, step)| weight - share * step).collect();
        let there = loss.sums(&lower);
        if there.loss <= sums.loss * (1.0 + LOSS_ROUNDING) {
            return Some((lower, there));
        }
        share /= 2.0;
    }
    None
}

/// The loss `Σ −log p(label) + alpha/2 · ‖weights‖²`.
struct Loss<'a> {
    design: Design<'a>,
    labels: &'a [bool],
    alpha: f64,
}

/// The loss at given weights, and its derivatives.
struct Sums {
    loss: f64,
    gradient: Vec<f64>,
    /// `[columns, columns]`, row after row.
    hessian: Vec<f64>,
    rows: f64,
}

impl Loss<'_> {
    /// Returns the weights to start from: 0, and the log-odds of all rows for the intercept.
    fn start(&self) -> Vec<f64> {
        let positives = self.labels.iter().filter(|label| **label).count() as f64;
        let mut weights = vec![0.0; self.design.columns()];
        if let Some(intercept) = weights.last_mut() {
            *intercept = (positives / (self.labels.len() as f64 - positives)).ln();
        }
        weights
    }

    /// Computes the sums at these weights, on all cores.
    fn sums(&self, weights: &[f64]) -> Sums {
        let columns = weights.len();
        let add = |sums: &mut Sums, at: usize, row: &Row| sums.add_row(row, self.labels[at], weights);
        let zero = || Sums::zero(columns);
        let mut total = self.design.sum(columns.pow(2), zero, add, Sums::add);
        mirror(&mut total.hessian, columns);
        total.penalise(weights, self.alpha);
        total
    }
}

impl Sums {
    fn zero(columns: usize) -> Self {
        Self { loss: 0.0, gradient: vec![0.0; columns], hessian: vec![0.0; columns * columns], rows: 0.0 }
    }

    /// Adds one row, on and left of the Hessian's diagonal only.
    fn add_row(&mut self, row: &Row, label: bool, weights: &[f64]) {
        let log_odds = row.dot(weights);
        // The loss is ln(1 + exp(−z)), where z is the log-odds of the row's own label; written so that
        // nothing overflows.
        let agreement = if label { log_odds } else { -log_odds };
        let small = (-agreement.abs()).exp();
        self.loss += small.ln_1p() - agreement.min(0.0);
        let rarer = small / (1.0 + small);
        let probability = if log_odds > 0.0 { 1.0 - rarer } else { rarer };
        let residual = probability - f64::from(u8::from(label));
        let curvature = rarer * (1.0 - rarer);
        row.add_to(&mut self.gradient, residual);
        row.add_outer(&mut self.hessian, self.gradient.len(), curvature);
        self.rows += 1.0;
    }

    fn add(&mut self, other: &Self) {
        self.loss += other.loss;
        self.rows += other.rows;
        add_scaled(&mut self.gradient, 1.0, &other.gradient);
        add_scaled(&mut self.hessian, 1.0, &other.hessian);
    }

    /// Adds the penalty on all weights but the last, the intercept.
    fn penalise(&mut self, weights: &[f64], alpha: f64) {
        let columns = weights.len();
        for (at, weight) in weights.iter().enumerate().take(columns.saturating_sub(1)) {
            self.loss += alpha / 2.0 * weight * weight;
            self.gradient[at] += alpha * weight;
            self.hessian[at * columns + at] += alpha;
        }
    }

    /// Returns the largest absolute component of the gradient, divided by the number of rows.
    fn slope(&self) -> f64 {
        // Any NaN among the weights or the sums makes the loss NaN.
        let least = if self.loss.is_nan() { f64::INFINITY } else { 0.0 };
        self.gradient.iter().fold(least, |largest: f64, slope| largest.max(slope.abs())) / self.rows
    }
}

#[cfg(test)]
mod tests;
