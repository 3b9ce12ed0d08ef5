use ndarray::{ArrayView2, Axis};
use rayon::prelude::*;

use crate::fitted::{FittedLogistic, Segment};
use crate::logistic::spline;
use crate::metrics::mean_and_std;
use crate::preprocess::{Category, NumericColumn, Preprocessor};

/// The maximum number of parts into which the rows are divided to be summed. Their number depends on the
/// table alone, and their sums are added in order, so that rounding does not depend on the number of cores.
const MOST_PARTS: usize = 16;
/// The maximum number of entries in the Hessians of all parts together: 128 MiB.
const MOST_CELLS: usize = 1 << 24;

/// The design matrix of a logistic regression. Each row is computed when it is needed.
///
/// Its columns are, in this order: the numbers (numeric columns without segments, and all segments), the
/// one-hot columns, and the intercept. Segments are divided by their standard deviation, since the penalty is
/// on standardised ones.
pub(super) struct Design<'a> {
    features: ArrayView2<'a, f32>,
    labels: &'a [bool],
    numeric: &'a [NumericColumn],
    categories: Vec<Category>,
    one_hot: usize,
    numbers: Vec<Number>,
}

/// A column of numbers.
struct Number {
    /// The index of the numeric column.
    column: usize,
    /// The segment of the column; `None` for its value.
    segment: Option<Segment>,
    /// The factor by which it is multiplied.
    factor: f64,
}

/// The loss `Σ −log p(label) + alpha/2 · ‖weights‖²` at given weights, and its derivatives.
pub(super) struct Sums {
    pub loss: f64,
    pub gradient: Vec<f64>,
    /// `[columns, columns]`, row after row.
    pub hessian: Vec<f64>,
    rows: f64,
}

impl<'a> Design<'a> {
    pub fn new(
        preprocessor: &'a Preprocessor,
        features: ArrayView2<'a, f32>,
        labels: &'a [bool],
        knots: usize,
    ) -> Self {
        let numbers = preprocessor.numeric.par_iter().enumerate().map(|(column, numeric)| {
            let feature = features.column(numeric.feature);
            let values: Vec<f32> = feature.iter().map(|value| numeric.transform(*value)).collect();
            numbers_of(column, &values, knots)
        });
        let numbers: Vec<Vec<Number>> = numbers.collect();
        Self {
            features,
            labels,
            numeric: &preprocessor.numeric,
            categories: preprocessor.categories(),
            one_hot: preprocessor.one_hot.len(),
            numbers: numbers.into_iter().flatten().collect(),
        }
    }

    fn columns(&self) -> usize {
        self.numbers.len() + self.one_hot + 1
    }

    /// Returns the weights to start from: 0, and the log-odds of all rows for the intercept.
    pub fn start(&self) -> Vec<f64> {
        let positives = self.labels.iter().filter(|label| **label).count() as f64;
        let mut weights = vec![0.0; self.columns()];
        if let Some(intercept) = weights.last_mut() {
            *intercept = (positives / (self.labels.len() as f64 - positives)).ln();
        }
        weights
    }

    /// Computes the sums at these weights, on all cores.
    pub fn sums(&self, weights: &[f64], alpha: f64) -> Sums {
        let parts = (MOST_CELLS / weights.len().pow(2)).clamp(1, MOST_PARTS);
        let rows = self.features.nrows().div_ceil(parts).max(1);
        let parts: Vec<_> =
            self.features.axis_chunks_iter(Axis(0), rows).zip(self.labels.chunks(rows)).collect();
        let summed = parts.par_iter().map(|(features, labels)| self.sum_part(*features, labels, weights));
        let summed: Vec<Sums> = summed.collect();
        let mut total = Sums::zero(weights.len());
        summed.iter().for_each(|part| total.add(part));
        total.mirror();
        total.penalise(weights, alpha);
        total
    }

    fn sum_part(&self, features: ArrayView2<'_, f32>, labels: &[bool], weights: &[f64]) -> Sums {
        let mut sums = Sums::zero(weights.len());
        let mut row = Row { numbers: vec![0.0; self.numbers.len()], ones: Vec::new() };
        let mut values = vec![0.0; self.numeric.len()];
        // The one-hot columns are this much further right than in the preprocessed matrix.
        let shift = self.numbers.len() - self.numeric.len();
        for (features, label) in features.outer_iter().zip(labels) {
            for (value, column) in values.iter_mut().zip(self.numeric) {
                *value = column.transform(features[column.feature]);
            }
            for (cell, number) in row.numbers.iter_mut().zip(&self.numbers) {
                *cell = number.of(&values);
            }
            row.ones.clear();
            row.ones.extend(self.categories.iter().filter_map(|category| {
                let code = category.code(features[category.feature])?;
                Some(shift + category.first_column + code)
            }));
            row.ones.push(weights.len() - 1);
            sums.add_row(&row, *label, weights);
        }
        sums.rows = labels.len() as f64;
        sums
    }

    /// Returns the model with these weights.
    pub fn fitted(&self, weights: &[f64]) -> FittedLogistic {
        let columns = self.numeric.len() + self.one_hot;
        // Adding 0 makes 0 of -0.
        let single = |weight: f64| weight as f32 + 0.0;
        let mut fitted = vec![0.0; columns];
        let (numbers, rest) = weights.split_at(self.numbers.len());
        let (one_hot, intercept) = rest.split_at(self.one_hot);
        let mut segments = Vec::new();
        for (number, weight) in self.numbers.iter().zip(numbers) {
            let weight = single(weight * number.factor);
            match number.segment {
                None => fitted[number.column] = weight,
                Some(segment) => {
                    segments.push(segment);
                    fitted.push(weight);
                }
            }
        }
        for (to, weight) in fitted.iter_mut().skip(self.numeric.len()).zip(one_hot) {
            *to = single(*weight);
        }
        FittedLogistic { segments, weights: fitted, intercept: intercept.iter().sum::<f64>() as f32 }
    }
}

/// Returns the design's columns for a numeric column.
fn numbers_of(column: usize, values: &[f32], knots: usize) -> Vec<Number> {
    let segments = spline::segments(column, values, knots);
    if segments.is_empty() {
        return vec![Number { column, segment: None, factor: 1.0 }];
    }
    let number = |segment: Segment| {
        let parts: Vec<f64> = values.iter().map(|value| f64::from(segment.of_value(*value))).collect();
        let (_, std) = mean_and_std(&parts);
        Number { column, segment: Some(segment), factor: if std > 0.0 { 1.0 / std } else { 1.0 } }
    };
    segments.into_iter().map(number).collect()
}

impl Number {
    /// Returns its value, given those of the numeric columns.
    fn of(&self, values: &[f32]) -> f64 {
        let value = values[self.column];
        let part = self.segment.map_or(value, |segment| segment.of_value(value));
        f64::from(part) * self.factor
    }
}

/// A row of the design matrix: its numbers, and the columns where it is 1. It is 0 elsewhere.
struct Row {
    numbers: Vec<f64>,
    /// In ascending order.
    ones: Vec<usize>,
}

impl Sums {
    fn zero(columns: usize) -> Self {
        Self { loss: 0.0, gradient: vec![0.0; columns], hessian: vec![0.0; columns * columns], rows: 0.0 }
    }

    /// Adds one row, on and left of the Hessian's diagonal only. There, the rows of one-hot columns and of
    /// the intercept begin with the numbers, which are contiguous.
    fn add_row(&mut self, row: &Row, label: bool, weights: &[f64]) {
        let columns = self.gradient.len();
        let of_numbers: f64 = row.numbers.iter().zip(weights).map(|(number, weight)| number * weight).sum();
        let log_odds = of_numbers + row.ones.iter().map(|one| weights[*one]).sum::<f64>();
        // The loss is ln(1 + exp(−z)), where z is the log-odds of the row's own label; written so that
        // nothing overflows.
        let agreement = if label { log_odds } else { -log_odds };
        let small = (-agreement.abs()).exp();
        self.loss += small.ln_1p() - agreement.min(0.0);
        let rarer = small / (1.0 + small);
        let probability = if log_odds > 0.0 { 1.0 - rarer } else { rarer };
        let residual = probability - f64::from(u8::from(label));
        let curvature = rarer * (1.0 - rarer);

        for (at, number) in row.numbers.iter().enumerate() {
            self.gradient[at] += residual * number;
            let line = &mut self.hessian[at * columns..at * columns + at + 1];
            add_scaled(line, curvature * number, &row.numbers);
        }
        for (at, one) in row.ones.iter().enumerate() {
            self.gradient[*one] += residual;
            let line = &mut self.hessian[one * columns..(one + 1) * columns];
            add_scaled(line, curvature, &row.numbers);
            for other in &row.ones[..=at] {
                line[*other] += curvature;
            }
        }
    }

    fn add(&mut self, other: &Self) {
        self.loss += other.loss;
        self.rows += other.rows;
        add_scaled(&mut self.gradient, 1.0, &other.gradient);
        add_scaled(&mut self.hessian, 1.0, &other.hessian);
    }

    /// Copies the entries left of the diagonal to the right of it.
    fn mirror(&mut self) {
        let columns = self.gradient.len();
        for row in 0..columns {
            for column in row + 1..columns {
                self.hessian[row * columns + column] = self.hessian[column * columns + row];
            }
        }
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
    pub fn slope(&self) -> f64 {
        // Any NaN among the weights or the sums makes the loss NaN.
        let least = if self.loss.is_nan() { f64::INFINITY } else { 0.0 };
        self.gradient.iter().fold(least, |largest: f64, slope| largest.max(slope.abs())) / self.rows
    }
}

fn add_scaled(to: &mut [f64], factor: f64, from: &[f64]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to += factor * from;
    }
}
