//! Skips values that no field of the schema needs, without keeping them.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// The maximum nesting of a skipped value. No field of a schema is nested at all.
const MAX_DEPTH: u32 = 32;

/// Skips a value. One that is nested deeper than any honest one is an error.
///
/// ```
/// use onnward_rows::Skip;
/// use serde::de::DeserializeSeed;
///
/// let skip = |text: &str| Skip::default().deserialize(&mut serde_json::Deserializer::from_str(text));
/// assert!(skip(r#"{"a": [1, {"b": null}]}"#).is_ok());
/// assert!(skip(&"[".repeat(100_000)).is_err_and(|error| error.is_data()));
/// ```
#[derive(Debug)]
pub struct Skip {
    depth_left: u32,
}

impl Default for Skip {
    fn default() -> Self {
        Self { depth_left: MAX_DEPTH }
    }
}

impl Skip {
    /// Skips the rest of an array.
    ///
    /// # Errors
    /// The deserializer's, and one of data for an item that is nested too deep.
    pub fn items<'de, A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let depth_left = self.deeper()?;
        while items.next_element_seed(Self { depth_left })?.is_some() {}
        Ok(())
    }

    /// Skips the rest of an object.
    ///
    /// # Errors
    /// The deserializer's, and one of data for a value that is nested too deep.
    pub fn fields<'de, A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let depth_left = self.deeper()?;
        while fields.next_key::<IgnoredAny>()?.is_some() {
            fields.next_value_seed(Self { depth_left })?;
        }
        Ok(())
    }

    fn deeper<E: Error>(&self) -> Result<u32, E> {
        let too_deep = || E::custom(format_args!("values are nested deeper than {MAX_DEPTH} levels"));
        self.depth_left.checked_sub(1).ok_or_else(too_deep)
    }
}

/// Whether a skipped value is an array or an object.
pub type IsContainer = bool;

impl<'de> DeserializeSeed<'de> for Skip {
    type Value = IsContainer;

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<IsContainer, D::Error> {
        value.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Skip {
    type Value = IsContainer;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<IsContainer, E> {
        Ok(false)
    }

    fn visit_i64<E>(self, _: i64) -> Result<IsContainer, E> {
        Ok(false)
    }

    fn visit_u64<E>(self, _: u64) -> Result<IsContainer, E> {
        Ok(false)
    }

    fn visit_f64<E>(self, _: f64) -> Result<IsContainer, E> {
        Ok(false)
    }

    fn visit_str<E>(self, _: &str) -> Result<IsContainer, E> {
        Ok(false)
    }

    fn visit_unit<E>(self) -> Result<IsContainer, E> {
        Ok(false)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<IsContainer, A::Error> {
        self.items(items).map(|()| true)
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<IsContainer, A::Error> {
        self.fields(fields).map(|()| true)
    }
}
