//! One row: its fields' names and values.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::keys::KeySeed as RowKeySeed;
use super::skip::Skip;
use super::{Place, Reader};
use crate::encode::{Value, same, shorten};
use crate::feature::Feature;
use crate::violation::Mismatch;

/// One row while it is read: its part of the matrix starts as all missing.
pub struct RowReader<'r, 's, 'p> {
    pub reader: &'r mut Reader<'s>,
    place: Place<'p>,
    start: usize,
    texts_start: usize,
    /// The feature after the last one read: clients mostly keep the schema's order.
    next: usize,
    /// What the row has in the schema's identifier, where that is kept.
    key: Option<String>,
    /// How many more fields it may have.
    fields_left: usize,
    /// Whether no field has been read yet.
    pub untouched: bool,
}

/// How many fields a row may have beside those of the schema before nobody reads on: all that are wrong are told of until then.
const FIELDS_BESIDE: usize = 256;

/// What a field's name stands for.
pub enum Key {
    Feature(usize),
    Other(String),
}

impl<'r, 's, 'p> RowReader<'r, 's, 'p> {
    pub fn start(reader: &'r mut Reader<'s>, place: Place<'p>) -> Self {
        let features = reader.schema.features.len();
        let start = reader.values.len();
        reader.values.resize(start + features, f32::NAN);
        let texts_start = reader.texts.len();
        reader.texts.resize(texts_start + reader.schema.texts.len(), String::new());
        reader.given.clear();
        reader.given.resize(features, false);
        let fields_left = features + FIELDS_BESIDE;
        Self { reader, place, start, texts_start, next: 0, key: None, fields_left, untouched: true }
    }

    pub fn abandon(self) -> &'r mut Reader<'s> {
        self.reader.values.truncate(self.start);
        self.reader.texts.truncate(self.texts_start);
        self.reader
    }

    fn find(&self, name: &str) -> Key {
        let schema = self.reader.schema;
        if schema.features.get(self.next).is_some_and(|feature| same(&feature.name, name)) {
            return Key::Feature(self.next);
        }
        schema.index_of(name).map_or_else(|| Key::Other(name.to_owned()), Key::Feature)
    }

    pub fn read<'de, A: MapAccess<'de>>(&mut self, key: Key, fields: &mut A) -> Result<(), A::Error> {
        self.untouched = false;
        let too_many = || A::Error::custom("a row has far more fields than the schema");
        self.fields_left = self.fields_left.checked_sub(1).ok_or_else(too_many)?;
        let schema = self.reader.schema;
        match key {
            Key::Feature(index) => {
                let feature = &schema.features[index];
                self.next = index + 1;
                let text = schema.text_index(index).map(|at| &mut self.reader.texts[self.texts_start + at]);
                let encoded = fields.next_value_seed(FeatureSeed { feature, text })?;
                if std::mem::replace(&mut self.reader.given[index], true) {
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
                if self.reader.keeps_keys && schema.identifier.as_deref() == Some(&*name) {
                    self.key = fields.next_value_seed(RowKeySeed)?;
                    return Ok(());
                }
                fields.next_value_seed(Skip::default())?;
                if let Some(mismatch) = self.reader.unknown_field(&name) {
                    self.reader.refuse_field(self.place, &shorten(&name), mismatch);
                }
            }
        }
        Ok(())
    }

    pub fn finish(self) {
        let schema = self.reader.schema;
        for (index, feature) in schema.features.iter().enumerate() {
            if !self.reader.given[index]
                && let Err(mismatch) = feature.encode(Value::Missing)
            {
                self.reader.refuse_field(self.place, &feature.name, mismatch);
            }
        }
        if self.reader.keeps_keys {
            self.reader.keys.push(self.key.as_deref());
        }
        if self.place.row.is_none() {
            self.reader.len = 1;
        }
    }
}

/// Reads a field's name as what it stands for in a row.
pub struct KeySeed<'a, 'r, 's, 'p> {
    pub row: &'a RowReader<'r, 's, 'p>,
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

struct FeatureSeed<'s, 't> {
    feature: &'s Feature,
    /// Where a text that is kept goes.
    text: Option<&'t mut String>,
}

impl<'de> DeserializeSeed<'de> for FeatureSeed<'_, '_> {
    type Value = Result<f32, Mismatch>;

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<Self::Value, D::Error> {
        value.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for FeatureSeed<'_, '_> {
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
        if let Some(text) = self.text {
            value.clone_into(text);
        }
        Ok(self.feature.encode(Value::Text(value)))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(self.feature.encode(Value::Missing))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Self::Value, A::Error> {
        Skip::default().items(items)?;
        Ok(self.feature.encode(Value::Array))
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Self::Value, A::Error> {
        Skip::default().fields(fields)?;
        Ok(self.feature.encode(Value::Object))
    }
}
