use std::sync::Arc;

use memchr::memchr_iter;
use onnward_schemas::{INSTANCES, Rows, Schema};

use crate::error::ParseError;
use crate::general;
use crate::json_tokens::JsonTokens;
use crate::keys::RowKeys;
use crate::limits::RowsLimits;

/// Reads the rows of requests for one schema.
///
/// Build it once and keep it with the model: it holds the JSON token of each name and category.
#[derive(Debug, Clone, PartialEq)]
pub struct RowParser {
    pub(crate) schema: Arc<Schema>,
    /// The features' JSON tokens, in the order of the features.
    pub(crate) tokens: Vec<JsonTokens>,
}

/// The rows of a body, encoded for the model.
#[derive(Debug, Clone, PartialEq)]
pub struct ParsedRows {
    /// The rows.
    pub rows: Rows,
    /// The rows' values of the schema's identifier, where they were read with their keys; else empty.
    pub keys: RowKeys,
    /// Whether the body holds one row or a list of rows.
    pub shape: BodyShape,
}

/// The shape of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyShape {
    /// One object: the answer is one object too.
    Single,
    /// An array of objects.
    Many,
    /// An object with an array of objects as `instances`.
    Instances,
}

impl BodyShape {
    /// Returns the JSON pointer of a row.
    pub fn pointer_to_row(self, row: usize) -> String {
        match self {
            Self::Single => String::new(),
            Self::Many => format!("/{row}"),
            Self::Instances => format!("/{INSTANCES}/{row}"),
        }
    }
}

impl RowParser {
    /// Builds the parser for a schema.
    pub fn new(schema: impl Into<Arc<Schema>>) -> Self {
        let schema = schema.into();
        let tokens = schema.features.iter().map(JsonTokens::of).collect();
        Self { schema, tokens }
    }

    /// Returns the schema of the rows.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Reads the rows of a body: one object of named fields, an array of them, or `{"instances": [...]}`.
    ///
    /// With `keeps_keys`, what each row has in the schema's identifier is kept.
    ///
    /// # Errors
    /// [`ParseError`]; [`ParseError::Invalid`] lists the violations of every row.
    ///
    /// ```
    /// # use onnward_rows::{RowParser, RowsLimits};
    /// # use onnward_schemas::SchemaFile;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let schema = SchemaFile::parse(r#"
    /// #     name = "shop"
    /// #     version = 1
    /// #     identifier = "customer"
    /// #     label = { column = "Left", positive = "1", negative = "0" }
    /// #     features = [{ name = "orders", type = "numeric" }]
    /// # "#)?.schema;
    /// let parser = RowParser::new(schema);
    /// let body = br#"{"instances": [{"customer": "c-17", "orders": 3}, {"orders": 4}]}"#;
    /// let parsed = parser.parse(body, RowsLimits::of_rows(100), true)?;
    /// assert_eq!(parsed.rows.values, [3.0, 4.0]);
    /// assert_eq!([parsed.keys.get(0), parsed.keys.get(1)], [Some("c-17"), None]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn parse(&self, body: &[u8], limits: RowsLimits, keeps_keys: bool) -> Result<ParsedRows, ParseError> {
        let text =
            std::str::from_utf8(body).map_err(|error| ParseError::NotUtf8 { offset: error.valid_up_to() })?;
        match self.parse_fast(text, limits, keeps_keys) {
            Some(parsed) => Ok(parsed),
            None => self.parse_general(text, limits, keeps_keys),
        }
    }

    /// Reads the rows of a text with the general reader alone. Public for fuzzers, which compare both
    /// readers.
    ///
    /// # Errors
    /// As [`RowParser::parse`].
    #[doc(hidden)]
    pub fn parse_general(
        &self,
        text: &str,
        limits: RowsLimits,
        keeps_keys: bool,
    ) -> Result<ParsedRows, ParseError> {
        let mut json = serde_json::Deserializer::from_str(text);
        let parsed = general::read(self, &mut json, limits, keeps_keys);
        let parsed = parsed.and_then(|parsed| json.end().map(|()| parsed));
        parsed.map_err(|error| ParseError::of_json(text, error))?.map_err(ParseError::Invalid)
    }

    /// Returns the number of cells that the rows of a body have at most, without parsing it.
    ///
    /// Each row is an object, so there are at most as many as there are opening braces. Braces in strings are
    /// counted too, and a body with more rows than the limits is rejected when these are read.
    ///
    /// ```
    /// # use onnward_rows::{RowParser, RowsLimits};
    /// # use onnward_schemas::SchemaFile;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let schema = SchemaFile::parse(r#"
    /// #     name = "shop"
    /// #     version = 1
    /// #     label = { column = "Left", positive = "1", negative = "0" }
    /// #     features = [{ name = "orders", type = "numeric" }, { name = "visits", type = "numeric" }]
    /// # "#)?.schema;
    /// let parser = RowParser::new(schema);
    /// assert_eq!(parser.max_cells(b"[{},{},{}]", RowsLimits::NONE), 6);
    /// # Ok(())
    /// # }
    /// ```
    pub fn max_cells(&self, body: &[u8], limits: RowsLimits) -> usize {
        let features = self.tokens.len();
        memchr_iter(b'{', body).count().min(limits.max_rows_of(features)).saturating_mul(features)
    }
}
