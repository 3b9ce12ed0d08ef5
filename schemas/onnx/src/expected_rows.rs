//! Rows with the outputs that the library of an external model computes for them. They are published with the model,
//! as a property of its file, and every runtime must reproduce them before it serves the model.

use onnward_schemas::{GoldenValue, LabelledPrediction};
use prost::Message;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use thiserror::Error;

use crate::proto::{ModelProto, StringStringEntryProto};

/// The key of the property that holds the rows.
const PROPERTY: &str = "onnward.expected_rows";

/// Rows with expected outputs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExpectedRows {
    /// The largest difference that counts as the same: of a number up to 1 as it is, of a larger one relative to it.
    pub tolerance: f64,
    /// The rows.
    pub rows: Vec<ExpectedRow>,
}

/// A row with its expected output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExpectedRow {
    /// A raw value for each feature, in the schema's order.
    pub values: Vec<GoldenValue>,
    /// What an answer has for the row, by its keys. Keys that are left out are not compared.
    pub expected: Map<String, Value>,
}

/// The reason why rows with expected outputs are refused.
#[derive(Debug, Error)]
pub enum ExpectedRowsError {
    /// The property is not what it should be.
    #[error("its property {PROPERTY:?} cannot be read: {0}")]
    Property(#[source] serde_json::Error),
    /// The tolerance is out of bounds.
    #[error("the tolerance of the expected rows is {0}; it must be above 0 and at most {most}", most = ExpectedRows::MAX_TOLERANCE)]
    Tolerance(f64),
    /// There are no rows, or too many.
    #[error("there are {0} expected rows; it must be 1 to {most}", most = ExpectedRows::MAX_ROWS)]
    Rows(usize),
    /// A row does not fit the schema.
    #[error("expected row {row}: {problem}")]
    Row {
        /// The row, counted from 1.
        row: usize,
        /// What is wrong with it.
        problem: String,
    },
}

/// The part of an answer that is not what was expected.
#[derive(Debug, Clone, PartialEq)]
pub struct Unexpected {
    /// The place in the answer: its key, and the keys or the indices in it.
    pub place: String,
    /// What was expected.
    pub expected: Value,
    /// What was answered; null if there is nothing.
    pub actual: Value,
}

impl ExpectedRows {
    /// The tolerance of rows that do not state one. Libraries compute in double precision what a graph computes in
    /// single precision.
    pub const DEFAULT_TOLERANCE: f64 = 1e-5;
    /// The largest tolerance: beyond it, a converter that changes what is computed would pass.
    pub const MAX_TOLERANCE: f64 = 1e-3;
    /// The maximum number of rows.
    pub const MAX_ROWS: usize = 1000;

    /// Reads the rows of a file. `None` if it has none.
    ///
    /// # Errors
    /// [`ExpectedRowsError`].
    pub(crate) fn read(model: &ModelProto) -> Result<Option<Self>, ExpectedRowsError> {
        let Some(property) = model.metadata_props.iter().find(|property| property.key() == PROPERTY) else {
            return Ok(None);
        };
        let rows: Self = serde_json::from_str(property.value()).map_err(ExpectedRowsError::Property)?;
        rows.check_bounds()?;
        Ok(Some(rows))
    }

    /// Checks the tolerance and the number of rows.
    ///
    /// # Errors
    /// [`ExpectedRowsError::Tolerance`], [`ExpectedRowsError::Rows`].
    pub fn check_bounds(&self) -> Result<(), ExpectedRowsError> {
        if !(self.tolerance > 0.0 && self.tolerance <= Self::MAX_TOLERANCE) {
            return Err(ExpectedRowsError::Tolerance(self.tolerance));
        }
        if self.rows.is_empty() || self.rows.len() > Self::MAX_ROWS {
            return Err(ExpectedRowsError::Rows(self.rows.len()));
        }
        Ok(())
    }

    /// Returns an external file with these rows, in place of any that it has.
    ///
    /// # Errors
    /// [`prost::DecodeError`] if the bytes are no ONNX file.
    pub fn add_to(&self, file: &[u8]) -> Result<Vec<u8>, prost::DecodeError> {
        let mut model = ModelProto::decode(file)?;
        Self::remove_from(&mut model);
        // Numbers, texts and lists become JSON without a failure.
        let value = serde_json::to_string(self).unwrap_or_default();
        let property = StringStringEntryProto { key: Some(PROPERTY.to_owned()), value: Some(value) };
        model.metadata_props.push(property);
        Ok(model.encode_to_vec())
    }

    pub(crate) fn remove_from(model: &mut ModelProto) {
        model.metadata_props.retain(|property| property.key() != PROPERTY);
    }
}

impl ExpectedRow {
    /// Compares an answer's prediction with what is expected, and returns the first part that differs.
    pub fn compare(&self, prediction: &LabelledPrediction<'_>, tolerance: f64) -> Option<Unexpected> {
        let answer = serde_json::to_value(prediction).unwrap_or_default();
        self.expected.iter().find_map(|(key, expected)| {
            differs(key, expected, answer.get(key).unwrap_or(&Value::Null), tolerance)
        })
    }
}

fn differs(place: &str, expected: &Value, actual: &Value, tolerance: f64) -> Option<Unexpected> {
    let same = match (expected, actual) {
        (Value::Number(one), Value::Number(other)) => match (one.as_f64(), other.as_f64()) {
            (Some(one), Some(other)) => (one - other).abs() <= tolerance * one.abs().max(1.0),
            _ => one == other,
        },
        (Value::Object(expected), Value::Object(actual)) => {
            return expected.iter().find_map(|(key, value)| {
                differs(&format!("{place}.{key}"), value, actual.get(key).unwrap_or(&Value::Null), tolerance)
            });
        }
        (Value::Array(expected), Value::Array(actual)) if expected.len() == actual.len() => {
            return expected.iter().zip(actual).enumerate().find_map(|(at, (expected, actual))| {
                differs(&format!("{place}[{at}]"), expected, actual, tolerance)
            });
        }
        (expected, actual) => expected == actual,
    };
    (!same).then(|| Unexpected {
        place: place.to_owned(),
        expected: expected.clone(),
        actual: actual.clone(),
    })
}

#[cfg(test)]
mod tests {
    use onnward_schemas::{Number, Prediction, Task};
    use serde_json::json;

    use super::*;

    fn row(expected: Value) -> ExpectedRow {
        let Value::Object(expected) = expected else { panic!("{expected}") };
        ExpectedRow { values: Vec::new(), expected }
    }

    #[test]
    fn numbers_differ_by_their_size_and_all_else_exactly() {
        let answer = |number| {
            let prediction = Prediction::Number(Number::Double(number));
            LabelledPrediction { task: &Task::Number, key: "price", prediction }
        };
        for (expected, actual) in [(0.5, 0.500_009), (1e6, 1e6 + 9.0), (-3.0, -3.000_02), (0.0, 9e-6)] {
            assert_eq!(row(json!({ "price": expected })).compare(&answer(actual), 1e-5), None, "{expected}");
        }
        let unexpected = row(json!({ "price": 0.5 })).compare(&answer(0.5001), 1e-5).unwrap();
        assert_eq!((unexpected.place.as_str(), unexpected.actual), ("price", json!(0.5001)));
        for expected in [json!({ "price": "0.5" }), json!({ "price": null }), json!({ "cost": 0.5 })] {
            assert!(row(expected).compare(&answer(0.5), 1e-5).is_some());
        }
    }

    #[test]
    fn parts_of_maps_and_lists_are_named_and_lists_have_one_length() {
        let expected = json!({ "probabilities": { "a": [1, 2], "b": "x" } });
        let place = |actual: Value| {
            differs("probabilities", &expected["probabilities"], &actual, 1e-5).map(|found| found.place)
        };
        assert_eq!(place(json!({ "a": [1, 2], "b": "x", "c": 0 })), None);
        assert_eq!(place(json!({ "a": [1, 3], "b": "x" })).as_deref(), Some("probabilities.a[1]"));
        assert_eq!(place(json!({ "a": [1, 2, 3], "b": "x" })).as_deref(), Some("probabilities.a"));
        assert_eq!(place(json!({ "a": [1, 2], "b": "y" })).as_deref(), Some("probabilities.b"));
    }

    #[test]
    fn a_file_keeps_the_rows_that_it_is_given_and_bounds_are_bounds() {
        let rows = ExpectedRows {
            tolerance: 1e-4,
            rows: vec![ExpectedRow {
                values: vec![GoldenValue::Number(2.5), GoldenValue::Missing],
                ..row(json!({ "y": 1 }))
            }],
        };
        let file = ModelProto { ir_version: Some(10), ..ModelProto::default() }.encode_to_vec();
        let once = rows.add_to(&file).unwrap();
        let twice = rows.add_to(&once).unwrap();
        assert_eq!(once, twice);
        assert_eq!(
            ExpectedRows::read(&ModelProto::decode(once.as_slice()).unwrap()).unwrap(),
            Some(rows.clone())
        );
        for tolerance in [0.0, -1.0, f64::NAN, 0.0011, f64::INFINITY] {
            assert!(ExpectedRows { tolerance, ..rows.clone() }.check_bounds().is_err(), "{tolerance}");
        }
        assert!(ExpectedRows { rows: Vec::new(), ..rows }.check_bounds().is_err());
    }
}
