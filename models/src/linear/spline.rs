//! Linear splines: where their knots lie, and the matrix on which they are fitted.

use ndarray::ArrayView2;
use ndarray016::{Array2, ShapeBuilder};

use crate::fitted::Segment;
use crate::metrics::mean_and_std;

/// Divides a column of these values into segments at `knots` equally spaced quantiles.
///
/// Quantiles that coincide, or that lie at the smallest or the largest value, are left out. A column of two
/// values, such as a one-hot column, has no segments.
pub(crate) fn segments(column: usize, values: &[f32], knots: usize) -> Vec<Segment> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f32::total_cmp);
    let quantile = |at: usize| sorted.get(at * sorted.len() / (knots + 1)).copied();
    let mut knots: Vec<f32> = (1..=knots).filter_map(quantile).collect();
    knots.dedup();
    knots.retain(|knot| sorted.first() < Some(knot) && Some(knot) < sorted.last());
    let (Some(first), Some(last)) = (knots.first(), knots.last()) else { return Vec::new() };
    let inner = knots.windows(2).map(|pair| Segment { column, from: pair[0], to: pair[1], origin: pair[0] });
    let first = Segment { column, from: f32::MIN, to: *first, origin: *first };
    let last = Segment { column, from: *last, to: f32::MAX, origin: *last };
    [first].into_iter().chain(inner).chain([last]).collect()
}

/// Divides every column of a matrix `[rows, columns]` into segments.
pub(crate) fn segment_all(rows: ArrayView2<'_, f32>, knots: usize) -> Vec<Segment> {
    let columns = rows.columns().into_iter().enumerate();
    columns.flat_map(|(column, values)| segments(column, &values.to_vec(), knots)).collect()
}

/// The matrix on which a spline is fitted, and the way back from its weights.
///
/// The segments of a column differ much in spread and little in shape. They are brought to mean 0 and
/// standard deviation 1. Otherwise the solver takes ten times as many steps, and the penalty falls mostly on
/// narrow segments.
pub(crate) struct Design {
    /// `[rows, columns + segments]`, column by column in memory: linfa is several times slower on a row-major
    /// matrix. A column that has segments is 0, since they replace it.
    pub records: Array2<f64>,
    /// The mean and the scale with which each column of `records` was standardised.
    standard: Vec<(f64, f64)>,
}

impl Design {
    pub fn new(rows: ArrayView2<'_, f32>, segments: &[Segment]) -> Self {
        let columns = rows.ncols();
        let mut records = Array2::zeros((rows.nrows(), columns + segments.len()).f());
        for (from, mut to) in rows.outer_iter().zip(records.outer_iter_mut()) {
            let row = from.to_vec();
            let values = row.iter().copied().chain(segments.iter().map(|segment| segment.of(&row)));
            for (cell, value) in to.iter_mut().zip(values) {
                *cell = f64::from(value);
            }
        }
        for segment in segments {
            records.column_mut(segment.column).fill(0.0);
        }
        let mut standard = vec![(0.0, 1.0); columns];
        for mut values in records.columns_mut().into_iter().skip(columns) {
            let (mean, std) = mean_and_std(&values.to_vec());
            let scale = if std > 0.0 { std } else { 1.0 };
            values.mapv_inplace(|value| (value - mean) / scale);
            standard.push((mean, scale));
        }
        Self { records, standard }
    }

    /// Converts weights and intercept for standardised values to those for the values as they are.
    pub fn unstandardised(&self, weights: &[f64], intercept: f64) -> (Vec<f64>, f64) {
        let each = || weights.iter().zip(&self.standard);
        let shift: f64 = each().map(|(weight, (mean, scale))| weight * mean / scale).sum();
        (each().map(|(weight, (_, scale))| weight / scale).collect(), intercept - shift)
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;

    #[test]
    fn segments_cover_a_column_without_gaps_and_few_values_have_none() {
        let rows = Array2::from_shape_fn((100, 3), |(row, column)| match column {
            0 => row as f32,
            1 => f32::from(u8::from(row % 3 == 0)),
            _ => (row / 90) as f32 * (row - 89) as f32,
        });
        let segments = segment_all(rows.view(), 3);
        let bounds: Vec<(usize, f32, f32)> = segments.iter().map(|it| (it.column, it.from, it.to)).collect();
        assert_eq!(bounds, [(0, f32::MIN, 25.0), (0, 25.0, 50.0), (0, 50.0, 75.0), (0, 75.0, f32::MAX)]);
        for x in [-7.0, 0.0, 25.0, 60.5, 75.0, 1000.0] {
            let sum: f32 = segments.iter().map(|segment| segment.of(&[x, 0.0, 0.0])).sum();
            assert!((sum - (x - 25.0)).abs() < 1e-4, "{x}: {sum}");
        }
        assert!(segment_all(rows.view(), 0).is_empty());
        assert!(super::segments(0, &[1.0, 1.0], 5).is_empty());
    }
}
