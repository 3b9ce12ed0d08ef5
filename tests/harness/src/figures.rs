//! Statistics of measurements.

/// Returns a percentile of sorted values by the nearest-rank method; NaN if there are none.
///
/// ```
/// assert_eq!(onnward_harness::figures::percentile(&[1.0, 2.0, 3.0, 4.0], 50), 2.0);
/// ```
pub fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let rank = (percent * sorted.len()).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or(f64::NAN)
}

/// Returns the median; NaN if there are no values.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = |at: usize| values.get(at).copied().unwrap_or(f64::NAN);
    (middle(values.len().saturating_sub(1) / 2) + middle(values.len() / 2)) / 2.0
}

/// Returns how much the line of least squares through equally spaced values rises from the first to the last;
/// NaN for fewer than two.
pub fn rise(values: &[f64]) -> f64 {
    let count = values.len() as f64;
    let middle = (count - 1.0) / 2.0;
    let mean = values.iter().sum::<f64>() / count;
    let distances = || values.iter().enumerate().map(|(at, value)| (at as f64 - middle, value));
    let spread: f64 = distances().map(|(distance, _)| distance * distance).sum();
    let slope = distances().map(|(distance, value)| distance * (value - mean)).sum::<f64>() / spread;
    slope * (count - 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let values: Vec<f64> = (1..=200).map(f64::from).collect();
        assert_eq!((percentile(&values, 50), percentile(&values, 99)), (100.0, 198.0));
        assert_eq!(percentile(&[7.0], 99), 7.0);
        assert!(percentile(&[], 99).is_nan());
    }

    #[test]
    fn a_line_rises_by_what_the_values_do_on_the_whole() {
        assert_eq!(rise(&[5.0, 5.0, 5.0]), 0.0);
        assert_eq!(rise(&[1.0, 2.0, 3.0, 4.0]), 3.0);
        assert!(rise(&[1.0, 9.0, 1.0, 9.0, 1.0]).abs() < 1e-9);
        assert!(rise(&[1.0]).is_nan());
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(Vec::new()).is_nan());
    }
}
