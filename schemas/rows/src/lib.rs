//! Reads a request's body into a feature matrix.
//!
//! A [`RowParser`] is built once from a [`Schema`](onnward_schemas::Schema) and is kept with the model that
//! it serves. [`RowParser::parse`] reads the bytes of a body and returns [`ParsedRows`], or all problems
//! of the body as a [`ParseError`]. It builds no tree of values in between.
//!
//! There are two readers, and both read the same rows. The *fast path* reads JSON on one line, without
//! escapes and without mistakes, as nearly every client writes it. The *general reader* reads all of JSON
//! with serde and collects every violation.
//!
//! The work is bounded by the body's bytes and by the cells of the matrix ([`RowsLimits`]), whatever the body
//! holds: a mistake costs the memory and the time of a message only while messages are still listed.
//!
//! ```
//! use onnward_rows::{BodyShape, ParseError, RowParser, RowsLimits};
//! use onnward_schemas::SchemaFile;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let schema = SchemaFile::parse(r#"
//!     name = "shop"
//!     version = 1
//!     label = { column = "Left", positive = "1", negative = "0" }
//!     [[features]]
//!     name = "orders"
//!     type = "numeric"
//!     min = 0
//!     [[features]]
//!     name = "plan"
//!     type = "categorical"
//!     values = ["basic", "full"]
//! "#)?.schema;
//! let parser = RowParser::new(schema);
//! let limits = RowsLimits::of_rows(100);
//!
//! let body = br#"[{"orders": 3, "plan": "full"}, {"plan": "basic", "orders": 0.5}]"#;
//! let parsed = parser.parse(body, limits, false)?;
//! assert_eq!(parsed.rows.values, [3.0, 1.0, 0.5, 0.0]);
//! assert_eq!(parsed.shape, BodyShape::Many);
//!
//! let error = parser.parse(br#"{"orders": -1}"#, limits, false);
//! let Err(ParseError::Invalid(violations)) = error else { return Err("both fields are wrong".into()) };
//! let pointers: Vec<&str> = violations.listed().iter().map(|one| one.pointer.as_str()).collect();
//! assert_eq!(pointers, ["/orders", "/plan"]);
//! # Ok(())
//! # }
//! ```

mod array;
mod body;
mod cursor;
mod error;
mod explain;
mod fast_path;
mod general;
mod json_tokens;
mod keys;
mod limits;
mod parser;
mod row;
mod skip;

pub use self::error::ParseError;
pub use self::keys::RowKeys;
pub use self::limits::RowsLimits;
pub use self::parser::{BodyShape, ParsedRows, RowParser};
pub use self::skip::Skip;

#[cfg(test)]
mod tests;
