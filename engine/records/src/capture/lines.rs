//! Formats predictions as JSON lines, one for each row.

use std::collections::BTreeSet;

use onnward_rows::BodyShape;
use onnward_schemas::Schema;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value};

use super::Prediction;
use crate::capture::CaptureRules;
use crate::prediction_id::IdText;

/// One row with its prediction.
#[derive(serde::Serialize)]
struct Line<'a> {
    time: &'a str,
    request_id: &'a str,
    /// The prediction's id, as in the answer and for its outcome.
    id: IdText,
    #[serde(skip_serializing_if = "Option::is_none")]
    identifier: Option<&'a Value>,
    model: &'a str,
    version: u64,
    features: Features<'a>,
    probability: f32,
    decision: bool,
}

/// The values as the client sent them, in the schema's order; null if absent.
struct Features<'a> {
    row: &'a Map<String, Value>,
    schema: &'a Schema,
    redact: &'a BTreeSet<String>,
}

impl Serialize for Features<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for feature in self.schema.features.iter().filter(|feature| !self.redact.contains(&feature.name)) {
            map.serialize_entry(&feature.name, self.row.get(&feature.name).unwrap_or(&Value::Null))?;
        }
        map.end()
    }
}

/// Formats a prediction as JSON lines. `None` if the body does not match its rows.
pub fn lines(prediction: &Prediction, rules: &CaptureRules) -> Option<Vec<u8>> {
    let rows = rows(&prediction.body, prediction.form)?;
    let probabilities = &prediction.probabilities;
    let (model, schema) = (&prediction.model, prediction.model.description.schema());
    let time = prediction.time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    let identifier =
        schema.identifier.as_ref().filter(|name| rules.identifier && !rules.redact.contains(*name));
    let first = prediction.first.text();
    let mut written = Vec::with_capacity(prediction.body.len() + rows.len() * 256);
    for (index, (row, probability)) in rows.iter().zip(probabilities).enumerate() {
        let row = row.as_object()?;
        let line = Line {
            time: &time,
            request_id: &prediction.request_id,
            id: first.of_row(index),
            identifier: identifier.and_then(|name| row.get(name)),
            model: &model.name,
            version: model.version,
            features: Features { row, schema, redact: &rules.redact },
            probability: *probability,
            decision: schema.is_positive(*probability),
        };
        serde_json::to_writer(&mut written, &line).ok()?;
        written.push(b'\n');
    }
    (rows.len() == probabilities.len()).then_some(written)
}

/// Parses the rows of an answered body.
fn rows(body: &[u8], form: BodyShape) -> Option<Vec<Value>> {
    let whole: Value = serde_json::from_slice(body).ok()?;
    match (form, whole) {
        (BodyShape::Single, row) => Some(vec![row]),
        (BodyShape::Many, Value::Array(rows)) => Some(rows),
        (BodyShape::Many, mut holder) => match holder.get_mut("instances").map(Value::take) {
            Some(Value::Array(rows)) => Some(rows),
            _ => None,
        },
    }
}
