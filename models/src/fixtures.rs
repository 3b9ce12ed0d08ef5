//! Schemas for unit tests.

use onnward_schemas::{Schema, SchemaFile};

/// A categorical feature.
pub(crate) const PLAN: &str =
    r#"{ name = "plan", type = "categorical", values = ["a", "b", "c"], unknown = "ignore" }"#;
/// A numeric feature that may be missing.
pub(crate) const AMOUNT: &str = r#"{ name = "amount", type = "numeric", required = false }"#;

/// Makes a schema of these features, each an inline table of TOML.
pub(crate) fn schema(features: &[&str]) -> Schema {
    let label = r#"{ column = "left", positive = "1", negative = "0" }"#;
    let features = features.join(", ");
    let text = format!("name = \"small\"\nversion = 1\nlabel = {label}\nfeatures = [{features}]");
    SchemaFile::parse(&text).unwrap().schema
}
