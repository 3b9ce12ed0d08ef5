//! Parses the JSON of outcomes, and keeps only the parts that an outcome can have. A tree of the whole body
//! could take a hundred times the body's memory.

use std::fmt;

use onnward_rows::Skip;
use onnward_schemas::Violations;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// The key under which a body may have its list of items.
pub const OUTCOMES: &str = "outcomes";

/// The maximum number of fields in an object: far more than an outcome has. Parsing stops beyond it.
const MAX_FIELDS: usize = 256;

/// The fields of an outcome.
pub const FIELDS: [&str; 6] = ["id", "key", "model", "label", "time", "correct"];

/// A parsed body.
#[derive(Debug)]
pub struct OutcomesBody {
    /// The JSON, with at most the requested number of items. Arrays and objects within an item are emptied.
    /// The items of a list have only the fields of an outcome.
    pub value: Value,
    /// The number of items, kept or not.
    pub items: usize,
    /// The fields of kept items that an outcome cannot have, in their order.
    pub faults: Vec<FieldFault>,
    /// The number of such fields beyond those in `faults`.
    pub unlisted_faults: usize,
}

/// A field that an outcome cannot have.
#[derive(Debug, PartialEq, Eq)]
pub struct FieldFault {
    /// The index of the item.
    pub item: usize,
    /// The field's name.
    pub name: String,
    /// Whether the item has the field twice. Otherwise the field is unknown.
    pub is_repeated: bool,
}

impl OutcomesBody {
    /// Parses a body and keeps at most `most` items; further items are only counted.
    pub fn parse(text: &str, most: usize) -> serde_json::Result<Self> {
        let mut json = serde_json::Deserializer::from_str(text);
        let mut body = Self { value: Value::Null, items: 1, faults: Vec::new(), unlisted_faults: 0 };
        body.value = Part { holds: Holds::Body, most, body: &mut body }.deserialize(&mut json)?;
        json.end()?;
        Ok(body)
    }

    fn add_fault(&mut self, item: usize, name: String, is_repeated: bool) {
        if self.faults.len() < Violations::LISTED {
            self.faults.push(FieldFault { item, name, is_repeated });
        } else {
            self.unlisted_faults += 1;
        }
    }
}

/// The meaning of an array or an object at its position in the body.
#[derive(Clone, Copy)]
enum Holds {
    /// The body: an item, a list of items, or an object with such a list.
    Body,
    /// The list of items of an object.
    List,
    /// An item of a list, by its index.
    Item(usize),
    /// A value whose content is skipped.
    Nothing,
}

/// A part of the body.
struct Part<'a> {
    holds: Holds,
    most: usize,
    body: &'a mut OutcomesBody,
}

impl Part<'_> {
    fn inner(&mut self, holds: Holds) -> Part<'_> {
        Part { holds, most: self.most, body: self.body }
    }
}

impl<'de> DeserializeSeed<'de> for Part<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<Value, D::Error> {
        value.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Part<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("outcomes")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<Value, A::Error> {
        if matches!(self.holds, Holds::Item(_) | Holds::Nothing) {
            Skip::default().items(items)?;
            return Ok(Value::Array(Vec::new()));
        }
        let mut kept = Vec::new();
        while kept.len() < self.most {
            let Some(item) = items.next_element_seed(self.inner(Holds::Item(kept.len())))? else { break };
            kept.push(item);
        }
        self.body.items = kept.len();
        while items.next_element_seed(Skip::default())?.is_some() {
            self.body.items += 1;
        }
        Ok(Value::Array(kept))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut fields: A) -> Result<Value, A::Error> {
        let mut kept = Map::new();
        let (item, is_in_list) = match self.holds {
            Holds::Body => (0, false),
            Holds::Item(item) => (item, true),
            Holds::List | Holds::Nothing => {
                Skip::default().fields(fields)?;
                return Ok(Value::Object(kept));
            }
        };
        let mut seen = 0;
        while let Some(name) = fields.next_key::<String>()? {
            seen += 1;
            if seen > MAX_FIELDS {
                return Err(A::Error::custom(format_args!("an object has more than {MAX_FIELDS} fields")));
            }
            if is_in_list && !FIELDS.contains(&name.as_str()) {
                fields.next_value_seed(Skip::default())?;
                self.body.add_fault(item, name, false);
                continue;
            }
            let holds = if name == OUTCOMES && !is_in_list { Holds::List } else { Holds::Nothing };
            let value = fields.next_value_seed(self.inner(holds))?;
            if kept.contains_key(&name) {
                self.body.add_fault(item, name, true);
            } else {
                kept.insert(name, value);
            }
        }
        Ok(Value::Object(kept))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_outcomes_are_made_of_is_kept_and_all_else_is_skipped() {
        let parse = |text: &str| OutcomesBody::parse(text, 2).unwrap();
        for (text, value, items) in [
            (r#"{"id": "a", "label": true}"#, json!({"id": "a", "label": true}), 1),
            (r#"[{"key": 1.5}, {"key": -7}]"#, json!([{"key": 1.5}, {"key": -7}]), 2),
            (r#"[1, [2, [3]], {"a": {}}, null]"#, json!([1, []]), 4),
            (
                r#"{"outcomes": [{"id": [1, {"b": 2}]}, {"id": {"c": []}}, 3]}"#,
                json!({"outcomes": [{"id": []}, {"id": {}}]}),
                3,
            ),
            (r#"{"outcomes": {"outcomes": [1]}}"#, json!({"outcomes": {}}), 1),
            (r#"[{"key": 1, "a": {"b": 2}}, {"z": []}]"#, json!([{"key": 1}, {}]), 2),
            ("null", json!(null), 1),
        ] {
            let body = parse(text);
            assert_eq!((body.value, body.items), (value, items), "{text}");
        }
        for broken in ["", "[", "[1 2]", "{\"a\"}", "[1] 2"] {
            assert!(OutcomesBody::parse(broken, 2).is_err_and(|error| !error.is_data()), "{broken}");
        }
    }

    #[test]
    fn fields_that_no_outcome_has_and_fields_that_come_twice_are_listed() {
        let fault = |item, name: &str, is_repeated| FieldFault { item, name: name.to_owned(), is_repeated };
        let body =
            OutcomesBody::parse(r#"[{"label": 1, "a": 2}, {"key": 1, "label": 2, "label": 3}]"#, 9).unwrap();
        assert_eq!(body.value, json!([{"label": 1}, {"key": 1, "label": 2}]));
        assert_eq!(body.faults, [fault(0, "a", false), fault(1, "label", true)]);
        for (text, name) in
            [(r#"{"label": 1, "label": 1}"#, "label"), (r#"{"outcomes": [], "outcomes": [{}]}"#, "outcomes")]
        {
            assert_eq!(OutcomesBody::parse(text, 9).unwrap().faults, [fault(0, name, true)]);
        }
        let item = "{\"a\":0,\"b\":0,\"c\":0}";
        let body = OutcomesBody::parse(&format!("[{}]", vec![item; 1000].join(",")), 1000).unwrap();
        assert_eq!(
            (body.faults.len(), body.unlisted_faults),
            (Violations::LISTED, 3000 - Violations::LISTED)
        );
    }

    #[test]
    fn values_that_nest_without_end_are_not_read_on() {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let nested = |depth: usize| format!("{}1{}", open.repeat(depth), close.repeat(depth));
            for place in ["V", "[V]", "[1, 2, 3, V]", r#"{"id": V}"#, r#"{"outcomes": [{"id": V}]}"#] {
                assert!(OutcomesBody::parse(&place.replace('V', &nested(20)), 2).is_ok(), "{place}");
                let error = OutcomesBody::parse(&place.replace('V', &nested(100_000)), 2).unwrap_err();
                assert!(error.is_data(), "{place}: {error}");
            }
        }
    }

    #[test]
    fn an_object_of_many_fields_is_not_read_on() {
        let fields: Vec<String> = (0..=MAX_FIELDS).map(|field| format!("\"f{field}\": 1")).collect();
        let object = |count: usize| format!("{{{}}}", fields[..count].join(","));
        assert!(OutcomesBody::parse(&object(MAX_FIELDS), 2).is_ok());
        for text in [object(MAX_FIELDS + 1), format!("[{}]", object(MAX_FIELDS + 1))] {
            assert!(OutcomesBody::parse(&text, 2).is_err_and(|error| error.is_data()));
        }
    }

    #[test]
    fn what_is_kept_is_no_more_than_was_asked_for_however_much_there_is() {
        for item in ["{}", "{\"\":0}", "[[],[]]", "{\"id\":[0,0,0,0],\"key\":{\"a\":{\"a\":0}}}"] {
            let list = format!("[{}]", vec![item; 50_000].join(","));
            let body = OutcomesBody::parse(&list, 10).unwrap();
            assert_eq!(body.items, 50_000);
            let kept = body.value.as_array().unwrap();
            assert!(kept.len() == 10 && body.value.to_string().len() < 500, "{}", body.value);
        }
    }
}
