//! Golden rows: rows made from the schema, with the prediction that the trainer computes. They visit every
//! branch of the graph, so a runtime that returns the same predictions computes the whole model correctly.

use ndarray::Array2;
use onnward_schemas::{
    Feature, FeatureKind, FeatureProfile, Golden, GoldenRow, GoldenValue, Profile, Schema,
};
use rand::RngExt;

use crate::pipeline::Pipeline;
use crate::random::{Purpose, generator};

/// The least tolerance. Runtimes may compute `exp` differently.
const MIN_TOLERANCE: f64 = 1e-6;
/// The factor by which the tolerance exceeds the rounding error of the golden rows. Other rows, which runtimes
/// are compared on, may have larger ones, and two runtimes may err in opposite directions.
const TOLERANCE_FACTOR: f64 = 4.0;
const RANDOM_ROWS: usize = 32;
/// The maximum number of values of a categorical feature that are tried one by one.
const MOST_CATEGORIES: usize = 8;
/// The maximum number of values in all golden rows together, so that a wide schema does not inflate its
/// artifact.
const MOST_VALUES: usize = 100_000;
const FEWEST_ROWS: usize = 16;

/// Makes the golden rows of a model. The first is complete, valid and typical, as a request would be.
pub(crate) fn golden(schema: &Schema, profile: &Profile, pipeline: &Pipeline, seed: u64) -> Golden {
    let features: Vec<Domain<'_>> = schema
        .features
        .iter()
        .zip(&profile.features)
        .map(|(feature, seen)| Domain::of(feature, seen))
        .collect();
    let rows = rows(&features, seed);
    let encoded = Array2::from_shape_fn((rows.len(), schema.features.len()), |(row, at)| {
        schema.features[at].code(rows[row][at].as_value())
    });
    let columns = pipeline.preprocessor.transform(encoded.view());
    let predictions = pipeline.model.score_rows(columns.view()).golden();
    let row = |(values, prediction)| GoldenRow { values, prediction };
    let mut golden =
        Golden { tolerance: MIN_TOLERANCE, rows: rows.into_iter().zip(predictions).map(row).collect() };
    golden.tolerance = tolerance(pipeline.model.rounding_error(columns.view(), golden.unit()));
    golden
}

/// Returns the tolerance for a rounding error, with one significant digit.
fn tolerance(error: f64) -> f64 {
    let tolerance = (error * TOLERANCE_FACTOR).clamp(MIN_TOLERANCE, Golden::MAX_TOLERANCE);
    format!("{tolerance:.0e}").parse().unwrap_or(tolerance)
}

fn rows(features: &[Domain<'_>], seed: u64) -> Vec<Vec<GoldenValue>> {
    let typical: Vec<GoldenValue> = features.iter().map(Domain::typical).collect();
    let mut rows = vec![typical.clone()];
    rows.push(vec![GoldenValue::Missing; features.len()]);
    let mut random = generator(seed, Purpose::GoldenRows, 0);
    for _ in 0..RANDOM_ROWS {
        rows.push(features.iter().map(|feature| feature.at(random.random_range(0.0..1.0))).collect());
    }
    for (at, feature) in features.iter().enumerate() {
        for probe in feature.probes() {
            let mut row = typical.clone();
            row[at] = probe;
            rows.push(row);
        }
    }
    rows.truncate((MOST_VALUES / features.len().max(1)).max(FEWEST_ROWS));
    rows
}

/// The values of a feature from which golden rows are made.
enum Domain<'a> {
    Numeric { min: f64, typical: f64, max: f64, decimals: usize },
    Categorical { values: &'a [String], typical: usize },
}

impl<'a> Domain<'a> {
    /// Takes the range of the schema, and the range of the training rows for an open bound.
    fn of(feature: &'a Feature, seen: &FeatureProfile) -> Self {
        match &feature.kind {
            FeatureKind::Numeric { min, max, integer } => {
                let [lowest, median, highest] = match seen {
                    FeatureProfile::Numeric { min, median, max, .. } => [*min, *median, *max].map(as_written),
                    FeatureProfile::Categorical { .. } => [0.0; 3],
                };
                let min = min.unwrap_or(lowest.min(max.unwrap_or(lowest)));
                let max = max.unwrap_or(highest.max(min));
                // Three digits of the range: one decimal for tens, none for hundreds.
                let digits = 3.0 - (max - min).max(f64::MIN_POSITIVE).log10().ceil();
                let decimals = if *integer { 0 } else { digits.clamp(0.0, 9.0) as usize };
                Self::Numeric { min, typical: median.clamp(min, max), max, decimals }
            }
            // No table has such a column.
            FeatureKind::Kept(_) => Self::Categorical { values: &[], typical: 0 },
            FeatureKind::Categorical { values, .. } => {
                let counts = match seen {
                    FeatureProfile::Categorical { counts, .. } => counts.as_slice(),
                    FeatureProfile::Numeric { .. } => &[],
                };
                // The most frequent value, or the first of several.
                let most = counts.iter().max();
                let typical = counts.iter().position(|count| Some(count) == most).unwrap_or(0);
                Self::Categorical { values, typical }
            }
        }
    }

    fn typical(&self) -> GoldenValue {
        match self {
            Self::Numeric { typical, decimals, min, max } => number(*typical, *decimals, *min, *max),
            Self::Categorical { values, typical } => text(values, *typical),
        }
    }

    /// Returns the value at a share of the way through the domain, from 0 to 1.
    fn at(&self, share: f64) -> GoldenValue {
        match self {
            Self::Numeric { min, max, decimals, .. } => {
                number(min + share * (max - min), *decimals, *min, *max)
            }
            Self::Categorical { values, .. } => text(values, (share * values.len() as f64) as usize),
        }
    }

    /// Returns the values to try one at a time: both ends or the first categories, missing, and unknown.
    fn probes(&self) -> Vec<GoldenValue> {
        match self {
            Self::Numeric { min, max, .. } => {
                vec![GoldenValue::Number(*min), GoldenValue::Number(*max), GoldenValue::Missing]
            }
            Self::Categorical { values, typical } => {
                let known = (0..values.len().min(MOST_CATEGORIES)).filter(|value| value != typical);
                let known = known.map(|value| text(values, value));
                known.chain([GoldenValue::Missing, GoldenValue::Text(unlisted(values))]).collect()
            }
        }
    }
}

/// Returns the number as a person would write it: 18.8 for the 18.799999 of single precision.
fn as_written(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(f64::from(value))
}

/// Rounds a number through text, so that it is written with as few digits.
fn number(value: f64, decimals: usize, min: f64, max: f64) -> GoldenValue {
    // Adding 0 makes 0 of -0.
    let rounded = format!("{value:.decimals$}").parse().unwrap_or(value) + 0.0;
    GoldenValue::Number(if (min..=max).contains(&rounded) { rounded } else { value })
}

fn text(values: &[String], at: usize) -> GoldenValue {
    values.get(at).map_or(GoldenValue::Missing, |value| GoldenValue::Text(value.clone()))
}

fn unlisted(values: &[String]) -> String {
    let mut name = "(unlisted)".to_owned();
    while values.contains(&name) {
        name.push('*');
    }
    name
}
