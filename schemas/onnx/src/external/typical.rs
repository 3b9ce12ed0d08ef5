//! Rows for a smoke test of an external model, although its training data is unknown.

use onnward_schemas::{
    Feature, FeatureKind, GoldenValue, KeptElement, KeptType, Mismatch, Schema, Violation, Violations,
    pointer_to, shorten,
};
use toml::{Table, Value};

use super::ExternalError;
use super::config::Examples;
use crate::expected_rows::{ExpectedRows, ExpectedRowsError};

const ROWS: usize = 16;
const NUMBERS: [f64; 7] = [0.0, 1.0, -1.0, 0.5, 10.0, 100.0, 1000.0];
/// The numbers of the later rows. Large ones alone would saturate a sigmoid, which hides what its inputs do.
const SMALL_NUMBERS: [f64; 7] = [0.0, 0.5, 1.0, -0.5, 0.25, 2.0, -1.0];
const WHOLE_NUMBERS: [f64; 6] = [0.0, 1.0, 2.0, 3.0, 10.0, 100.0];
const ANY_TEXTS: [&str; 3] = ["a", "b", "two words"];
/// The length of a list whose length may vary.
const ANY_LEN: usize = 3;
/// The most fields of which one is changed in an example. Further ones change together alone.
const MAX_CHANGED: usize = 32;

/// Returns the examples, if there are some, and rows that differ from the first one in each field. If not, rows of
/// common magnitudes and of the categories in the graph, in which each feature differs from its neighbours.
pub fn typical_rows(
    schema: &Schema,
    examples: Option<&Examples>,
) -> Result<Vec<Vec<GoldenValue>>, ExternalError> {
    let examples = examples.map(Examples::rows).unwrap_or_default();
    let examples =
        examples.iter().map(|example| read_example(schema, example)).collect::<Result<Vec<_>, _>>()?;
    if let Some(first) = examples.first() {
        let changed = changed_rows(schema, first);
        return Ok(examples.into_iter().chain(changed).collect());
    }
    let row = |row: usize| {
        let place = |feature: usize| if row == 0 { 0 } else { row + feature };
        schema.features.iter().enumerate().map(|(index, feature)| typical(feature, place(index))).collect()
    };
    Ok((0..ROWS).map(row).collect())
}

/// Returns the first of the rows with expected outputs, and rows that differ from the first one in each field.
pub fn rows_of(schema: &Schema, expected: &ExpectedRows) -> Vec<Vec<GoldenValue>> {
    let first = expected.rows.first().map(|row| changed_rows(schema, &row.values)).unwrap_or_default();
    expected.rows.iter().take(ROWS).map(|row| row.values.clone()).chain(first).collect()
}

/// Checks every row as a request's row is checked.
pub fn check_expected(schema: &Schema, expected: &ExpectedRows) -> Result<(), ExpectedRowsError> {
    for (at, row) in expected.rows.iter().enumerate() {
        let refuse = |problem| ExpectedRowsError::Row { row: at + 1, problem };
        if row.values.len() != schema.features.len() {
            return Err(refuse(format!(
                "it has {} values for {} fields",
                row.values.len(),
                schema.features.len()
            )));
        }
        if row.expected.is_empty() {
            return Err(refuse("it expects nothing".to_owned()));
        }
        for (feature, value) in schema.features.iter().zip(&row.values) {
            if !is_accepted(feature, value) {
                let Mismatch { expected, got } = feature.mismatch(value.as_value());
                return Err(refuse(format!("{:?} must be {expected}, and is {got}", feature.name)));
            }
        }
    }
    Ok(())
}

/// Returns rows in which one field of an example is changed, and then all of them.
fn changed_rows(schema: &Schema, example: &[GoldenValue]) -> Vec<Vec<GoldenValue>> {
    let change = |is_changed: &dyn Fn(usize) -> bool| -> Vec<GoldenValue> {
        let fields = schema.features.iter().zip(example).enumerate();
        fields
            .map(
                |(index, (feature, value))| {
                    if is_changed(index) { changed(feature, value) } else { value.clone() }
                },
            )
            .collect()
    };
    let one_by_one = (0..schema.features.len().min(MAX_CHANGED)).map(|field| change(&|index| index == field));
    one_by_one.chain([change(&|_| true)]).collect()
}

/// Returns another value that the feature accepts, or the same one if none is known.
fn changed(feature: &Feature, value: &GoldenValue) -> GoldenValue {
    match (&feature.kind, value) {
        (FeatureKind::Categorical { values, .. }, GoldenValue::Text(text)) => {
            let other = values.iter().find(|known| *known != text).unwrap_or(text);
            GoldenValue::Text(other.clone())
        }
        (FeatureKind::Categorical { .. }, value) => value.clone(),
        (FeatureKind::Numeric { .. }, value) => shifted(value, 1.5),
        (FeatureKind::Kept(kept), value) => {
            let larger = shifted(value, 1.0);
            if kept.keep_golden(&larger).is_some() { larger } else { shifted(value, -1.0) }
        }
    }
}

/// Returns a value whose numbers are larger by this, and whose Booleans are the others.
fn shifted(value: &GoldenValue, by: f64) -> GoldenValue {
    match value {
        GoldenValue::Number(number) => GoldenValue::Number(number + by),
        GoldenValue::Boolean(value) => GoldenValue::Boolean(!value),
        GoldenValue::Array(items) => GoldenValue::Array(items.iter().map(|item| shifted(item, by)).collect()),
        GoldenValue::Missing => GoldenValue::Number(by),
        GoldenValue::Text(text) => GoldenValue::Text(text.clone()),
    }
}

fn typical(feature: &Feature, place: usize) -> GoldenValue {
    match &feature.kind {
        FeatureKind::Numeric { integer: false, .. } => any_number(place),
        FeatureKind::Numeric { integer: true, .. } => {
            GoldenValue::Number(WHOLE_NUMBERS[place % WHOLE_NUMBERS.len()])
        }
        FeatureKind::Categorical { values, .. } => match values.get(place % values.len().max(1)) {
            Some(value) => GoldenValue::Text(value.clone()),
            None => any_text(place),
        },
        FeatureKind::Kept(kept) => typical_array(kept, 0, place),
    }
}

/// Returns a number of a common magnitude. The places of the later rows have small ones.
fn any_number(place: usize) -> GoldenValue {
    let numbers = if place < ROWS / 2 { &NUMBERS } else { &SMALL_NUMBERS };
    GoldenValue::Number(numbers[place % numbers.len()])
}

fn any_text(place: usize) -> GoldenValue {
    GoldenValue::Text(ANY_TEXTS[place % ANY_TEXTS.len()].to_owned())
}

/// Returns an array whose elements differ from each other, or a single value.
fn typical_array(kept: &KeptType, depth: usize, place: usize) -> GoldenValue {
    match kept.shape.get(depth) {
        Some(size) => {
            let items = 0..size.unwrap_or(ANY_LEN);
            GoldenValue::Array(items.map(|item| typical_array(kept, depth + 1, place + item)).collect())
        }
        None => match kept.element {
            KeptElement::Single | KeptElement::Double => any_number(place),
            KeptElement::Integer { .. } | KeptElement::Unsigned => {
                GoldenValue::Number(WHOLE_NUMBERS[place % WHOLE_NUMBERS.len()])
            }
            KeptElement::Boolean => GoldenValue::Boolean(place % 2 == 1),
            KeptElement::Text => any_text(place),
        },
    }
}

/// Reads an example, and checks it as a request's row is checked.
fn read_example(schema: &Schema, example: &Table) -> Result<Vec<GoldenValue>, ExternalError> {
    let mut violations = Violations::default();
    let mut reject = |field: &str, Mismatch { expected, got }: Mismatch| {
        violations.push(|| Violation { pointer: pointer_to("", field), row: Some(0), expected, got });
    };
    for name in example.keys().filter(|name| schema.index_of(name).is_none()) {
        reject(&shorten(name), schema.unknown_field(name));
    }
    let mut row = Vec::with_capacity(schema.features.len());
    for feature in &schema.features {
        let value = example.get(&feature.name).map_or(Some(GoldenValue::Missing), golden);
        let is_left_out = feature.required && !example.contains_key(&feature.name);
        match value {
            Some(value) if !is_left_out && is_accepted(feature, &value) => row.push(value),
            Some(value) => reject(&feature.name, feature.mismatch(value.as_value())),
            None => reject(&feature.name, feature.mismatch(onnward_schemas::Value::Object)),
        }
    }
    if violations.is_empty() { Ok(row) } else { Err(ExternalError::Example(violations)) }
}

fn is_accepted(feature: &Feature, value: &GoldenValue) -> bool {
    match (&feature.kind, value) {
        (FeatureKind::Kept(kept), value) => {
            kept.keep_golden(value).is_some() && (*value != GoldenValue::Missing || feature.may_be_missing())
        }
        (_, value) => feature.accept(value.as_value()).is_some(),
    }
}

/// Returns a value of the example as a row has it. `None` for a type that no field takes.
fn golden(value: &Value) -> Option<GoldenValue> {
    Some(match value {
        Value::Integer(number) => GoldenValue::Number(*number as f64),
        Value::Float(number) if number.is_nan() => GoldenValue::Missing,
        Value::Float(number) => GoldenValue::Number(*number),
        Value::Boolean(boolean) => GoldenValue::Boolean(*boolean),
        Value::String(text) => GoldenValue::Text(text.clone()),
        Value::Array(items) => GoldenValue::Array(items.iter().map(golden).collect::<Option<_>>()?),
        Value::Table(_) | Value::Datetime(_) => return None,
    })
}
