//! Reads the containers of a body: the object or the list that holds the rows.

use std::fmt;

use onnward_schemas::{INSTANCES, Violation, Violations, pointer_to, shorten};
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::general::{Place, Reader};
use crate::parser::BodyShape;
use crate::row::{Field, NameSeed, RowReader};
use crate::skip::Skip;

/// The forms that a body may have.
pub const ROWS: &str = "an object of fields, an array of such objects, or {\"instances\": [such objects]}";

/// Reads a whole body.
pub struct BodyVisitor<'r, 's> {
    pub reader: &'r mut Reader<'s>,
}

/// Reads scalars where a container belongs: calls `$reject` with the scalar's name.
macro_rules! reject_scalars {
    ($result:ty, $reject:ident) => {
        fn visit_bool<E>(self, _: bool) -> Result<$result, E> {
            Ok(self.$reject("a Boolean"))
        }
        fn visit_i64<E>(self, _: i64) -> Result<$result, E> {
            Ok(self.$reject("a number"))
        }
        fn visit_u64<E>(self, _: u64) -> Result<$result, E> {
            Ok(self.$reject("a number"))
        }
        fn visit_f64<E>(self, _: f64) -> Result<$result, E> {
            Ok(self.$reject("a number"))
        }
        fn visit_str<E>(self, _: &str) -> Result<$result, E> {
            Ok(self.$reject("a string"))
        }
        fn visit_unit<E>(self) -> Result<$result, E> {
            Ok(self.$reject("null"))
        }
    };
}

impl BodyVisitor<'_, '_> {
    fn reject(self, got: &str) -> BodyShape {
        self.reader.reject_body("", ROWS, got);
        BodyShape::Single
    }
}

impl<'de> Visitor<'de> for BodyVisitor<'_, '_> {
    type Value = BodyShape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("rows")
    }

    reject_scalars!(BodyShape, reject);

    fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<BodyShape, A::Error> {
        read_list(self.reader, "", &mut rows)?;
        Ok(BodyShape::Many)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<BodyShape, A::Error> {
        let reader = self.reader;
        let mut row = RowReader::start(reader, Place { parent: "", row: None });
        while let Some(field) = fields.next_key_seed(NameSeed { row: &row })? {
            if matches!(field, Field::Instances) {
                if !row.is_untouched {
                    row.reader.violations.push(|| Violation {
                        pointer: pointer_to("", INSTANCES),
                        row: None,
                        expected: "\"instances\" as the only field".to_owned(),
                        got: "other fields beside it".to_owned(),
                    });
                }
                let reader = row.abandon();
                fields.next_value_seed(InstancesSeed { reader })?;
                reject_beside_instances(reader, &mut fields)?;
                return Ok(BodyShape::Instances);
            }
            row.read(field, &mut fields)?;
        }
        row.finish_single();
        Ok(BodyShape::Single)
    }
}

fn reject_beside_instances<'de, A: MapAccess<'de>>(
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
    let begun = reader.begun;
    read_items(reader, parent, rows)?;
    if reader.begun == begun && reader.len > 1 {
        // Values without names, in rows or not: one violation says it for all.
        reader.violations = Violations::default();
        reader.reject_body(parent, "an array of objects of fields", "an array of values without their names");
    }
    Ok(())
}

fn read_items<'de, A: SeqAccess<'de>>(
    reader: &mut Reader<'_>,
    parent: &str,
    rows: &mut A,
) -> Result<(), A::Error> {
    loop {
        let more = if reader.len < reader.max_rows {
            let place = Place { parent, row: Some(reader.len) };
            rows.next_element_seed(RowSeed { reader, place })?.is_some()
        } else {
            // Past the limit, rows are only counted for the message.
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
    fn reject(self, got: &str) {
        self.reader.reject_body("/instances", "an array of objects of fields", got);
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

    reject_scalars!((), reject);

    fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<(), A::Error> {
        read_list(self.reader, "/instances", &mut rows)
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<(), A::Error> {
        Skip::default().fields(fields)?;
        self.reject("an object");
        Ok(())
    }
}

struct RowSeed<'r, 's, 'p> {
    reader: &'r mut Reader<'s>,
    place: Place<'p>,
}

impl RowSeed<'_, '_, '_> {
    fn reject(self, got: &str) {
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

    reject_scalars!((), reject);

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<(), A::Error> {
        Skip::default().items(items)?;
        self.reject("an array");
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let mut row = RowReader::start(self.reader, self.place);
        while let Some(field) = fields.next_key_seed(NameSeed { row: &row })? {
            row.read(field, &mut fields)?;
        }
        row.finish();
        Ok(())
    }
}
