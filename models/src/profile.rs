//! The profile of the training rows, with which live traffic is compared.

use ndarray::{Array1, ArrayView1, ArrayView2};
use onnward_schemas::{ErrorProfile, Feature, FeatureKind, FeatureProfile, Profile, Schema, ScoreProfile};

use crate::curves::score_histogram;
use crate::labels::{Labels, Scores, most_probable_classes};
use crate::preprocess::median;

const QUANTILES: usize = 10;

/// Profiles the training rows `[rows, features]`, and the predictions `held_out`: those of the held-out rows, whose labels are
/// `labels`.
pub(crate) fn profile(
    schema: &Schema,
    features: ArrayView2<'_, f32>,
    held_out: &Scores,
    labels: &Labels,
) -> Profile {
    let of = |(feature, column): (&Feature, _)| match &feature.kind {
        FeatureKind::Numeric { .. } | FeatureKind::Kept(_) => numeric(column),
        FeatureKind::Categorical { values, .. } => categorical(column, values.len()),
    };
    let score = score_profile(held_out);
    Profile {
        rows: features.nrows() as u64,
        features: schema.features.iter().zip(features.columns()).map(of).collect(),
        errors: match (held_out, labels, &score) {
            (
                Scores::Numbers(numbers),
                Labels::Numbers(labels),
                ScoreProfile::Values(FeatureProfile::Numeric { edges, .. }),
            ) => Some(error_profile(edges, numbers, labels)),
            _ => None,
        },
        score,
    }
}

fn score_profile(held_out: &Scores) -> ScoreProfile {
    match held_out {
        Scores::Probabilities(probabilities) => {
            ScoreProfile::Probability(score_histogram(probabilities.iter().copied()))
        }
        Scores::ClassProbabilities(probabilities) => {
            let predicted = most_probable_classes(probabilities.view());
            let predicted: Array1<f32> = predicted.into_iter().map(|class| class as f32).collect();
            ScoreProfile::Values(categorical(predicted.view(), probabilities.ncols()))
        }
        Scores::Numbers(numbers) => {
            let numbers = sorted(numbers.iter().map(|number| *number as f32));
            ScoreProfile::Values(binned(&numbers, 0, f32::midpoint))
        }
    }
}

/// Averages the errors of the predictions between the edges.
fn error_profile(edges: &[f32], predictions: &[f64], labels: &[f64]) -> ErrorProfile {
    let mut sums = vec![(0.0, 0.0, 0.0); edges.len() + 1];
    for (prediction, label) in predictions.iter().zip(labels) {
        let bin = edges.partition_point(|edge| *edge < *prediction as f32);
        if let Some((rows, absolute, squared)) = sums.get_mut(bin) {
            let error = prediction - label;
            *rows += 1.0;
            *absolute += error.abs();
            *squared += error * error;
        }
    }
    let mean = |sum: f64, rows: f64| if rows > 0.0 { sum / rows } else { 0.0 };
    ErrorProfile {
        absolute: sums.iter().map(|(rows, absolute, _)| mean(*absolute, *rows)).collect(),
        squared: sums.iter().map(|(rows, _, squared)| mean(*squared, *rows)).collect(),
    }
}

/// Counts the values between the deciles. Deciles that coincide share a bin. Everything is 0 if no row has a
/// value.
fn numeric(column: ArrayView1<'_, f32>) -> FeatureProfile {
    let values = sorted(column.iter().copied().filter(|value| !value.is_nan()));
    binned(&values, (column.len() - values.len()) as u64, |below, _| below)
}

fn sorted(values: impl Iterator<Item = f32>) -> Vec<f32> {
    let mut values: Vec<f32> = values.collect();
    values.sort_unstable_by(f32::total_cmp);
    values
}

/// Counts sorted values between the deciles. `edge` places an edge between a decile and the next larger value: in the
/// middle for predictions, as another runtime may round one to the other side of the decile itself.
fn binned(values: &[f32], missing: u64, edge: impl Fn(f32, f32) -> f32) -> FeatureProfile {
    let (min, max) = match (values.first(), values.last()) {
        (Some(min), Some(max)) => (*min, *max),
        _ => (0.0, 0.0),
    };
    let deciles = (1..QUANTILES).map(|decile| (decile * values.len()).div_ceil(QUANTILES).saturating_sub(1));
    let mut edges: Vec<f32> = deciles.filter_map(|at| values.get(at).copied()).collect();
    edges.dedup();
    // The bin above an edge at the largest value would be empty.
    edges.retain(|edge| *edge < max);
    for below in &mut edges {
        let next = values.get(values.partition_point(|value| value <= below));
        *below = edge(*below, next.copied().unwrap_or(*below));
    }
    // Between numbers that are neighbours in single precision there is no other.
    edges.dedup();
    edges.retain(|edge| *edge < max);
    let mut counts = vec![0; edges.len() + 1];
    for value in values {
        counts[edges.partition_point(|edge| edge < value)] += 1;
    }
    let sum: f64 = values.iter().map(|value| f64::from(*value)).sum();
    FeatureProfile::Numeric {
        edges,
        counts,
        missing,
        min,
        median: median(values),
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
    use ndarray::array;

    use super::*;

    /// A runtime that rounds a prediction otherwise must not move it to another bin.
    #[test]
    fn the_edges_of_predicted_numbers_lie_between_them_and_classes_are_counted() {
        let few = Scores::Numbers((0..40).map(|row| f64::from(row / 10)).collect());
        let ScoreProfile::Values(FeatureProfile::Numeric { edges, counts, missing, .. }) =
            score_profile(&few)
        else {
            panic!("not numeric")
        };
        assert_eq!((edges, counts, missing), (vec![0.5, 1.5, 2.5], vec![10; 4], 0));

        let classes = Scores::ClassProbabilities(array![[0.2, 0.8, 0.0], [0.5, 0.5, 0.0], [0.1, 0.6, 0.3]]);
        let counted = FeatureProfile::Categorical { counts: vec![1, 2, 0], missing: 0, unknown: 0 };
        assert_eq!(score_profile(&classes), ScoreProfile::Values(counted));
    }

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
