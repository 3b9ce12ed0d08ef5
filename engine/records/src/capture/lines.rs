//! Formats predictions as JSON lines, one for each row.
//!
//! The features that a client sent are copied as text, and nothing else of a body is kept. So the memory and
//! the lines grow with the size of the body, and not with the number of features in the schema.

use std::borrow::Cow;
use std::fmt;

use onnward_quality::time::to_rfc3339;
use onnward_rows::BodyShape;
use onnward_schemas::{LabelledPrediction, Schema, Task};
use onnward_telemetry::metrics::CaptureLoss;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;

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
    identifier: Option<&'a RawValue>,
    model: &'a str,
    version: u64,
    features: Features<'a>,
    #[serde(flatten)]
    prediction: LabelledPrediction<'a>,
}

/// Returns the key of a prediction, which is the same whatever the label's name is.
fn prediction_key(task: &Task) -> &'static str {
    match task {
        Task::Binary(_) => "decision",
        Task::Classes(_) | Task::Number | Task::Raw(_) => "prediction",
    }
}

/// The values as the client sent them, in the schema's order. What it left out is left out here, too.
struct Features<'a> {
    /// Each value with the index of its feature.
    values: &'a [(usize, &'a RawValue)],
    schema: &'a Schema,
}

impl Serialize for Features<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (index, value) in self.values {
            map.serialize_entry(&self.schema.features[*index].name, value)?;
        }
        map.end()
    }
}

/// Formats a prediction as JSON lines.
///
/// # Errors
/// [`CaptureLoss::NoRoom`] once the lines are longer than `max_bytes`; [`CaptureLoss::Unreadable`] if the
/// body does not match its rows.
pub fn lines(
    prediction: &Prediction,
    rules: &CaptureRules,
    max_bytes: usize,
) -> Result<Vec<u8>, CaptureLoss> {
    let rows = rows(&prediction.body, prediction.form).ok_or(CaptureLoss::Unreadable)?;
    let predictions = &prediction.predictions;
    if rows.len() != predictions.len() {
        return Err(CaptureLoss::Unreadable);
    }
    let (model, schema) = (&prediction.model, prediction.model.description.schema());
    let time = to_rfc3339(prediction.time);
    let identifier = schema.identifier.as_deref().filter(|_| rules.identifier);
    let first = prediction.first.text();
    let mut written = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        let row_prediction = predictions.row(index).ok_or(CaptureLoss::Unreadable)?;
        let fields: Fields<'_> = serde_json::from_str(row.get()).map_err(|_| CaptureLoss::Unreadable)?;
        let row = Row::of(fields, schema, identifier, rules);
        let line = Line {
            time: &time,
            request_id: &prediction.request_id,
            id: first.of_row(index),
            identifier: row.identifier,
            model: &model.name,
            version: model.version,
            features: Features { values: &row.values, schema },
            prediction: LabelledPrediction {
                task: &schema.label.task,
                key: prediction_key(&schema.label.task),
                prediction: row_prediction,
            },
        };
        let start = written.len();
        serde_json::to_writer(&mut written, &line).map_err(|_| CaptureLoss::Unreadable)?;
        // Between the parts of a value that is a list or an object, a client may break the line.
        written[start..]
            .iter_mut()
            .filter(|byte| matches!(byte, b'\n' | b'\r'))
            .for_each(|byte| *byte = b' ');
        written.push(b'\n');
        if written.len() > max_bytes {
            return Err(CaptureLoss::NoRoom);
        }
    }
    Ok(written)
}

/// The fields of a row that are written.
struct Row<'a> {
    values: Vec<(usize, &'a RawValue)>,
    identifier: Option<&'a RawValue>,
}

impl<'a> Row<'a> {
    fn of(fields: Fields<'a>, schema: &Schema, identifier: Option<&str>, rules: &CaptureRules) -> Self {
        let mut row = Self { values: Vec::with_capacity(fields.0.len()), identifier: None };
        for (name, value) in fields.0.into_iter().filter(|(name, _)| !rules.redact.contains(&**name)) {
            match schema.index_of(&name) {
                Some(index) => row.values.push((index, value)),
                None if identifier == Some(&*name) => row.identifier = Some(value),
                None => {}
            }
        }
        row.values.sort_unstable_by_key(|(index, _)| *index);
        row
    }
}

/// Splits an answered body into its rows.
fn rows(body: &[u8], form: BodyShape) -> Option<Vec<&RawValue>> {
    #[derive(serde::Deserialize)]
    struct Holder<'a> {
        #[serde(borrow)]
        instances: Vec<&'a RawValue>,
    }
    match form {
        BodyShape::Single => serde_json::from_slice(body).ok().map(|row| vec![row]),
        BodyShape::Many => serde_json::from_slice(body).ok(),
        BodyShape::Instances => serde_json::from_slice(body).ok().map(|holder: Holder<'_>| holder.instances),
    }
}

/// The fields of a row, in the order in which they were sent.
struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

/// A field's name, copied only if it is written with escapes.
#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfRow;

        impl<'de> Visitor<'de> for OfRow {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
                let mut found = Vec::new();
                while let Some((Name(name), value)) = fields.next_entry()? {
                    found.push((name, value));
                }
                Ok(Fields(found))
            }
        }

        deserializer.deserialize_map(OfRow)
    }
}
