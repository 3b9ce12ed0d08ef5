use ndarray::{ArrayView2, Axis};
use rayon::prelude::*;

use super::spline;
use crate::fitted::Segment;
use crate::metrics::mean_and_std;
use crate::preprocess::{Category, NumericColumn, Preprocessor};

/// The maximum number of parts into which the rows are divided to be summed. Their number depends on the
/// table alone, and their sums are added in order, so that rounding does not depend on the number of cores.
const MOST_PARTS: usize = 16;
/// The maximum number of entries in the sums of all parts together: 128 MiB.
const MOST_CELLS: usize = 1 << 24;

/// The design matrix of a linear model. Each row is computed when it is needed.
///
/// Its columns are, in this order: the numbers (numeric columns without segments, and all segments), the
/// one-hot columns, and the intercept. Segments are divided by their standard deviation, since the penalty is
/// on standardised ones.
pub(crate) struct Design<'a> {
    features: ArrayView2<'a, f32>,
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

/// The weights of a linear model, as a fitted one has them.
pub(crate) struct Linear {
    /// The segments of the columns that are splines.
    pub segments: Vec<Segment>,
    /// One for each column of the preprocessed matrix, 0 if the column has segments; then one for each segment.
    pub weights: Vec<f32>,
    /// The weight of the constant.
    pub intercept: f32,
}

impl<'a> Design<'a> {
    pub fn new(preprocessor: &'a Preprocessor, features: ArrayView2<'a, f32>, knots: usize) -> Self {
        let numbers = preprocessor.numeric.par_iter().enumerate().map(|(column, numeric)| {
            let feature = features.column(numeric.feature);
            let values: Vec<f32> = feature.iter().map(|value| numeric.transform(*value)).collect();
            numbers_of(column, &values, knots)
        });
        let numbers: Vec<Vec<Number>> = numbers.collect();
        Self {
            features,
            numeric: &preprocessor.numeric,
            categories: preprocessor.categories(),
            one_hot: preprocessor.one_hot.len(),
            numbers: numbers.into_iter().flatten().collect(),
        }
    }

    /// Returns the number of its columns.
    pub fn columns(&self) -> usize {
        self.numbers.len() + self.one_hot + 1
    }

    /// Returns the number of its rows.
    pub fn rows(&self) -> usize {
        self.features.nrows()
    }

    /// Sums something over the rows, on all cores: `add` adds a row, of which it gets the index, to a part's sums of
    /// `cells` numbers, and `join` adds the sums of two parts.
    pub fn sum<S: Send>(
        &self,
        cells: usize,
        zero: impl Fn() -> S + Sync,
        add: impl Fn(&mut S, usize, &Row) + Sync,
        join: impl Fn(&mut S, &S),
    ) -> S {
        let parts = (MOST_CELLS / cells.max(1)).clamp(1, MOST_PARTS);
        let rows = self.features.nrows().div_ceil(parts).max(1);
        let parts: Vec<_> = self.features.axis_chunks_iter(Axis(0), rows).enumerate().collect();
        let summed = parts.par_iter().map(|(part, features)| {
            let mut sums = zero();
            self.each_row(*features, |at, row| add(&mut sums, part * rows + at, row));
            sums
        });
        let summed: Vec<S> = summed.collect();
        let mut total = zero();
        summed.iter().for_each(|part| join(&mut total, part));
        total
    }

    fn each_row(&self, features: ArrayView2<'_, f32>, mut of: impl FnMut(usize, &Row)) {
        let mut row = Row { numbers: vec![0.0; self.numbers.len()], ones: Vec::new() };
        let mut values = vec![0.0; self.numeric.len()];
        // The one-hot columns are this much further right than in the preprocessed matrix.
        let shift = self.numbers.len() - self.numeric.len();
        for (at, features) in features.outer_iter().enumerate() {
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
            row.ones.push(self.columns() - 1);
            of(at, &row);
        }
    }

    /// Returns the linear model with these weights, one for each column.
    pub fn linear(&self, weights: &[f64]) -> Linear {
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
        Linear { segments, weights: fitted, intercept: intercept.iter().sum::<f64>() as f32 }
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
pub(crate) struct Row {
    numbers: Vec<f64>,
    /// In ascending order; the last is the intercept.
    ones: Vec<usize>,
}

impl Row {
    /// Returns the sum of the weights times the row.
    pub fn dot(&self, weights: &[f64]) -> f64 {
        let of_numbers: f64 = self.numbers.iter().zip(weights).map(|(number, weight)| number * weight).sum();
        of_numbers + self.ones.iter().map(|one| weights[*one]).sum::<f64>()
    }

    /// Adds the row times `factor`.
    pub fn add_to(&self, sums: &mut [f64], factor: f64) {
        add_scaled(sums, factor, &self.numbers);
        self.ones.iter().for_each(|one| sums[*one] += factor);
    }

    /// Adds the outer product of the row with itself, times `factor`, on and left of the diagonal of a matrix
    /// `[columns, columns]`. There, the rows of one-hot columns and of the intercept begin with the numbers, which
    /// are contiguous.
    pub fn add_outer(&self, matrix: &mut [f64], columns: usize, factor: f64) {
        for (at, number) in self.numbers.iter().enumerate() {
            let line = &mut matrix[at * columns..at * columns + at + 1];
            add_scaled(line, factor * number, &self.numbers);
        }
        for (at, one) in self.ones.iter().enumerate() {
            let line = &mut matrix[one * columns..(one + 1) * columns];
            add_scaled(line, factor, &self.numbers);
            for other in &self.ones[..=at] {
                line[*other] += factor;
            }
        }
    }
}

/// Copies the entries left of the diagonal of a matrix to the right of it.
pub(crate) fn mirror(matrix: &mut [f64], columns: usize) {
    for row in 0..columns {
        for column in row + 1..columns {
            matrix[row * columns + column] = matrix[column * columns + row];
        }
    }
}

/// Adds `from` times `factor`.
pub(crate) fn add_scaled(to: &mut [f64], factor: f64, from: &[f64]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to += factor * from;
    }
}
