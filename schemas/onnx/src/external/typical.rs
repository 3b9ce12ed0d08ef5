//! Rows for a smoke test of an external model, although its training data is unknown.

use onnward_schemas::{Feature, FeatureKind, GoldenValue, RowsLimits, Schema};
use toml::{Table, Value};

use super::ExternalError;

const ROWS: usize = 16;
const NUMBERS: [f64; 7] = [0.0, 1.0, -1.0, 0.5, 10.0, 100.0, 1000.0];
const WHOLE_NUMBERS: [f64; 6] = [0.0, 1.0, 2.0, 3.0, 10.0, 100.0];
const ANY_TEXT: &str = "a";

/// Returns the example, if there is one. If not, rows of common magnitudes and of the categories in the
/// graph, in which each feature differs from its neighbours.
pub fn typical_rows(
    schema: &Schema,
    example: Option<&Table>,
) -> Result<Vec<Vec<GoldenValue>>, ExternalError> {
    if let Some(example) = example {
        return Ok(vec![read_example(schema, example)?]);
    }
    let row = |row: usize| {
        let place = |feature: usize| if row == 0 { 0 } else { row + feature };
        schema.features.iter().enumerate().map(|(index, feature)| typical(feature, place(index))).collect()
    };
    Ok((0..ROWS).map(row).collect())
}

fn typical(feature: &Feature, place: usize) -> GoldenValue {
    let number = |numbers: &[f64]| GoldenValue::Number(numbers[place % numbers.len()]);
    match &feature.kind {
        FeatureKind::Numeric { integer: false, .. } => number(&NUMBERS),
        FeatureKind::Numeric { integer: true, .. } => number(&WHOLE_NUMBERS),
        FeatureKind::Categorical { values, .. } => match values.get(place % values.len().max(1)) {
            Some(value) => GoldenValue::Text(value.clone()),
            None => GoldenValue::Text(ANY_TEXT.to_owned()),
        },
    }
}

fn read_example(schema: &Schema, example: &Table) -> Result<Vec<GoldenValue>, ExternalError> {
    let limits = RowsLimits { max_rows: 1 };
    let read = schema.read_rows(Value::Table(example.clone()), limits);
    let read = read.map_err(|error: toml::de::Error| ExternalError::Config {
        place: " in [example]".to_owned(),
        problem: error.message().to_owned(),
    })?;
    read.map_err(ExternalError::Example)?;
    let value = |feature: &Feature| match example.get(&feature.name) {
        Some(Value::Integer(number)) => GoldenValue::Number(*number as f64),
        Some(Value::Float(number)) => GoldenValue::Number(*number),
        Some(Value::Boolean(truth)) => GoldenValue::Text(truth.to_string()),
        Some(Value::String(text)) => GoldenValue::Text(text.clone()),
        _ => GoldenValue::Missing,
    };
    Ok(schema.features.iter().map(value).collect())
}
