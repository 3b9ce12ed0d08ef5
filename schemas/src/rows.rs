//! A request's rows, read from its body straight into the `features` matrix: no tree of values in between, every
//! violation collected on the way.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::encode::{Value, shorten};
use crate::feature::Feature;
use crate::schema::Schema;
use crate::violation::{Mismatch, Violation, Violations, pointer_to};

/// Rows encoded for a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Rows {
    /// The `features` matrix, row after row: `[rows, features]`.
    pub values: Vec<f32>,
    /// How many rows there are.
    pub len: usize,
    /// Whether one row was given or a list of rows.
    pub form: RowsForm,
}

/// How the rows stood in the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowsForm {
    /// One object: the answer is one object too.
    Single,
    /// An array of objects, or an object with such an array as `instances`.
    Many,
}

/// What bounds the reading of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowsLimits {
    /// How many rows a body may hold.
    pub max_rows: usize,
}

/// The key under which a body may hold its rows.
const INSTANCES: &str = "instances";

impl Schema {
    /// Reads rows: one object of named fields, an array of them, or `{"instances": [...]}`. The inner result lists every
    /// violation of every row.
    ///
    /// # Errors
    /// Whatever the deserializer itself finds wrong, such as broken syntax.
    pub fn read_rows<'de, D>(&self, body: D, limits: RowsLimits) -> Result<Result<Rows, Violations>, D::Error>
    where
        D: Deserializer<'de>,
    {
        let mut reader =
            Reader { schema: self, limits, values: Vec::new(), len: 0, violations: Violations::default() };
        let form = body.deserialize_any(BodyVisitor { reader: &mut reader })?;
        reader.check_len(form);
        let Reader { values, len, violations, .. } = reader;
        Ok(if violations.is_empty() { Ok(Rows { values, len, form }) } else { Err(violations) })
    }
}

struct Reader<'a> {
    schema: &'a Schema,
    limits: RowsLimits,
    values: Vec<f32>,
    len: usize,
    violations: Violations,
}

/// Where a row stands in the body.
#[derive(Clone, Copy)]
struct Place<'a> {
    parent: &'a str,
    row: Option<usize>,
}

impl Place<'_> {
    fn pointer(self) -> String {
        match self.row {
            Some(row) => format!("{}/{row}", self.parent),
            None => self.parent.to_owned(),
        }
    }
}

impl Reader<'_> {
    fn refuse_body(&mut self, pointer: &str, expected: &str, got: &str) {
        self.violations.push(|| Violation {
            pointer: pointer.to_owned(),
            row: None,
            expected: expected.to_owned(),
            got: got.to_owned(),
        });
    }

    fn refuse_field(&mut self, place: Place<'_>, field: &str, mismatch: Mismatch) {
        self.violations.push(|| Violation {
            pointer: pointer_to(&place.pointer(), field),
            row: Some(place.row.unwrap_or(0)),
            expected: mismatch.expected,
            got: mismatch.got,
        });
    }

    fn check_len(&mut self, form: RowsForm) {
        let max_rows = self.limits.max_rows;
        if self.len > max_rows {
            let got = format!("{} rows", self.len);
            self.violations.push(|| Violation {
                pointer: String::new(),
                row: None,
                expected: format!("at most {max_rows} rows"),
                got,
            });
        } else if self.len == 0 && form == RowsForm::Many && self.violations.is_empty() {
            self.violations.push(|| Violation {
                pointer: String::new(),
                row: None,
                expected: "at least one row".to_owned(),
                got: "an empty array".to_owned(),
            });
        }
    }

    /// What a field that is no feature is told. The schema's identifier is accepted and not used.
    fn unknown_field(&self, field: &str) -> Option<Mismatch> {
        let schema = self.schema;
        if schema.identifier.as_deref() == Some(field) {
            return None;
        }
        let expected = if field == schema.label.column {
            "no value for the label, which is what the model predicts".to_owned()
        } else {
            let alike = |feature: &&Feature| feature.name.eq_ignore_ascii_case(field);
            match schema.features.iter().find(alike) {
                Some(feature) => format!("a field of the schema, such as \"{}\"", feature.name),
                None => format!("only fields of the schema {}", schema.name),
            }
        };
        Some(Mismatch { expected, got: format!("the unknown field \"{}\"", shorten(field)) })
    }
}

struct BodyVisitor<'r, 's> {
    reader: &'r mut Reader<'s>,
}

/// Scalars where a container belongs: each is told to `$refuse` by its name.
macro_rules! refuse_scalars {
    ($result:ty, $refuse:ident) => {
        fn visit_bool<E>(self, _: bool) -> Result<$result, E> {
            Ok(self.$refuse("a truth value"))
        }
        fn visit_i64<E>(self, _: i64) -> Result<$result, E> {
            Ok(self.$refuse("a number"))
        }
        fn visit_u64<E>(self, _: u64) -> Result<$result, E> {
            Ok(self.$refuse("a number"))
        }
        fn visit_f64<E>(self, _: f64) -> Result<$result, E> {
            Ok(self.$refuse("a number"))
        }
        fn visit_str<E>(self, _: &str) -> Result<$result, E> {
            Ok(self.$refuse("a string"))
        }
        fn visit_unit<E>(self) -> Result<$result, E> {
            Ok(self.$refuse("null"))
        }
    };
}

impl BodyVisitor<'_, '_> {
    fn refuse(self, got: &str) -> RowsForm {
        let expected = "an object of fields, an array of such objects, or {\"instances\": [such objects]}";
        self.reader.refuse_body("", expected, got);
        RowsForm::Single
    }
}

impl<'de> Visitor<'de> for BodyVisitor<'_, '_> {
    type Value = RowsForm;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("rows")
    }

    refuse_scalars!(RowsForm, refuse);

    fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<RowsForm, A::Error> {
        read_list(self.reader, "", &mut rows)?;
        Ok(RowsForm::Many)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<RowsForm, A::Error> {
        let reader = self.reader;
        let mut row = RowReader::start(reader, Place { parent: "", row: None });
        while let Some(key) = fields.next_key_seed(KeySeed { row: &row })? {
            if let Key::Other(name) = &key
                && name == INSTANCES
            {
                if !row.untouched {
                    row.reader.violations.push(|| Violation {
                        pointer: pointer_to("", INSTANCES),
                        row: None,
                        expected: "\"instances\" as the only field".to_owned(),
                        got: "other fields beside it".to_owned(),
                    });
                }
                let reader = row.abandon();
                fields.next_value_seed(InstancesSeed { reader })?;
                refuse_beside_instances(reader, &mut fields)?;
                return Ok(RowsForm::Many);
            }
            row.read(key, &mut fields)?;
        }
        row.finish();
        Ok(RowsForm::Single)
    }
}

fn refuse_beside_instances<'de, A: MapAccess<'de>>(
    reader: &mut Reader<'_>,
    fields: &mut A,
) -> Result<(), A::Error> {
    while let Some((name, IgnoredAny)) = fields.next_entry::<String, IgnoredAny>()? {
        reader.violations.push(|| Violation {
            pointer: pointer_to("", &shorten(&name)),
            row: None,
            expected: "\"instances\" as the only field".to_owned(),
            got: format!("the field \"{}\" beside it", shorten(&name)),
        });
    }
    Ok(())
}

fn read_list<'de, A: SeqAccess<'de>>(
    reader: &mut Reader<'_>,
    parent: &str,
    rows: &mut A,
) -> Result<(), A::Error> {
    loop {
        let more = if reader.len < reader.limits.max_rows {
            let place = Place { parent, row: Some(reader.len) };
            rows.next_element_seed(RowSeed { reader, place })?.is_some()
        } else {
            // Past the limit rows are only counted, for the message.
            rows.next_element::<IgnoredAny>()?.is_some()
        };
        if !more {
            return Ok(());
        }
        reader.len += 1;
    }
}

struct InstancesSeed<'r, 's> {
    reader: &'r mut Reader<'s>,
}

impl InstancesSeed<'_, '_> {
    fn refuse(self, got: &str) {
        self.reader.refuse_body("/instances", "an array of objects of fields", got);
    }
}

impl<'de> DeserializeSeed<'de> for InstancesSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<(), D::Error> {
        value.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for InstancesSeed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of rows")
    }

    refuse_scalars!((), refuse);

    fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<(), A::Error> {
        read_list(self.reader, "/instances", &mut rows)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        self.refuse("an object");
        Ok(())
    }
}

struct RowSeed<'r, 's, 'p> {
    reader: &'r mut Reader<'s>,
    place: Place<'p>,
}

impl RowSeed<'_, '_, '_> {
    fn refuse(self, got: &str) {
        let place = self.place;
        self.reader.violations.push(|| Violation {
            pointer: place.pointer(),
            row: place.row,
            expected: "an object of fields".to_owned(),
            got: got.to_owned(),
        });
    }
}

impl<'de> DeserializeSeed<'de> for RowSeed<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<(), D::Error> {
        value.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for RowSeed<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of fields")
    }

    refuse_scalars!((), refuse);

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        self.refuse("an array");
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let mut row = RowReader::start(self.reader, self.place);
        while let Some(key) = fields.next_key_seed(KeySeed { row: &row })? {
            row.read(key, &mut fields)?;
        }
        row.finish();
        Ok(())
    }
}

/// One row while it is read: its part of the matrix starts as all missing.
struct RowReader<'r, 's, 'p> {
    reader: &'r mut Reader<'s>,
    place: Place<'p>,
    start: usize,
    given: Vec<bool>,
    /// The feature after the last one read: clients mostly keep the schema's order.
    next: usize,
    untouched: bool,
}

enum Key {
    Feature(usize),
    Other(String),
}

impl<'r, 's, 'p> RowReader<'r, 's, 'p> {
    fn start(reader: &'r mut Reader<'s>, place: Place<'p>) -> Self {
        let features = reader.schema.features.len();
        let start = reader.values.len();
        reader.values.resize(start + features, f32::NAN);
        Self { reader, place, start, given: vec![false; features], next: 0, untouched: true }
    }

    fn abandon(self) -> &'r mut Reader<'s> {
        self.reader.values.truncate(self.start);
        self.reader
    }

    fn find(&self, name: &str) -> Key {
        let schema = self.reader.schema;
        if schema.features.get(self.next).is_some_and(|feature| feature.name == name) {
            return Key::Feature(self.next);
        }
        schema.index_of(name).map_or_else(|| Key::Other(name.to_owned()), Key::Feature)
    }

    fn read<'de, A: MapAccess<'de>>(&mut self, key: Key, fields: &mut A) -> Result<(), A::Error> {
        self.untouched = false;
        let schema = self.reader.schema;
        match key {
            Key::Feature(index) => {
                let feature = &schema.features[index];
                self.next = index + 1;
                let encoded = fields.next_value_seed(FeatureSeed { feature })?;
                if std::mem::replace(&mut self.given[index], true) {
                    let expected = "each field once".to_owned();
                    let mismatch = Mismatch { expected, got: "the field a second time".to_owned() };
                    self.reader.refuse_field(self.place, &feature.name, mismatch);
                    return Ok(());
                }
                match encoded {
                    Ok(value) => self.reader.values[self.start + index] = value,
                    Err(mismatch) => self.reader.refuse_field(self.place, &feature.name, mismatch),
                }
            }
            Key::Other(name) => {
                fields.next_value::<IgnoredAny>()?;
                if let Some(mismatch) = self.reader.unknown_field(&name) {
                    self.reader.refuse_field(self.place, &shorten(&name), mismatch);
                }
            }
        }
        Ok(())
    }

    fn finish(self) {
        let schema = self.reader.schema;
        for (feature, given) in schema.features.iter().zip(&self.given) {
            if !given && let Err(mismatch) = feature.encode(Value::Missing) {
                self.reader.refuse_field(self.place, &feature.name, mismatch);
            }
        }
        if self.place.row.is_none() {
            self.reader.len = 1;
        }
    }
}

struct KeySeed<'a, 'r, 's, 'p> {
    row: &'a RowReader<'r, 's, 'p>,
}

impl<'de> DeserializeSeed<'de> for KeySeed<'_, '_, '_, '_> {
    type Value = Key;

    fn deserialize<D: Deserializer<'de>>(self, key: D) -> Result<Key, D::Error> {
        key.deserialize_str(self)
    }
}

impl Visitor<'_> for KeySeed<'_, '_, '_, '_> {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Key, E> {
        Ok(self.row.find(name))
    }
}

struct FeatureSeed<'s> {
    feature: &'s Feature,
}

impl<'de> DeserializeSeed<'de> for FeatureSeed<'_> {
    type Value = Result<f32, Mismatch>;

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<Self::Value, D::Error> {
        value.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for FeatureSeed<'_> {
    type Value = Result<f32, Mismatch>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(self.feature.encode(Value::Boolean(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(self.feature.encode(Value::Number(value as f64)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(self.feature.encode(Value::Number(value as f64)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(self.feature.encode(Value::Number(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(self.feature.encode(Value::Text(value)))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(self.feature.encode(Value::Missing))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(self.feature.encode(Value::Array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
        while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(self.feature.encode(Value::Object))
    }
}

#[cfg(test)]
mod tests;
