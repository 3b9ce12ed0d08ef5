//! Measured performance of models of a number. Definitions: scikit-learn's user guide, §3.4.6.

use serde::{Deserialize, Serialize};

use super::ratio;

/// A predicted number whose label is known. In JSON it is a list of the two.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LabelledNumber(
    /// The predicted number.
    pub f64,
    /// The label.
    pub f64,
);

impl LabelledNumber {
    /// Returns the error: prediction − label.
    pub fn error(self) -> f64 {
        self.0 - self.1
    }
}

/// Figures of predicted numbers whose labels are known, in the units of the label. An error is `prediction − label`.
/// A figure is `None` if it is not defined.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NumberPerformance {
    /// The root of the mean squared error.
    pub rmse: Option<f64>,
    /// The mean absolute error.
    pub mae: Option<f64>,
    /// The mean error.
    pub bias: Option<f64>,
    /// The coefficient of determination. `None` for fewer than two labels; where all labels are equal, 1 for perfect
    /// predictions and else 0, as in scikit-learn.
    pub r2: Option<f64>,
    /// The quantiles of the errors.
    pub error_quantiles: Vec<ErrorQuantile>,
    /// The errors in bins of equal width from the smallest to the largest.
    pub error_histogram: Vec<ErrorBin>,
}

/// A quantile of the errors.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ErrorQuantile {
    /// The share of the predictions whose error is at most this one, in percent.
    pub percent: u8,
    /// The error.
    pub error: f64,
}

/// Predictions with similar errors.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ErrorBin {
    /// The lower edge, which the bin includes.
    pub from: f64,
    /// The upper edge, which only the last bin includes.
    pub to: f64,
    /// The number of predictions.
    pub predictions: u64,
}

/// The quantiles of the errors, in percent.
pub const ERROR_QUANTILES: [u8; 5] = [5, 25, 50, 75, 95];
/// The number of bins of the errors' histogram.
pub const ERROR_BINS: usize = 20;

impl NumberPerformance {
    /// Computes the figures. Sorts the predictions.
    ///
    /// ```
    /// use onnward_quality::performance::{LabelledNumber, NumberPerformance};
    ///
    /// let mut predictions = [(2.0, 1.0), (3.0, 3.0), (6.0, 8.0)]
    ///     .map(|(predicted, label)| LabelledNumber(predicted, label));
    /// let performance = NumberPerformance::of(&mut predictions);
    /// assert_eq!((performance.mae, performance.bias), (Some(1.0), Some(-1.0 / 3.0)));
    /// ```
    pub fn of(predictions: &mut [LabelledNumber]) -> Self {
        // The same predictions give the same bits, in whatever order they come.
        predictions.sort_unstable_by(|a, b| a.error().total_cmp(&b.error()).then(a.1.total_cmp(&b.1)));
        let all = predictions.len() as f64;
        let mean = |of: &dyn Fn(&LabelledNumber) -> f64| ratio(predictions.iter().map(of).sum(), all);
        let squares = mean(&|one| one.error().powi(2));
        let errors: Vec<f64> = predictions.iter().map(|one| one.error()).collect();
        Self {
            rmse: squares.map(f64::sqrt),
            mae: mean(&|one| one.error().abs()),
            bias: mean(&|one| one.error()),
            r2: squares.and_then(|squares| r2(predictions, squares)),
            error_quantiles: quantiles(&errors),
            error_histogram: histogram(&errors),
        }
    }

    /// Returns the figures with their metric labels.
    pub fn figures(&self) -> [(&'static str, Option<f64>); 4] {
        [("rmse", self.rmse), ("mae", self.mae), ("bias", self.bias), ("r2", self.r2)]
    }
}

/// Computes the coefficient of determination from the mean squared error.
fn r2(predictions: &[LabelledNumber], squares: f64) -> Option<f64> {
    let all = predictions.len() as f64;
    if predictions.len() < 2 {
        return None;
    }
    let center = predictions.iter().map(|one| one.1).sum::<f64>() / all;
    let spread = predictions.iter().map(|one| (one.1 - center).powi(2)).sum::<f64>() / all;
    Some(match (spread > 0.0, squares > 0.0) {
        (true, _) => 1.0 - squares / spread,
        (false, false) => 1.0,
        (false, true) => 0.0,
    })
}

/// Computes the quantiles of ascending errors by linear interpolation, as `numpy.quantile`.
fn quantiles(sorted: &[f64]) -> Vec<ErrorQuantile> {
    let Some(last) = sorted.len().checked_sub(1) else { return Vec::new() };
    let quantile = |percent: u8| {
        let place = f64::from(percent) / 100.0 * last as f64;
        let low = *sorted.get(place as usize)?;
        let high = sorted.get(place as usize + 1).copied().unwrap_or(low);
        Some(ErrorQuantile { percent, error: low + (high - low) * place.fract() })
    };
    ERROR_QUANTILES.into_iter().filter_map(quantile).collect()
}

/// Counts ascending errors in bins of equal width, as `numpy.histogram`. One bin holds them all if they are equal.
fn histogram(sorted: &[f64]) -> Vec<ErrorBin> {
    let (Some(first), Some(last)) = (sorted.first().copied(), sorted.last().copied()) else {
        return Vec::new();
    };
    let bins = if first < last { ERROR_BINS } else { 1 };
    let width = (last - first) / bins as f64;
    let mut left = sorted;
    let mut histogram = Vec::with_capacity(bins);
    for bin in 0..bins {
        let is_last = bin + 1 == bins;
        let from = first + width * bin as f64;
        let to = if is_last { last } else { first + width * (bin + 1) as f64 };
        let (here, rest) = left.split_at(left.partition_point(|error| is_last || *error < to));
        left = rest;
        histogram.push(ErrorBin { from, to, predictions: here.len() as u64 });
    }
    histogram
}
