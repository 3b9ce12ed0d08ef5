use std::collections::BTreeMap;

use onnward_schemas::sample::{
    Draw, LinearModel, SampleColumn, SampleLabel, SampleModel, SampleNumber, Term,
};
use onnward_schemas::{Feature, FeatureKind, Schema, Task};

/// The width of the range of a numeric feature that the schema leaves open.
const OPEN_WIDTH: f64 = 100.0;
/// The share of blank cells of an optional feature.
const MISSING: f64 = 0.05;
/// The log-odds of the positive label of an average customer: one in four.
const MEAN_LOG_ODDS: f64 = -1.1;
/// The standard deviation of the log-odds over customers.
const LOG_ODDS_STD: f64 = 1.5;
/// The mean of a label that is a number, its standard deviation over customers, and that of its noise.
const NUMBER: [f64; 3] = [100.0, 20.0, 8.0];

/// Returns the sample model of a schema that has none. It is made from the columns alone, to try things out.
///
/// - A numeric feature is uniform between its `min` and its `max`. If one is open, it is 100 from the other;
///   if both are, the range is 0 to 100.
/// - A categorical feature takes each of its values equally often.
/// - 5 % of the cells of an optional feature are blank.
/// - A binary label follows a logistic model in which every feature has a linear effect, categories in the order
///   of the schema. The effects alternate in sign and cycle through three sizes, so that there is something
///   to learn and to rank. About three in ten rows are positive.
/// - Each of several classes has such a model of its own, in which the cycle begins elsewhere.
/// - A number is such a function of the features, around 100, with normal noise.
pub fn default_model(schema: &Schema) -> SampleModel {
    let label = match &schema.label.task {
        Task::Binary(_) | Task::Raw(_) => {
            SampleLabel::Binary(default_function(schema, MEAN_LOG_ODDS, LOG_ODDS_STD, 0))
        }
        Task::Classes(classes) => {
            let of = |(at, class): (usize, &String)| {
                (class.clone(), default_function(schema, 0.0, LOG_ODDS_STD, at))
            };
            SampleLabel::Classes(classes.values.iter().enumerate().map(of).collect())
        }
        Task::Number => {
            let [mean, std, noise] = NUMBER;
            let mean = default_function(schema, mean, std, 0);
            SampleLabel::Number(SampleNumber { mean, noise, decimals: 2, exponential: false })
        }
    };
    SampleModel {
        about: "Made from the schema alone: uniform columns, an effect of each on the label.".to_owned(),
        columns: schema.features.iter().map(default_column).collect(),
        label,
    }
}

/// Returns a linear function with this mean and standard deviation over customers. The cycle of effects begins at
/// `first`.
fn default_function(schema: &Schema, mean: f64, std: f64, first: usize) -> LinearModel {
    const SIZES: [f64; 3] = [1.0, 0.6, 0.3];
    let strength = |index: usize| -> f64 {
        let at = index + first;
        let sign = if at.is_multiple_of(2) { 1.0 } else { -1.0 };
        sign * SIZES[at % SIZES.len()]
    };
    let total: f64 = (0..schema.features.len()).map(|index| strength(index).powi(2)).sum();
    let scale = std / total.sqrt();
    let mut function = LinearModel { intercept: mean, terms: Vec::new() };
    for (index, feature) in schema.features.iter().enumerate() {
        add_effect(&mut function, feature, strength(index) * scale);
    }
    function
}

fn default_column(feature: &Feature) -> SampleColumn {
    let draw = match &feature.kind {
        FeatureKind::Numeric { integer, .. } => {
            let (low, high) = default_range(feature);
            let at = BTreeMap::from([("any".to_owned(), vec![low, high])]);
            Draw::Quantiles { given: None, at, decimals: if *integer { 0 } else { 2 } }
        }
        // No table has such a column.
        FeatureKind::Kept(_) => {
            Draw::Category { given: None, weights: BTreeMap::new(), effects: BTreeMap::new() }
        }
        FeatureKind::Categorical { values, .. } => {
            let weights = BTreeMap::from([("any".to_owned(), vec![1.0; values.len()])]);
            Draw::Category { given: None, weights, effects: BTreeMap::new() }
        }
    };
    let missing = if feature.required { 0.0 } else { MISSING };
    SampleColumn { column: feature.name.clone(), missing, draw }
}

fn default_range(feature: &Feature) -> (f64, f64) {
    match feature.kind {
        FeatureKind::Numeric { min, max, .. } => match (min, max) {
            (Some(min), Some(max)) => (min, max),
            (Some(min), None) => (min, min + OPEN_WIDTH),
            (None, Some(max)) => (max - OPEN_WIDTH, max),
            (None, None) => (0.0, OPEN_WIDTH),
        },
        FeatureKind::Categorical { .. } | FeatureKind::Kept(_) => (0.0, 0.0),
    }
}

/// Adds an effect with mean 0 and a standard deviation over customers of about `strength`.
fn add_effect(label: &mut LinearModel, feature: &Feature, strength: f64) {
    let column = feature.name.clone();
    // A uniform variable of width 1 has a standard deviation of 1/√12.
    let slope = strength * 12_f64.sqrt();
    match &feature.kind {
        FeatureKind::Kept(_) => {}
        FeatureKind::Numeric { .. } => {
            let (low, high) = default_range(feature);
            let per_unit = if high > low { slope / (high - low) } else { 0.0 };
            label.intercept -= per_unit * f64::midpoint(low, high);
            label.terms.push(Term { column, per_unit, values: BTreeMap::new() });
        }
        FeatureKind::Categorical { values, .. } => {
            // Equal steps around 0, with the range of a uniform variable of the same standard deviation.
            let count = values.len() as f64;
            let effect = |index: usize| slope * ((index as f64 + 0.5) / count - 0.5);
            let values = values.iter().enumerate().map(|(index, value)| (value.clone(), effect(index)));
            label.terms.push(Term { column, per_unit: 0.0, values: values.collect() });
        }
    }
}
