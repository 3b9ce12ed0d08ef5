//! The outcomes of `POST /outcomes`: every field of every item is checked, and all violations are collected.

use chrono::DateTime;
use onnward_records::ground_truth::join::{LabelValue, Outcome, Reference, WrongLabel};
use onnward_records::prediction_id::PredictionId;
use onnward_rows::BodyShape;
use onnward_schemas::{Mismatch, Violation, Violations, pointer_to, shorten};
use serde_json::{Map, Value};

use super::json::{FIELDS, FieldFault, OUTCOMES, OutcomesBody};

/// The outcomes of a body, and the form of the body.
#[derive(Debug)]
pub struct Received {
    /// The outcomes, in their order.
    pub outcomes: Vec<Outcome>,
    /// The form of the body: one outcome or a list.
    pub form: BodyShape,
    /// The JSON pointer to the list of outcomes.
    pub parent: String,
}

const KNOWN_FIELDS: &str = "only id, key, model, label, time and correct";
/// The tolerance for a client's clock that is ahead of the engine's, in milliseconds.
const CLOCK_SKEW: u64 = 5 * 60 * 1000;

/// Reads one object, an array of objects, or `{"outcomes": [...]}`, with at most `most` items. A key without
/// a model belongs to the default model. `now` is the time in milliseconds since 1970.
pub fn read(
    body: &OutcomesBody,
    default_model: Option<&str>,
    most: usize,
    now: u64,
) -> Result<Received, Violations> {
    let mut violations = Violations::default();
    let OutcomesBody { value: body, items: count, faults, unlisted_faults } = body;
    let (items, parent, form) = match body {
        Value::Object(fields) if fields.contains_key(OUTCOMES) => {
            for other in fields.keys().filter(|name| *name != OUTCOMES) {
                let pointer = pointer_to("", other);
                refuse(&mut violations, None, pointer, "\"outcomes\" as the only field", "another field");
            }
            (fields.get(OUTCOMES).and_then(Value::as_array).map(Vec::as_slice), "/outcomes", BodyShape::Many)
        }
        Value::Object(_) => (Some(std::slice::from_ref(body)), "", BodyShape::Single),
        other => (other.as_array().map(Vec::as_slice), "", BodyShape::Many),
    };
    let Some(items) = items else {
        let expected = "an object, an array of objects, or {\"outcomes\": [objects]}";
        refuse(&mut violations, None, parent.to_owned(), expected, &describe(body));
        return Err(violations);
    };
    if items.is_empty() || *count > most {
        let expected = format!("1 to {most} outcomes");
        refuse(&mut violations, None, parent.to_owned(), &expected, &count.to_string());
        return Err(violations);
    }
    let mut faults = faults.iter().peekable();
    let mut outcomes = Vec::with_capacity(items.len());
    for (item, value) in items.iter().enumerate() {
        let pointer = item_pointer(parent, form, item);
        while let Some(fault) = faults.next_if(|fault| fault.item == item) {
            refuse_field(&mut violations, &pointer, fault);
        }
        let Value::Object(fields) = value else {
            refuse(&mut violations, Some(item), pointer, "an object", &describe(value));
            continue;
        };
        let mut reader = Reader { fields, pointer, item, violations: &mut violations };
        outcomes.extend(reader.outcome(default_model, now));
    }
    violations.add_unlisted(*unlisted_faults);
    if violations.is_empty() {
        Ok(Received { outcomes, form, parent: parent.to_owned() })
    } else {
        Err(violations)
    }
}

/// Refuses a field that an outcome cannot have.
fn refuse_field(violations: &mut Violations, item_pointer: &str, fault: &FieldFault) {
    let FieldFault { item, name, is_repeated } = fault;
    if name == OUTCOMES {
        return refuse(violations, None, pointer_to("", OUTCOMES), "one list", "a second list");
    }
    let Mismatch { expected, got } = match is_repeated {
        true => Mismatch::repeated_field(),
        false => Mismatch { expected: KNOWN_FIELDS.to_owned(), got: "an unknown field".to_owned() },
    };
    refuse(violations, Some(*item), pointer_to(item_pointer, name), &expected, &got);
}

/// Builds the violation for an unknown label.
pub fn wrong_label(wrong: &WrongLabel, parent: &str, form: BodyShape) -> Violation {
    Violation {
        pointer: pointer_to(&item_pointer(parent, form, wrong.item), "label"),
        row: Some(wrong.item),
        expected: wrong.has.to_string(),
        got: wrong.got.to_string(),
    }
}

/// Builds the violation for a key of a model without an identifier.
pub fn key_without_identifier(model: &str, item: usize, parent: &str, form: BodyShape) -> Violation {
    let model = shorten(model);
    Violation {
        pointer: pointer_to(&item_pointer(parent, form, item), "key"),
        row: Some(item),
        expected: format!(
            "the id of a prediction, since the schema of the model \"{model}\" has no identifier; or another model's name as \
             \"model\""
        ),
        got: "a key".to_owned(),
    }
}

/// A reader of one item.
struct Reader<'a> {
    fields: &'a Map<String, Value>,
    pointer: String,
    item: usize,
    violations: &'a mut Violations,
}

impl Reader<'_> {
    /// Returns the outcome. `None` if it is invalid; the violations are collected.
    fn outcome(&mut self, default_model: Option<&str>, now: u64) -> Option<Outcome> {
        for name in self.fields.keys().filter(|name| !FIELDS.contains(&name.as_str())) {
            self.refuse(name, KNOWN_FIELDS, "an unknown field");
        }
        let of = self.reference(default_model);
        let label = self.label();
        let millis = self.millis(now);
        let corrects = self.corrects();
        Some(Outcome { of: of?, label: label?, millis: millis?, corrects: corrects? })
    }

    fn reference(&mut self, default_model: Option<&str>) -> Option<Reference> {
        let got = |name| self.fields.get(name).filter(|value| !value.is_null());
        match (got("id"), got("key"), got("model")) {
            (Some(id), None, None) => {
                let read = id.as_str().and_then(PredictionId::parse);
                if read.is_none() {
                    self.refuse("id", "the id of a prediction, as in its response", &describe(id));
                }
                read.map(Reference::Id)
            }
            (None, Some(key), model) => {
                let read = text_of(key).filter(|text| !text.is_empty());
                if read.is_none() {
                    self.refuse("key", "a string or a number, as in the row", &describe(key));
                }
                let model = match model {
                    Some(Value::String(model)) => Some(model.clone()),
                    Some(other) => {
                        self.refuse("model", "a model's name", &describe(other));
                        None
                    }
                    None if default_model.is_none() => {
                        self.refuse("model", "a model's name, because there is no default model", "nothing");
                        None
                    }
                    None => default_model.map(str::to_owned),
                };
                Some(Reference::Key { model: model?, key: read? })
            }
            (Some(_), Some(_), _) => {
                self.refuse("key", "either an id or a key", "both");
                None
            }
            (Some(_), None, Some(_)) => {
                self.refuse("model", "no model: an id identifies its model", "a model");
                None
            }
            (None, None, _) => {
                self.refuse("id", "the prediction's id, or a key", "neither");
                None
            }
        }
    }

    fn label(&mut self) -> Option<LabelValue> {
        match self.fields.get("label") {
            Some(Value::Bool(positive)) => Some(LabelValue::Truth(*positive)),
            Some(Value::String(text)) => Some(LabelValue::Value(text.clone())),
            Some(value @ Value::Number(_)) => text_of(value).map(LabelValue::Number),
            other => {
                let got = other.map_or_else(|| "nothing".to_owned(), describe);
                self.refuse("label", "true, false, a value of the model's label, or a number", &got);
                None
            }
        }
    }

    /// Reads the outcome's time in milliseconds since 1970. The outer option is `None` if it is invalid, the
    /// inner one if it is absent.
    fn millis(&mut self, now: u64) -> Option<Option<u64>> {
        let value = match self.fields.get("time") {
            None | Some(Value::Null) => return Some(None),
            Some(value) => value,
        };
        let time = value.as_str().and_then(|text| DateTime::parse_from_rfc3339(text).ok());
        // A time before 1970 precedes every prediction, so it is treated as 1970.
        match time.map(|time| u64::try_from(time.timestamp_millis()).unwrap_or(0)) {
            None => self.refuse("time", "a time in RFC 3339, such as 2026-05-31T12:00:00Z", &describe(value)),
            Some(millis) if millis > now.saturating_add(CLOCK_SKEW) => {
                self.refuse("time", "a time in the past", &describe(value));
            }
            Some(millis) => return Some(Some(millis)),
        }
        None
    }

    fn corrects(&mut self) -> Option<bool> {
        match self.fields.get("correct") {
            None | Some(Value::Null) => Some(false),
            Some(Value::Bool(corrects)) => Some(*corrects),
            Some(other) => {
                self.refuse("correct", "true or false", &describe(other));
                None
            }
        }
    }

    fn refuse(&mut self, field: &str, expected: &str, got: &str) {
        if !self.violations.has_room() {
            return self.violations.add_unlisted(1);
        }
        let pointer = pointer_to(&self.pointer, field);
        refuse(self.violations, Some(self.item), pointer, expected, got);
    }
}

fn refuse(violations: &mut Violations, row: Option<usize>, pointer: String, expected: &str, got: &str) {
    violations.push(|| Violation { pointer, row, expected: expected.to_owned(), got: got.to_owned() });
}

fn item_pointer(parent: &str, form: BodyShape, item: usize) -> String {
    if form == BodyShape::Single { parent.to_owned() } else { format!("{parent}/{item}") }
}

/// Describes a value in words, as in the violations of rows.
fn describe(value: &Value) -> String {
    match value {
        Value::Null => onnward_schemas::Value::Missing,
        Value::Bool(truth) => onnward_schemas::Value::Boolean(*truth),
        Value::Number(number) => onnward_schemas::Value::Number(number.as_f64().unwrap_or_default()),
        Value::String(text) => onnward_schemas::Value::Text(text),
        Value::Array(_) => onnward_schemas::Value::Array,
        Value::Object(_) => onnward_schemas::Value::Object,
    }
    .describe()
}

/// Converts a string or a number to text, in the same way as the keys of rows.
fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) if number.is_f64() => number.as_f64().map(|number| number.to_string()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}
