//! A request's rows, read from its body straight into the `features` matrix: no tree of values in between, every
//! violation collected on the way.

mod body;
mod cursor;
mod keys;
mod literals;
mod plain;
mod row;
mod skip;

use serde::de::Deserializer;

use self::body::BodyVisitor;
pub use self::keys::RowKeys;
pub(crate) use self::literals::Literals;
use crate::encode::shorten;
use crate::feature::Feature;
use crate::golden::GoldenValue;
use crate::schema::Schema;
use crate::violation::{Mismatch, Violation, Violations, pointer_to};

/// Rows encoded for a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Rows {
    /// The `features` matrix, row after row: `[rows, features]`. It holds NaN in the place of a text.
    pub values: Vec<f32>,
    /// The strings of the features that keep them ([`Feature::is_text`]), row after row: `[rows, text features]`. Empty
    /// where the schema has no such feature.
    pub texts: Vec<String>,
    /// What the rows have in the schema's identifier, where they were read with their keys; else empty.
    pub keys: RowKeys,
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
        self.read(body, limits, false)
    }

    /// As [`Schema::read_rows`], and keeps what each row has in the schema's identifier.
    ///
    /// # Errors
    /// As [`Schema::read_rows`].
    pub fn read_rows_with_keys<'de, D>(
        &self,
        body: D,
        limits: RowsLimits,
    ) -> Result<Result<Rows, Violations>, D::Error>
    where
        D: Deserializer<'de>,
    {
        self.read(body, limits, self.identifier.is_some())
    }

    fn read<'de, D>(
        &self,
        body: D,
        limits: RowsLimits,
        keeps_keys: bool,
    ) -> Result<Result<Rows, Violations>, D::Error>
    where
        D: Deserializer<'de>,
    {
        let mut reader = Reader {
            schema: self,
            limits,
            values: Vec::new(),
            texts: Vec::new(),
            keeps_keys,
            keys: RowKeys::default(),
            given: Vec::new(),
            len: 0,
            violations: Violations::default(),
        };
        let form = body.deserialize_any(BodyVisitor { reader: &mut reader })?;
        reader.check_len(form);
        let Reader { values, texts, keys, len, violations, .. } = reader;
        Ok(if violations.is_empty() { Ok(Rows { values, texts, keys, len, form }) } else { Err(violations) })
    }

    /// Encodes rows of raw values, each holding one for every feature, whatever a request would be refused for.
    pub fn rows_of(&self, rows: &[Vec<GoldenValue>]) -> Rows {
        let encoded = rows.iter().flat_map(|row| self.features.iter().zip(row));
        let values = encoded.map(|(feature, value)| feature.code(value.as_value())).collect();
        let kept = rows.iter().flat_map(|row| self.texts.iter().filter_map(|index| row.get(*index)));
        let texts = kept.map(GoldenValue::text).collect();
        Rows { values, texts, keys: RowKeys::default(), len: rows.len(), form: RowsForm::Many }
    }
}

struct Reader<'a> {
    schema: &'a Schema,
    limits: RowsLimits,
    values: Vec<f32>,
    texts: Vec<String>,
    keeps_keys: bool,
    keys: RowKeys,
    /// Which features the row that is being read has given.
    given: Vec<bool>,
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

    /// What a field that is no feature is told. The schema's identifier is accepted whatever it holds.
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

#[cfg(test)]
mod tests;
