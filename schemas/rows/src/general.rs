//! The general reader: all of JSON, and every violation.

use onnward_schemas::{Kept, Mismatch, Rows, Schema, Violation, Violations, pointer_to};
use serde::de::Deserializer;

use crate::body::BodyVisitor;
use crate::json_tokens::JsonTokens;
use crate::keys::RowKeys;
use crate::limits::RowsLimits;
use crate::parser::{BodyShape, ParsedRows, RowParser};

/// Reads the rows of a body. The inner result lists the violations of every row.
pub fn read<'de, D: Deserializer<'de>>(
    parser: &RowParser,
    body: D,
    limits: RowsLimits,
    keeps_keys: bool,
) -> Result<Result<ParsedRows, Violations>, D::Error> {
    let schema = parser.schema();
    let mut reader = Reader {
        schema,
        tokens: &parser.tokens,
        max_rows: limits.max_rows_of(schema.features.len()),
        required: schema.features.iter().filter(|feature| feature.required).count(),
        values: Vec::new(),
        kept: Vec::new(),
        keeps_keys: keeps_keys && schema.identifier.is_some(),
        keys: RowKeys::default(),
        last_seen: vec![0; schema.features.len()],
        begun: 0,
        len: 0,
        violations: Violations::default(),
    };
    let shape = body.deserialize_any(BodyVisitor { reader: &mut reader })?;
    reader.check_len(shape, limits);
    let Reader { values, kept, keys, len, violations, .. } = reader;
    let rows = Rows { values, kept, len };
    Ok(if violations.is_empty() { Ok(ParsedRows { rows, keys, shape }) } else { Err(violations) })
}

/// The state of the general reader.
///
/// A row costs the work of the fields that it has, and no more once there is a violation: only its own fields
/// are marked as seen, what it lacks is counted and not listed, and the matrix is not filled.
pub struct Reader<'a> {
    pub schema: &'a Schema,
    pub tokens: &'a [JsonTokens],
    pub max_rows: usize,
    /// The number of required features of a row.
    pub required: usize,
    /// The matrix; empty once there is a violation.
    pub values: Vec<f32>,
    /// The kept values; empty once there is a violation.
    pub kept: Vec<Kept>,
    pub keeps_keys: bool,
    pub keys: RowKeys,
    /// In which row each feature was last seen, by the row's place among those begun, counted from 1.
    pub last_seen: Vec<usize>,
    /// The number of rows that have been begun.
    pub begun: usize,
    pub len: usize,
    pub violations: Violations,
}

/// The position of a row in the body.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    pub parent: &'a str,
    pub row: Option<usize>,
}

impl Place<'_> {
    /// Returns the row's JSON pointer.
    pub fn pointer(self) -> String {
        match self.row {
            Some(row) => format!("{}/{row}", self.parent),
            None => self.parent.to_owned(),
        }
    }
}

impl Reader<'_> {
    /// Rejects the body as a whole.
    pub fn reject_body(&mut self, pointer: &str, expected: &str, got: &str) {
        self.violations.push(|| Violation {
            pointer: pointer.to_owned(),
            row: None,
            expected: expected.to_owned(),
            got: got.to_owned(),
        });
    }

    /// Rejects a field of a row. The message is built only while violations are listed.
    pub fn reject_field(&mut self, place: Place<'_>, message: impl FnOnce() -> (String, Mismatch)) {
        self.violations.push(|| {
            let (field, Mismatch { expected, got }) = message();
            let pointer = pointer_to(&place.pointer(), &field);
            Violation { pointer, row: Some(place.row.unwrap_or(0)), expected, got }
        });
    }

    fn check_len(&mut self, shape: BodyShape, limits: RowsLimits) {
        let (len, max_rows) = (self.len, self.max_rows);
        if len > max_rows {
            let features = self.schema.features.len();
            self.violations.push(|| Violation {
                pointer: String::new(),
                row: None,
                expected: if max_rows == limits.max_rows {
                    format!("at most {max_rows} rows")
                } else {
                    format!("at most {max_rows} rows of {features} features")
                },
                got: format!("{len} rows"),
            });
        } else if len == 0 && shape != BodyShape::Single && self.violations.is_empty() {
            self.reject_body("", "at least one row", "an empty array");
        }
    }
}
