use crate::feature::FeatureKind;
use crate::golden::GoldenValue;
use crate::kept::Kept;
use crate::schema::Schema;

/// Rows encoded for a model.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rows {
    /// The `features` matrix, row after row: `[rows, features]`. It holds NaN in the place of a kept value.
    pub values: Vec<f32>,
    /// The values of the features that keep them ([`Feature::is_kept`](crate::Feature::is_kept)), row after
    /// row: `[rows, kept features]`. Empty where the schema has no such feature.
    pub kept: Vec<Kept>,
    /// The number of rows.
    pub len: usize,
}

impl Schema {
    /// Encodes rows of raw values, each with one value for every feature, without checking them.
    ///
    /// Golden rows hold missing and unknown values on purpose, which a request may not hold. So nothing is
    /// rejected here.
    ///
    /// ```
    /// use onnward_schemas::{GoldenValue, SchemaFile};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let schema = SchemaFile::parse(r#"
    ///     name = "shop"
    ///     version = 1
    ///     label = { column = "Left", positive = "1", negative = "0" }
    ///     [[features]]
    ///     name = "plan"
    ///     type = "categorical"
    ///     values = ["basic", "full"]
    /// "#)?.schema;
    /// let rows = schema.encode_rows(&[vec![GoldenValue::Text("full".into())], vec![GoldenValue::Missing]]);
    /// assert_eq!((rows.len, rows.values[0]), (2, 1.0));
    /// assert!(rows.values[1].is_nan());
    /// # Ok(())
    /// # }
    /// ```
    pub fn encode_rows(&self, rows: &[Vec<GoldenValue>]) -> Rows {
        let encoded = rows.iter().flat_map(|row| self.features.iter().zip(row));
        let values = encoded.map(|(feature, value)| feature.code(value.as_value())).collect();
        let features =
            || self.kept_features().iter().filter_map(|index| Some((*index, self.features.get(*index)?)));
        let kept = rows.iter().flat_map(|row| {
            features().map(|(index, feature)| match (&feature.kind, row.get(index)) {
                (_, None) => Kept::Missing,
                (FeatureKind::Kept(kept), Some(value)) => kept.keep_golden(value).unwrap_or_default(),
                (_, Some(value)) => Kept::Text(value.text()),
            })
        });
        Rows { values, kept: kept.collect(), len: rows.len() }
    }
}
