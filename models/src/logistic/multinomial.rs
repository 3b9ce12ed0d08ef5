//! Multinomial logistic regression by L-BFGS (Nocedal and Wright, Numerical Optimization, 2nd ed., 2006, algorithm 7.5).
//!
//! The loss is scikit-learn's: each class has weights of its own, and all weights but the intercepts are penalised.
//! The search starts from the inverse of a bound of the Hessian that is the same for all weights and classes, half of
//! the Gram matrix (Böhning, Multinomial logistic regression algorithm, Annals of the Institute of Statistical
//! Mathematics 44 (1992), doi:10.1007/BF00048682). So correlated columns and segments do not slow it down.

use std::collections::VecDeque;

use ndarray::ArrayView2;

use super::{LogisticError, SLOPE_SOUGHT};
use crate::fitted::{FittedMultinomial, softmax};
use crate::labels::ClassLabels;
use crate::linear::design::{Design, Linear, Row, add_scaled, mirror};
use crate::linear::solve::inverse;
use crate::parameters::LogisticParams;
use crate::preprocess::Preprocessor;

/// The maximum number of steps. The search takes 15 to 50, and many more only where a weak penalty meets classes that
/// nothing confuses.
const MAX_STEPS: u64 = 1000;
/// The slope of the mean loss that is accepted after them: scikit-learn's `tol`.
const SLOPE_ACCEPTED: f64 = 1e-4;
/// The number of earlier steps that are remembered.
const MEMORY: usize = 10;
/// The share of the expected descent that a step must reach (Armijo's condition).
const DESCENT: f64 = 1e-4;
/// By how much rounding may raise the loss of a step that in truth lowers it, relative to the loss.
const LOSS_ROUNDING: f64 = 1e-12;
/// The smallest share of a step that is tried before the descent is given up.
const SMALLEST_STEP: f64 = 1e-9;

/// Fits a multinomial logistic regression on features `[rows, features]` as the preprocessing transforms them, on all
/// cores.
///
/// # Errors
/// [`LogisticError`] if the minimum of the loss is not found.
pub(crate) fn fit(
    preprocessor: &Preprocessor,
    features: ArrayView2<'_, f32>,
    labels: &ClassLabels,
    params: &LogisticParams,
) -> Result<FittedMultinomial, LogisticError> {
    let design = Design::new(preprocessor, features, params.knots);
    let loss = Loss { design, labels, alpha: 1.0 / params.c };
    let bound = loss.inverse_bound().ok_or(loss.not_converged(0, f64::INFINITY, params.c))?;
    let mut weights = loss.start();
    let mut here = loss.sums(&weights);
    let mut steps = 0;
    let mut memory = Memory { bound, columns: loss.design.columns(), pairs: VecDeque::new() };
    while loss.slope(&here) > SLOPE_SOUGHT && steps < MAX_STEPS {
        steps += 1;
        let Some((lower, there)) = loss.descend(&weights, &here, &memory) else {
            if memory.pairs.is_empty() {
                break;
            }
            // What is remembered misleads: start again from the bound, which always leads down.
            memory.pairs.clear();
            continue;
        };
        memory.remember(Pair::new(&weights, &lower, &here, &there));
        (weights, here) = (lower, there);
    }
    let slope = loss.slope(&here);
    if slope <= SLOPE_ACCEPTED {
        Ok(loss.fitted(&weights))
    } else {
        Err(loss.not_converged(steps, slope, params.c))
    }
}

/// The loss `Σ −log p(class) + alpha/2 · ‖weights‖²`. The weights are `[classes, columns]`, row after row.
struct Loss<'a> {
    design: Design<'a>,
    labels: &'a ClassLabels,
    alpha: f64,
}

/// The loss at given weights, and its gradient.
struct Sums {
    loss: f64,
    gradient: Vec<f64>,
}

impl Sums {
    fn add(&mut self, other: &Self) {
        self.loss += other.loss;
        add_scaled(&mut self.gradient, 1.0, &other.gradient);
    }
}

impl Loss<'_> {
    /// Returns the weights to start from: 0, and the logarithms of the classes' shares for the intercepts.
    fn start(&self) -> Vec<f64> {
        let columns = self.design.columns();
        let mut weights = vec![0.0; self.labels.classes * columns];
        let rows = self.labels.indices.len() as f64;
        for (of_class, count) in weights.chunks_mut(columns).zip(self.labels.counts()) {
            if let Some(intercept) = of_class.last_mut() {
                *intercept = ((count as f64).max(0.5) / rows).ln();
            }
        }
        weights
    }

    fn sums(&self, weights: &[f64]) -> Sums {
        let columns = self.design.columns();
        let zero = || Sums { loss: 0.0, gradient: vec![0.0; weights.len()] };
        let add = |sums: &mut Sums, at: usize, row: &Row| {
            let class = self.labels.indices[at] as usize;
            let probabilities = softmax(weights.chunks(columns).map(|of_class| row.dot(of_class)).collect());
            // The smallest positive number stands for a probability that is rounded to 0.
            sums.loss -= probabilities[class].max(f64::MIN_POSITIVE).ln();
            for (k, (of_class, probability)) in
                sums.gradient.chunks_mut(columns).zip(&probabilities).enumerate()
            {
                row.add_to(of_class, probability - f64::from(u8::from(k == class)));
            }
        };
        let mut total = self.design.sum(weights.len(), zero, add, Sums::add);
        for (of_class, gradient) in weights.chunks(columns).zip(total.gradient.chunks_mut(columns)) {
            for (weight, slope) in of_class.iter().zip(gradient).take(columns - 1) {
                total.loss += self.alpha / 2.0 * weight * weight;
                *slope += self.alpha * weight;
            }
        }
        total
    }

    /// Returns the inverse of `Gram matrix / 2 + alpha`, `[columns, columns]`.
    fn inverse_bound(&self) -> Option<Vec<f64>> {
        let columns = self.design.columns();
        let cells = columns.pow(2);
        let add = |sums: &mut Vec<f64>, _, row: &Row| row.add_outer(sums, columns, 0.5);
        let mut bound =
            self.design.sum(cells, || vec![0.0; cells], add, |sums, other| add_scaled(sums, 1.0, other));
        mirror(&mut bound, columns);
        (0..columns - 1).for_each(|at| bound[at * columns + at] += self.alpha);
        inverse(&bound, columns)
    }

    /// Takes one step, halved until the loss falls far enough. Returns `None` if it never does.
    fn descend(&self, weights: &[f64], here: &Sums, memory: &Memory) -> Option<(Vec<f64>, Sums)> {
        let direction = memory.direction(&here.gradient);
        let descent = dot(&direction, &here.gradient);
        if descent <= 0.0 || descent.is_nan() {
            return None;
        }
        let mut share = 1.0;
        while share >= SMALLEST_STEP {
            let lower: Vec<f64> =
                weights.iter().zip(&direction).map(|(weight, step)| weight - share * step).collect();
            let there = self.sums(&lower);
            if there.loss <= here.loss * (1.0 + LOSS_ROUNDING) - DESCENT * share * descent {
                return Some((lower, there));
            }
            share /= 2.0;
        }
        None
    }

    /// Returns the largest absolute component of the gradient, divided by the number of rows.
    fn slope(&self, sums: &Sums) -> f64 {
        let least = if sums.loss.is_nan() { f64::INFINITY } else { 0.0 };
        let largest = sums.gradient.iter().fold(least, |largest: f64, slope| largest.max(slope.abs()));
        largest / self.design.rows() as f64
    }

    fn fitted(&self, weights: &[f64]) -> FittedMultinomial {
        let columns = self.design.columns();
        let mut weights = weights.to_vec();
        // A constant that is added to all intercepts changes nothing. That of 0 on average is taken.
        let intercepts = || (0..self.labels.classes).map(|class| (class + 1) * columns - 1);
        let mean = intercepts().map(|at| weights[at]).sum::<f64>() / self.labels.classes as f64;
        intercepts().for_each(|at| weights[at] -= mean);
        let mut fitted =
            FittedMultinomial { segments: Vec::new(), weights: Vec::new(), intercepts: Vec::new() };
        for of_class in weights.chunks(columns) {
            let Linear { segments, weights, intercept } = self.design.linear(of_class);
            fitted.segments = segments;
            fitted.weights.push(weights);
            fitted.intercepts.push(intercept);
        }
        fitted
    }

    fn not_converged(&self, iterations: u64, slope: f64, c: f64) -> LogisticError {
        LogisticError::NotConverged { iterations, slope, c }
    }
}

/// What is known of the inverse of the Hessian.
struct Memory {
    /// The inverse of the bound, `[columns, columns]`; the same for each class.
    bound: Vec<f64>,
    columns: usize,
    /// The last steps, the oldest first.
    pairs: VecDeque<Pair>,
}

/// A step, and the change of the gradient on it.
struct Pair {
    step: Vec<f64>,
    change: Vec<f64>,
    /// Their product, which is above 0.
    product: f64,
}

impl Pair {
    fn new(from: &[f64], to: &[f64], here: &Sums, there: &Sums) -> Self {
        let difference = |to: &[f64], from: &[f64]| -> Vec<f64> {
            to.iter().zip(from).map(|(to, from)| to - from).collect()
        };
        let (step, change) = (difference(to, from), difference(&there.gradient, &here.gradient));
        Self { product: dot(&step, &change), step, change }
    }
}

impl Memory {
    /// Remembers a step along which the loss curves upwards, as rounding may hide.
    fn remember(&mut self, pair: Pair) {
        let size = (dot(&pair.step, &pair.step) * dot(&pair.change, &pair.change)).sqrt();
        if pair.product > f64::EPSILON * size {
            self.pairs.push_back(pair);
            if self.pairs.len() > MEMORY {
                self.pairs.pop_front();
            }
        }
    }

    /// Returns the inverse of the Hessian times the gradient: the two loops of L-BFGS.
    fn direction(&self, gradient: &[f64]) -> Vec<f64> {
        let mut direction = gradient.to_vec();
        let mut factors = Vec::with_capacity(self.pairs.len());
        for pair in self.pairs.iter().rev() {
            let factor = dot(&pair.step, &direction) / pair.product;
            add_scaled(&mut direction, -factor, &pair.change);
            factors.push(factor);
        }
        direction = self.bounded(&direction);
        for (pair, factor) in self.pairs.iter().zip(factors.into_iter().rev()) {
            let back = dot(&pair.change, &direction) / pair.product;
            add_scaled(&mut direction, factor - back, &pair.step);
        }
        direction
    }

    /// Multiplies the part of each class by the inverse of the bound.
    fn bounded(&self, gradient: &[f64]) -> Vec<f64> {
        let of_class = |part| self.bound.chunks(self.columns).map(move |line| dot(line, part));
        gradient.chunks(self.columns).flat_map(of_class).collect()
    }
}

fn dot(one: &[f64], other: &[f64]) -> f64 {
    one.iter().zip(other).map(|(one, other)| one * other).sum()
}

#[cfg(test)]
mod tests;
