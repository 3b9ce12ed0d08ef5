//! The clients' own keys of rows: the values of the schema's identifier.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::skip::Skip;

/// The keys of a request's rows, in the order of the rows. A row may have none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RowKeys {
    /// The keys one after the other: few allocations, however many rows.
    text: String,
    /// The end of each row's key in the text. A row without a key has the end of the previous one.
    ends: Vec<usize>,
}

impl RowKeys {
    /// Adds the next row's key.
    pub fn push(&mut self, key: Option<&str>) {
        self.text.push_str(key.unwrap_or_default());
        self.ends.push(self.text.len());
    }

    /// Returns the key of a row; `None` for a row without one, and for every row where keys were not kept.
    pub fn get(&self, row: usize) -> Option<&str> {
        let start = row.checked_sub(1).map_or(Some(0), |before| self.ends.get(before).copied())?;
        self.text.get(start..*self.ends.get(row)?).filter(|key| !key.is_empty())
    }

    /// Returns whether no row has a key.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }
}

/// Reads a key: a string or a number. Any other value is accepted and is no key.
pub struct KeySeed;

impl<'de> DeserializeSeed<'de> for KeySeed {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<Self::Value, D::Error> {
        value.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for KeySeed {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(Some(key.to_owned()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Some(number.to_string()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Some(number.to_string()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Some(number.to_string()))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Self::Value, A::Error> {
        Skip::default().items(items)?;
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Self::Value, A::Error> {
        Skip::default().fields(fields)?;
        Ok(None)
    }
}
