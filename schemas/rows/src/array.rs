//! Reads nested lists, which some inputs of external graphs take.

use std::fmt;

use onnward_schemas::{ArrayBuilder, Kept, KeptType, Scalar};
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::skip::Skip;

/// Reads the rest of a list. `None` if it does not fit the type: it is then read to its end and dropped.
pub fn read_array<'de, A: SeqAccess<'de>>(kept: &KeptType, items: A) -> Result<Option<Kept>, A::Error> {
    let mut array = ArrayBuilder::new(kept);
    let fits = read_items(&mut array, kept.shape.len(), 0, items)?;
    Ok(fits.then(|| array.finish()))
}

/// Reads the rest of a list that lies in `depth` others. Lists deeper than `rank` are skipped.
fn read_items<'de, A: SeqAccess<'de>>(
    array: &mut ArrayBuilder<'_>,
    rank: usize,
    depth: usize,
    mut items: A,
) -> Result<bool, A::Error> {
    if depth >= rank {
        Skip::default().items(items)?;
        return Ok(false);
    }
    let mut len = 0;
    while let Some(fits) = items.next_element_seed(Item { array: &mut *array, rank, depth: depth + 1 })? {
        if !fits {
            Skip::default().items(items)?;
            return Ok(false);
        }
        len += 1;
    }
    Ok(array.end_list(len, depth))
}

/// An item of a list: an element, or another list.
struct Item<'a, 'k> {
    array: &'a mut ArrayBuilder<'k>,
    rank: usize,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Item<'_, '_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, item: D) -> Result<bool, D::Error> {
        item.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Item<'_, '_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an element or a list of them")
    }

    fn visit_bool<E>(self, value: bool) -> Result<bool, E> {
        Ok(self.array.add(Scalar::Boolean(value), self.depth))
    }

    fn visit_i64<E>(self, value: i64) -> Result<bool, E> {
        Ok(self.array.add(Scalar::Integer(value.into()), self.depth))
    }

    fn visit_u64<E>(self, value: u64) -> Result<bool, E> {
        Ok(self.array.add(Scalar::Integer(value.into()), self.depth))
    }

    fn visit_f64<E>(self, value: f64) -> Result<bool, E> {
        Ok(self.array.add(Scalar::Float(value), self.depth))
    }

    fn visit_str<E>(self, value: &str) -> Result<bool, E> {
        Ok(self.array.add(Scalar::Text(value), self.depth))
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(self.array.add(Scalar::Null, self.depth))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<bool, A::Error> {
        read_items(self.array, self.rank, self.depth, items)
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<bool, A::Error> {
        Skip::default().fields(fields)?;
        Ok(false)
    }
}
