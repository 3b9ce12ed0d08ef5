//! Reads one row: its fields' names and values.

use std::fmt;

use memchr::arch::all::is_equal;
use onnward_schemas::{Feature, FeatureKind, INSTANCES, Kept, Mismatch, Scalar, Value, Violations, shorten};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::array::read_array;
use crate::body::ROWS;
use crate::general::{Place, Reader};
use crate::json_tokens::JsonTokens;
use crate::keys::KeySeed;
use crate::skip::Skip;

/// One row while it is read: its part of the matrix starts as all missing.
pub struct RowReader<'r, 's, 'p> {
    pub reader: &'r mut Reader<'s>,
    place: Place<'p>,
    /// The start of its values and of its kept values; `None` after a violation, when there is no matrix any more.
    starts: Option<(usize, usize)>,
    /// The feature after the last one read: clients mostly keep the schema's order.
    next: usize,
    /// The row's value of the schema's identifier, if keys are kept.
    key: Option<String>,
    /// The number of its features, and how many of them are arrays.
    features: usize,
    arrays: usize,
    /// Its first unknown field that is an array or an object.
    wrapper: Option<String>,
    /// Whether the row has the identifier.
    has_identifier: bool,
    /// The number of further fields that it may have.
    fields_left: usize,
    /// The number of required features that are still missing.
    required_left: usize,
    /// Whether no field has been read yet.
    pub is_untouched: bool,
}

/// The maximum number of fields in a row beside those of the schema. They are reported up to this number; a
/// row with more is not read to its end.
const FIELDS_BESIDE: usize = 256;

/// The meaning of a field's name.
pub enum Field {
    Feature(usize),
    Identifier,
    /// The name under which a body may hold its rows.
    Instances,
    /// No field of the schema; its name, where violations are still listed.
    Unknown(Option<String>),
}

impl<'r, 's, 'p> RowReader<'r, 's, 'p> {
    /// Begins a row.
    pub fn start(reader: &'r mut Reader<'s>, place: Place<'p>) -> Self {
        let features = reader.schema.features.len();
        reader.begun += 1;
        let starts = if reader.violations.is_empty() {
            let starts = (reader.values.len(), reader.kept.len());
            reader.values.resize(starts.0 + features, f32::NAN);
            reader.kept.resize(starts.1 + reader.schema.kept_features().len(), Kept::Missing);
            Some(starts)
        } else {
            (reader.values, reader.kept) = (Vec::new(), Vec::new());
            None
        };
        let (fields_left, required_left) = (features + FIELDS_BESIDE, reader.required);
        Self {
            reader,
            place,
            starts,
            next: 0,
            key: None,
            features: 0,
            arrays: 0,
            wrapper: None,
            has_identifier: false,
            fields_left,
            required_left,
            is_untouched: true,
        }
    }

    /// Takes a row back that turned out to be none.
    pub fn abandon(self) -> &'r mut Reader<'s> {
        if let Some((values, kept)) = self.starts {
            self.reader.values.truncate(values);
            self.reader.kept.truncate(kept);
        }
        self.reader
    }

    fn find(&self, name: &str) -> Field {
        let schema = self.reader.schema;
        let is_named = |feature: &Feature| is_equal(feature.name.as_bytes(), name.as_bytes());
        if schema.features.get(self.next).is_some_and(is_named) {
            return Field::Feature(self.next);
        }
        match schema.index_of(name) {
            Some(index) => Field::Feature(index),
            None if name == INSTANCES => Field::Instances,
            None if schema.identifier.as_deref() == Some(name) => Field::Identifier,
            None => Field::Unknown(self.reader.violations.has_room().then(|| name.to_owned())),
        }
    }

    /// Reads a field's value.
    pub fn read<'de, A: MapAccess<'de>>(&mut self, field: Field, fields: &mut A) -> Result<(), A::Error> {
        self.is_untouched = false;
        let too_many = || A::Error::custom("a row has far more fields than the schema");
        self.fields_left = self.fields_left.checked_sub(1).ok_or_else(too_many)?;
        match field {
            Field::Feature(index) => self.read_feature(index, fields),
            Field::Identifier => self.read_identifier(fields),
            Field::Instances if self.reader.schema.identifier.as_deref() == Some(INSTANCES) => {
                self.read_identifier(fields)
            }
            Field::Instances => self.read_unknown(Some(INSTANCES), fields),
            Field::Unknown(name) => self.read_unknown(name.as_deref(), fields),
        }
    }

    fn read_feature<'de, A: MapAccess<'de>>(&mut self, index: usize, fields: &mut A) -> Result<(), A::Error> {
        self.next = index + 1;
        let reader = &mut *self.reader;
        let feature = &reader.schema.features[index];
        let kept = self.starts.zip(reader.schema.kept_index(index));
        let kept = kept.and_then(|((_, start), at)| reader.kept.get_mut(start + at));
        let is_listed = reader.violations.has_room();
        let encoded = fields.next_value_seed(FeatureSeed {
            feature,
            tokens: &reader.tokens[index],
            kept,
            is_listed,
        })?;
        self.features += 1;
        if let Err(Some(mismatch)) = &encoded {
            self.arrays += usize::from(mismatch.got == Value::Array.describe());
        }
        if std::mem::replace(&mut reader.last_seen[index], reader.begun) == reader.begun {
            reader.reject_field(self.place, || (feature.name.clone(), Mismatch::repeated_field()));
            return Ok(());
        }
        self.required_left -= usize::from(feature.required);
        match encoded {
            Ok(value) => {
                if let Some((start, _)) = self.starts {
                    reader.values[start + index] = value;
                }
            }
            Err(Some(mismatch)) => reader.reject_field(self.place, || (feature.name.clone(), mismatch)),
            Err(None) => reader.violations.add_unlisted(1),
        }
        Ok(())
    }

    /// Reads the schema's identifier, which is accepted whatever it holds.
    fn read_identifier<'de, A: MapAccess<'de>>(&mut self, fields: &mut A) -> Result<(), A::Error> {
        if std::mem::replace(&mut self.has_identifier, true) {
            let name = self.reader.schema.identifier.clone().unwrap_or_default();
            self.reader.reject_field(self.place, || (name, Mismatch::repeated_field()));
        }
        if self.reader.keeps_keys {
            self.key = fields.next_value_seed(KeySeed)?;
            return Ok(());
        }
        fields.next_value_seed(Skip::default()).map(drop)
    }

    /// Reads a field that the schema does not have.
    fn read_unknown<'de, A: MapAccess<'de>>(
        &mut self,
        name: Option<&str>,
        fields: &mut A,
    ) -> Result<(), A::Error> {
        let is_container = fields.next_value_seed(Skip::default())?;
        if is_container && self.wrapper.is_none() {
            self.wrapper = name.map(shorten);
        }
        let schema = self.reader.schema;
        match name {
            Some(name) => {
                self.reader.reject_field(self.place, || (shorten(name), schema.unknown_field(name)));
            }
            None => self.reader.violations.add_unlisted(1),
        }
        Ok(())
    }

    /// Ends the only row of a body. One that has the form of another system is rejected as a whole, with the
    /// form that is right, and not field by field.
    pub fn finish_single(self) {
        let other_form = match &self.wrapper {
            Some(wrapper) if self.features == 0 && !self.has_identifier => Some(format!(
                "an object that has them in \"{wrapper}\"{}",
                match wrapper.as_str() {
                    "dataframe_split" | "dataframe_records" => ", as MLflow does",
                    "inputs" => ", as the Open Inference protocol and TensorFlow Serving do",
                    "data" => ", as Seldon does",
                    _ => "",
                }
            )),
            None if self.features > 1 && self.arrays == self.features => {
                Some("an array of values in each field, one column after the other".to_owned())
            }
            _ => None,
        };
        let Some(got) = other_form else { return self.finish() };
        let reader = self.abandon();
        reader.violations = Violations::default();
        reader.reject_body("", ROWS, &got);
    }

    /// Ends the row: rejects every required feature that it lacks.
    pub fn finish(mut self) {
        self.reject_missing();
        if self.reader.keeps_keys {
            self.reader.keys.push(self.key.as_deref());
        }
        if self.place.row.is_none() {
            self.reader.len = 1;
        }
    }

    fn reject_missing(&mut self) {
        let schema = self.reader.schema;
        let reader = &mut *self.reader;
        let mut features = schema.features.iter().enumerate();
        while self.required_left > 0 && reader.violations.has_room() {
            let Some((index, feature)) = features.next() else { break };
            if feature.required && reader.last_seen[index] != reader.begun {
                self.required_left -= 1;
                let message = || (feature.name.clone(), feature.mismatch(Value::Missing));
                reader.reject_field(self.place, message);
            }
        }
        reader.violations.add_unlisted(self.required_left);
    }
}

/// Reads a field's name.
pub struct NameSeed<'a, 'r, 's, 'p> {
    pub row: &'a RowReader<'r, 's, 'p>,
}

impl<'de> DeserializeSeed<'de> for NameSeed<'_, '_, '_, '_> {
    type Value = Field;

    fn deserialize<D: Deserializer<'de>>(self, name: D) -> Result<Field, D::Error> {
        name.deserialize_str(self)
    }
}

impl Visitor<'_> for NameSeed<'_, '_, '_, '_> {
    type Value = Field;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Field, E> {
        Ok(self.row.find(name))
    }
}

/// Reads and encodes a feature's value. The error is empty once messages are not listed any more.
struct FeatureSeed<'s, 't> {
    feature: &'s Feature,
    tokens: &'s JsonTokens,
    /// The destination of a value that is kept.
    kept: Option<&'t mut Kept>,
    /// Whether a violation is still listed with its message.
    is_listed: bool,
}

/// The code of a value, or why it has none, where that is listed.
type Encoded = Result<f32, Option<Mismatch>>;

impl FeatureSeed<'_, '_> {
    #[inline]
    fn encode(&self, value: Value<'_>) -> Encoded {
        let mismatch = || self.is_listed.then(|| self.feature.mismatch(value));
        self.tokens.accept(self.feature, value).ok_or_else(mismatch)
    }

    /// Encodes a scalar, or keeps it where the feature has a type of its own. `value` is the same for messages.
    #[inline]
    fn scalar(self, scalar: Scalar<'_>, value: Value<'_>) -> Encoded {
        let FeatureKind::Kept(kept) = &self.feature.kind else { return self.encode(value) };
        let is_permitted = scalar != Scalar::Null || self.feature.may_be_missing();
        self.keep(kept.keep(scalar).filter(|_| is_permitted), value)
    }

    /// Keeps a value. There is none if the feature's type does not hold it.
    fn keep(self, kept: Option<Kept>, value: Value<'_>) -> Encoded {
        match (kept, self.kept) {
            (None, _) => Err(self.is_listed.then(|| self.feature.mismatch(value))),
            (Some(kept), Some(destination)) => {
                *destination = kept;
                Ok(f32::NAN)
            }
            (Some(_), None) => Ok(f32::NAN),
        }
    }
}

impl<'de> DeserializeSeed<'de> for FeatureSeed<'_, '_> {
    type Value = Encoded;

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<Self::Value, D::Error> {
        value.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for FeatureSeed<'_, '_> {
    type Value = Encoded;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(self.scalar(Scalar::Boolean(value), Value::Boolean(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(self.scalar(Scalar::Integer(value.into()), Value::Number(value as f64)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(self.scalar(Scalar::Integer(value.into()), Value::Number(value as f64)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(self.scalar(Scalar::Float(value), Value::Number(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        if let FeatureKind::Kept(_) = self.feature.kind {
            return Ok(self.scalar(Scalar::Text(value), Value::Text(value)));
        }
        let encoded = self.encode(Value::Text(value));
        if let Some(kept) = self.kept {
            *kept = Kept::Text(value.to_owned());
        }
        Ok(encoded)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(self.scalar(Scalar::Null, Value::Missing))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Self::Value, A::Error> {
        let FeatureKind::Kept(kept) = &self.feature.kind else {
            Skip::default().items(items)?;
            return Ok(self.encode(Value::Array));
        };
        let array = read_array(kept, items)?;
        Ok(self.keep(array, Value::Array))
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Self::Value, A::Error> {
        Skip::default().fields(fields)?;
        Ok(self.encode(Value::Object))
    }
}
