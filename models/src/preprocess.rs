//! The preprocessing, which is fitted on the training rows before the model: medians, means, standard
//! deviations, and the layout of the preprocessed matrix.

use ndarray::{Array2, ArrayView2};
use onnward_schemas::{FeatureKind, Schema};

/// A fitted preprocessing: median imputation, standard scaling and one-hot encoding, exactly as the model
/// graph computes them in single precision.
///
/// The preprocessed matrix holds the numeric columns first, in the schema's order, then one column for each
/// value of each categorical feature. An unknown or missing category is 0 in all of its feature's columns.
#[derive(Debug, Clone, PartialEq)]
pub struct Preprocessor {
    /// The numeric columns.
    pub numeric: Vec<NumericColumn>,
    /// The one-hot columns.
    pub one_hot: Vec<OneHotColumn>,
}

/// A numeric column: `(value or median − mean) / scale`.
///
/// Where a few values are far from all others, the standard deviation is theirs alone, and in single precision the others
/// could hardly be told apart. There the median and the distance between the quartiles stand for the mean and the standard
/// deviation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NumericColumn {
    /// The index of the feature.
    pub feature: usize,
    /// The value that replaces a missing one.
    pub median: f32,
    /// The mean of the training rows after imputation, or their median.
    pub mean: f32,
    /// Their standard deviation (of the population), or the distance between their quartiles. It is 1 instead of 0 or a subnormal number, which
    /// runtimes may treat as 0.
    pub scale: f32,
}

/// A one-hot column: 1 if the feature has this code, and 0 otherwise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OneHotColumn {
    /// The index of the feature.
    pub feature: usize,
    /// The code of the value.
    pub code: f32,
}

/// The one-hot columns of one feature, which are adjacent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Category {
    /// The index of the feature.
    pub feature: usize,
    /// The column of its first value, whose code is 0.
    pub first_column: usize,
    /// The number of its values.
    pub values: usize,
}

/// The standard deviation as a multiple of the distance between the quartiles, from which on it is that of a few values. It is
/// 0.7 of a normal distribution, and 2.0 of a log-normal one with σ = 1.2.
const FAR_VALUES: f32 = 8.0;

impl Preprocessor {
    /// Fits the preprocessing on the training rows `[rows, features]`.
    pub fn fit(schema: &Schema, features: ArrayView2<'_, f32>) -> Self {
        let mut fitted = Self { numeric: Vec::new(), one_hot: Vec::new() };
        for (at, feature) in schema.features.iter().enumerate() {
            match &feature.kind {
                FeatureKind::Numeric { .. } | FeatureKind::Kept(_) => {
                    fitted.numeric.push(NumericColumn::fit(at, features))
                }
                FeatureKind::Categorical { values, .. } => {
                    let codes = 0..values.len();
                    fitted.one_hot.extend(codes.map(|code| OneHotColumn { feature: at, code: code as f32 }));
                }
            }
        }
        fitted
    }

    /// Returns the same preprocessing without the scaling: numeric columns keep the units of their features.
    pub fn without_scaling(mut self) -> Self {
        for column in &mut self.numeric {
            column.mean = 0.0;
            column.scale = 1.0;
        }
        self
    }

    /// Reports whether numeric columns are scaled.
    pub fn scales(&self) -> bool {
        self.numeric.iter().any(|column| column.mean != 0.0 || column.scale != 1.0)
    }

    /// Returns the number of columns of the preprocessed matrix.
    pub fn columns(&self) -> usize {
        self.numeric.len() + self.one_hot.len()
    }

    /// Groups the one-hot columns by feature.
    pub(crate) fn categories(&self) -> Vec<Category> {
        let mut first_column = self.numeric.len();
        let of = |same: &[OneHotColumn]| {
            let category = Category { feature: same[0].feature, first_column, values: same.len() };
            first_column += same.len();
            category
        };
        self.one_hot.chunk_by(|a, b| a.feature == b.feature).map(of).collect()
    }

    /// Transforms a `features` matrix `[rows, features]` into the preprocessed matrix `[rows, columns]`.
    pub fn transform(&self, features: ArrayView2<'_, f32>) -> Array2<f32> {
        let mut out = Array2::zeros((features.nrows(), self.columns()));
        for (from, mut to) in features.outer_iter().zip(out.outer_iter_mut()) {
            for (cell, column) in to.iter_mut().zip(&self.numeric) {
                *cell = column.transform(from[column.feature]);
            }
            for (cell, column) in to.iter_mut().skip(self.numeric.len()).zip(&self.one_hot) {
                *cell = f32::from(u8::from(from[column.feature] == column.code));
            }
        }
        out
    }
}

impl Category {
    /// Returns the index of the value with this code, or `None` if it is missing or unknown.
    pub fn code(&self, code: f32) -> Option<usize> {
        // NaN is in no range.
        (code >= 0.0 && code < self.values as f32).then_some(code as usize)
    }
}

impl NumericColumn {
    /// Imputes and scales a value.
    pub(crate) fn transform(&self, value: f32) -> f32 {
        let value = if value.is_nan() { self.median } else { value };
        (value - self.mean) / self.scale
    }

    fn fit(feature: usize, features: ArrayView2<'_, f32>) -> Self {
        let column = features.column(feature);
        let mut present: Vec<f32> = column.iter().copied().filter(|value| !value.is_nan()).collect();
        present.sort_unstable_by(f32::total_cmp);
        let median = median(&present);
        let imputed = || column.iter().map(|value| f64::from(if value.is_nan() { median } else { *value }));
        let count = column.len() as f64;
        let mean = imputed().sum::<f64>() / count;
        let variance = imputed().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
        // Because the mean is rounded, the spread of a constant column may be slightly above 0.
        let constant = present.first() == present.last();
        let scale = if constant { 1.0 } else { variance.sqrt() as f32 };
        let quartile = |at: usize| present.get(at * present.len() / 4).copied().unwrap_or_default();
        let quartiles = quartile(3) - quartile(1);
        let (mean, scale) = match scale > FAR_VALUES * quartiles && quartiles > 0.0 {
            true => (median, quartiles),
            false => (mean as f32, scale),
        };
        Self { feature, median, mean, scale: if scale.is_normal() { scale } else { 1.0 } }
    }
}

/// Returns the median of ascending values, or 0 if there are none.
pub(crate) fn median(sorted: &[f32]) -> f32 {
    match (sorted.get(sorted.len().saturating_sub(1) / 2), sorted.get(sorted.len() / 2)) {
        (Some(low), Some(high)) => ((f64::from(*low) + f64::from(*high)) / 2.0) as f32,
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;
    use onnward_schemas::SchemaFile;

    use super::*;

    const SCHEMA: &str = r#"
        name = "small"
        version = 1
        label = { column = "left", positive = "1", negative = "0" }
        [[features]]
        name = "plan"
        type = "categorical"
        values = ["a", "b"]
        [[features]]
        name = "age"
        type = "numeric"
        required = false
        [[features]]
        name = "constant"
        type = "numeric"
        [[features]]
        name = "empty"
        type = "numeric"
        required = false
    "#;

    #[test]
    fn a_few_far_values_do_not_press_all_others_together() {
        let column =
            |far: f32| Array2::from_shape_fn((101, 1), |(row, _)| if row == 100 { far } else { row as f32 });
        let near = NumericColumn::fit(0, column(100.0).view());
        assert!((near.mean - 50.0).abs() < 1e-4 && (near.scale - 29.15).abs() < 0.01, "{near:?}");
        let far = NumericColumn::fit(0, column(1e6).view());
        assert_eq!((far.mean, far.scale), (50.0, 50.0));
    }

    #[test]
    fn medians_replace_and_unknown_values_are_zero_everywhere() {
        let schema = SchemaFile::parse(SCHEMA).unwrap().schema;
        let nan = f32::NAN;
        let training = array![[0.0, 10.0, 0.1, nan], [1.0, nan, 0.1, nan], [0.0, 40.0, 0.1, nan]];
        let fitted = Preprocessor::fit(&schema, training.view());
        assert_eq!(fitted.columns(), 5);
        // 10, 25 and 40: mean 25, variance 150.
        assert_eq!((fitted.numeric[0].median, fitted.numeric[0].mean), (25.0, 25.0));
        assert!((fitted.numeric[0].scale - 150f32.sqrt()).abs() < 1e-5);
        assert_eq!((fitted.numeric[1].scale, fitted.numeric[2].scale), (1.0, 1.0));

        let out = fitted
            .transform(array![[1.0, nan, 0.1, 3.0], [-1.0, 25.0, 0.1, nan], [nan, 25.0, 0.1, 0.0]].view());
        assert_eq!(
            out,
            array![[0.0, 0.0, 3.0, 0.0, 1.0], [0.0, 0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0, 0.0]]
        );
    }

    #[test]
    fn a_spread_below_the_normal_numbers_is_none() {
        let schema = SchemaFile::parse(SCHEMA).unwrap().schema;
        let training = array![[0.0, 1e-40, 1e-30, 0.0], [1.0, 3e-40, 3e-30, 0.0]];
        let fitted = Preprocessor::fit(&schema, training.view());
        assert_eq!(fitted.numeric[0].scale, 1.0);
        assert!((fitted.numeric[1].scale - 1e-30).abs() < 1e-35, "{fitted:?}");
    }
}
