//! The containers of a body: what holds the rows, and what stands where rows belong.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::row::{Key, KeySeed, RowReader};
use super::skip::Skip;
use super::{Place, Reader, RowsForm};
use crate::encode::shorten;
use crate::violation::{Violation, pointer_to};

/// The key under which a body may hold its rows.
pub const INSTANCES: &str = "instances";

pub struct BodyVisitor<'r, 's> {
    pub reader: &'r mut Reader<'s>,
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
    while let Some(name) = fields.next_key::<String>()? {
        fields.next_value_seed(Skip::default())?;
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
            rows.next_element_seed(Skip::default())?.is_some()
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

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<(), A::Error> {
        Skip::default().fields(fields)?;
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

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<(), A::Error> {
        Skip::default().items(items)?;
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
