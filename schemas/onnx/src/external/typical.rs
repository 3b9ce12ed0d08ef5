//! Rows for a smoke test of an external model, although its training data is unknown.

use onnward_schemas::{
    Feature, FeatureKind, GoldenValue, Mismatch, Schema, Value as RawValue, Violation, Violations,
    pointer_to, shorten,
};
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
    let violations = example_violations(schema, example);
    if !violations.is_empty() {
        return Err(ExternalError::Example(violations));
    }
    let value = |feature: &Feature| match example.get(&feature.name) {
        Some(Value::Integer(number)) => GoldenValue::Number(*number as f64),
        Some(Value::Float(number)) => GoldenValue::Number(*number),
        Some(Value::Boolean(truth)) => GoldenValue::Text(truth.to_string()),
        Some(Value::String(text)) => GoldenValue::Text(text.clone()),
        _ => GoldenValue::Missing,
    };
    Ok(schema.features.iter().map(value).collect())
}

/// Checks the example as a request's row is checked.
fn example_violations(schema: &Schema, example: &Table) -> Violations {
    let mut violations = Violations::default();
    let mut reject = |field: &str, Mismatch { expected, got }: Mismatch| {
        violations.push(|| Violation { pointer: pointer_to("", field), row: Some(0), expected, got });
    };
    for (name, value) in example {
        match schema.index_of(name).map(|index| &schema.features[index]) {
            Some(feature) => {
                if let Err(mismatch) = feature.encode(raw(value)) {
                    reject(name, mismatch);
                }
            }
            None => reject(&shorten(name), schema.unknown_field(name)),
        }
    }
    for feature in schema.features.iter().filter(|feature| !example.contains_key(&feature.name)) {
        if let Err(mismatch) = feature.encode(RawValue::Missing) {
            reject(&feature.name, mismatch);
        }
    }
    violations
}

fn raw(value: &Value) -> RawValue<'_> {
    match value {
        Value::Integer(number) => RawValue::Number(*number as f64),
        Value::Float(number) => RawValue::Number(*number),
        Value::Boolean(boolean) => RawValue::Boolean(*boolean),
        Value::String(text) => RawValue::Text(text),
        Value::Array(_) => RawValue::Array,
        Value::Table(_) | Value::Datetime(_) => RawValue::Object,
    }
}
