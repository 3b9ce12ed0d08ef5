//! The profile of the training rows, with which live traffic is compared.

use ndarray::{ArrayView1, ArrayView2};
use onnward_schemas::{Feature, FeatureKind, FeatureProfile, Profile, Schema};

use crate::curves::score_histogram;
use crate::preprocess::median;

const QUANTILES: usize = 10;

/// Profiles the training rows `[rows, features]`, and the `held_out` probabilities: those of the held-out
/// rows.
pub(crate) fn profile(schema: &Schema, features: ArrayView2<'_, f32>, held_out: &[f64]) -> Profile {
    let of = |(feature, column): (&Feature, _)| match &feature.kind {
        FeatureKind::Numeric { .. } | FeatureKind::Kept(_) => numeric(column),
        FeatureKind::Categorical { values, .. } => categorical(column, values.len()),
    };
    Profile {
        rows: features.nrows() as u64,
        features: schema.features.iter().zip(features.columns()).map(of).collect(),
        score: score_histogram(held_out.iter().copied()),
    }
}

/// Counts the values between the deciles. Deciles that coincide share a bin. Everything is 0 if no row has a
/// value.
fn numeric(column: ArrayView1<'_, f32>) -> FeatureProfile {
    let mut values: Vec<f32> = column.iter().copied().filter(|value| !value.is_nan()).collect();
    values.sort_unstable_by(f32::total_cmp);
    let (min, max) = match (values.first(), values.last()) {
        (Some(min), Some(max)) => (*min, *max),
        _ => (0.0, 0.0),
    };
    let deciles = (1..QUANTILES).map(|decile| (decile * values.len()).div_ceil(QUANTILES).saturating_sub(1));
    let mut edges: Vec<f32> = deciles.filter_map(|at| values.get(at).copied()).collect();
    edges.dedup();
    // The bin above an edge at the largest value would be empty.
    edges.retain(|edge| *edge < max);
    let mut counts = vec![0; edges.len() + 1];
    for value in &values {
        counts[edges.partition_point(|edge| edge < value)] += 1;
    }
    let sum: f64 = values.iter().map(|value| f64::from(*value)).sum();
    FeatureProfile::Numeric {
        edges,
        counts,
        missing: (column.len() - values.len()) as u64,
        min,
        median: median(&values),
        mean: sum / values.len().max(1) as f64,
        max,
    }
}

fn categorical(column: ArrayView1<'_, f32>, values: usize) -> FeatureProfile {
    let mut counts = vec![0; values];
    let (mut missing, mut unknown) = (0, 0);
    for code in column {
        let count = match counts.get_mut(*code as usize) {
            _ if code.is_nan() => &mut missing,
            Some(count) if *code >= 0.0 => count,
            _ => &mut unknown,
        };
        *count += 1;
    }
    FeatureProfile::Categorical { counts, missing, unknown }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array1, array};

    use super::*;

    #[test]
    fn numeric_bins_are_deciles_with_distinct_edges() {
        let column: Array1<f32> = (1..=100).map(|value| value as f32).collect();
        let FeatureProfile::Numeric { edges, counts, min, max, median, .. } = numeric(column.view()) else {
            panic!("not numeric")
        };
        assert_eq!(edges, [10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0]);
        assert_eq!(counts, [10; 10]);
        assert_eq!((min, median, max), (1.0, 50.5, 100.0));

        let skewed = array![0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 5.0, 5.0, f32::NAN];
        let FeatureProfile::Numeric { edges, counts, missing, .. } = numeric(skewed.view()) else {
            panic!("not numeric")
        };
        assert_eq!((edges, counts, missing), (vec![0.0], vec![8, 2], 1));
    }

    #[test]
    fn unknown_and_missing_categories_are_counted_apart() {
        let column = array![0.0, 1.0, 1.0, -1.0, f32::NAN, 2.0];
        let expected = FeatureProfile::Categorical { counts: vec![1, 2, 1], missing: 1, unknown: 1 };
        assert_eq!(categorical(column.view(), 3), expected);
    }
}
