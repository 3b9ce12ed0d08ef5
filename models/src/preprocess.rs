//! What is learned from the training rows before a model is: medians, means, spreads, and the layout of the
//! preprocessed matrix.

use ndarray::{Array2, ArrayView2};

/// A fitted preprocessing: median imputation, standard scaling and one-hot encoding, exactly as the graph's core
/// computes them in single precision.
///
/// The preprocessed matrix holds the numeric columns first, in the schema's order, then one column for each value of
/// each categorical feature. An unknown or missing category is 0 in all of its feature's columns.
#[derive(Debug, Clone, PartialEq)]
pub struct Preprocessor {
    /// The numeric columns.
    pub numeric: Vec<NumericColumn>,
    /// The one-hot columns.
    pub one_hot: Vec<OneHotColumn>,
}

/// `(value or median − mean) / scale`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NumericColumn {
    /// The index of the feature.
    pub feature: usize,
    /// What replaces a missing value.
    pub median: f32,
    /// The mean of the training rows after imputation.
    pub mean: f32,
    /// Their standard deviation (of the population); 1 where it would be 0.
    pub scale: f32,
}

/// 1 where the feature has this code, else 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OneHotColumn {
    /// The index of the feature.
    pub feature: usize,
    /// The code of the value.
    pub code: f32,
}

impl Preprocessor {
    /// How many columns the preprocessed matrix has.
    pub fn columns(&self) -> usize {
        self.numeric.len() + self.one_hot.len()
    }

    /// Transforms a `features` matrix `[rows, features]` to the preprocessed one `[rows, columns]`.
    pub fn transform(&self, features: ArrayView2<'_, f32>) -> Array2<f32> {
        let mut out = Array2::zeros((features.nrows(), self.columns()));
        for (from, mut to) in features.outer_iter().zip(out.outer_iter_mut()) {
            for (cell, column) in to.iter_mut().zip(&self.numeric) {
                let value = from[column.feature];
                let value = if value.is_nan() { column.median } else { value };
                *cell = (value - column.mean) / column.scale;
            }
            for (cell, column) in to.iter_mut().skip(self.numeric.len()).zip(&self.one_hot) {
                *cell = f32::from(u8::from(from[column.feature] == column.code));
            }
        }
        out
    }
}
