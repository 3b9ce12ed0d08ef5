use std::collections::HashMap;
use std::fmt::Write;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::checks::input_problems;
use crate::digest::sha256_hex;
use crate::encode::shorten;
use crate::feature::{Feature, FeatureKind};
use crate::feature_keys::feature_key_problems;
use crate::sample::SampleModel;
use crate::spec::SchemaSpec;
use crate::violation::Mismatch;

/// The checked description of a table of customers: its columns, its label, and the threshold of its
/// decisions.
///
/// It can only be made from a `SchemaSpec` that has passed every check, from TOML
/// ([`SchemaFile::parse`]) or from an artifact's metadata.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "SchemaSpec", into = "SchemaSpec")]
pub struct Schema {
    /// The schema's name.
    pub name: String,
    /// The schema's version, from 1; raised by its author whenever its meaning changes.
    pub version: u32,
    /// The content of the table, for people; may be empty.
    pub description: String,
    /// The column that names a customer, if there is one. It is accepted in a request and is no feature: an
    /// engine that keeps predictions identifies them by it.
    pub identifier: Option<String>,
    /// Columns that a table may have and that are not used. A request may not carry them.
    pub ignored: Vec<String>,
    /// The column to predict.
    pub label: Label,
    /// The probability from which a row is predicted positive.
    pub threshold: f64,
    /// The model's inputs, in the order of the `features` matrix.
    pub features: Vec<Feature>,
    /// The categorical features by which results are broken down.
    pub segments: Vec<String>,
    /// The numeric feature that says what a customer brings in, where there is one: what is at risk with the
    /// customer.
    pub revenue: Option<String>,
    pub(crate) index: HashMap<String, usize>,
    /// The indices of the features that keep their strings, in order.
    pub(crate) texts: Vec<usize>,
}

/// The column to predict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// The column's name in the table.
    pub column: String,
    /// The decision's name in an answer.
    pub name: String,
    /// The value of a positive row.
    pub positive: String,
    /// The value of a negative row.
    pub negative: String,
}

/// A schema as a file holds it, with the model from which sample customers are drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct SchemaFile {
    /// The schema.
    pub schema: Schema,
    /// The generative model of sample customers, if the file has one.
    pub sample: Option<SampleModel>,
}

/// The reason why a schema is rejected.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum SchemaError {
    /// The text is not TOML, or has a key or a type that a schema does not have.
    #[error("not a schema: {0}")]
    Syntax(String),
    /// The text reads as a schema, but contradicts itself; every contradiction is listed.
    #[error("the schema is invalid: {}", .0.join("; "))]
    Invalid(Vec<String>),
}

impl SchemaFile {
    /// Reads a schema from the text of its TOML file.
    ///
    /// # Errors
    /// [`SchemaError`], naming the line or listing every contradiction.
    ///
    /// ```
    /// use onnward_schemas::SchemaFile;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let toml = r#"
    ///     name = "shop"
    ///     version = 1
    ///     identifier = "customer"
    ///     [label]
    ///     column = "HasLeft"
    ///     positive = "1"
    ///     negative = "0"
    ///     [[features]]
    ///     name = "orders"
    ///     type = "numeric"
    ///     min = 0
    ///     integer = true
    /// "#;
    /// let schema = SchemaFile::parse(toml)?.schema;
    /// assert_eq!((schema.label.name.as_str(), schema.threshold), ("has_left", 0.5));
    /// assert_eq!(schema.features[0].expected(), "a whole number of at least 0");
    ///
    /// let Err(error) = SchemaFile::parse(&toml.replace("min = 0", "min = \"0\"")) else { unreachable!() };
    /// assert!(error.to_string().contains("feature \"orders\": min is \"0\"; it must be a number"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn parse(text: &str) -> Result<Self, SchemaError> {
        let not_toml = |error: toml::de::Error| SchemaError::Syntax(error.to_string());
        let problems = feature_key_problems(&text.parse().map_err(not_toml)?);
        if !problems.is_empty() {
            return Err(SchemaError::Invalid(problems));
        }
        let mut spec: SchemaSpec = toml::from_str(text).map_err(not_toml)?;
        let sample = spec.sample.take();
        let schema = Schema::try_from(spec)?;
        if let Some(sample) = &sample {
            sample.check(&schema).map_err(SchemaError::Invalid)?;
        }
        Ok(Self { schema, sample })
    }
}

impl Schema {
    /// The maximum number of features in a schema. An engine's configuration may permit fewer:
    /// `models.max_features`.
    pub const MAX_FEATURES: usize = 1_000_000;

    /// Returns the schema of an external model: its features are the graph's inputs, whose names may be any.
    ///
    /// # Errors
    /// [`SchemaError::Invalid`] if no request could hold the features or no answer the label.
    pub fn of_inputs(
        name: &str,
        label: Label,
        threshold: f64,
        features: Vec<Feature>,
    ) -> Result<Self, SchemaError> {
        let schema = Self {
            name: name.to_owned(),
            version: 1,
            description: String::new(),
            identifier: None,
            ignored: Vec::new(),
            label,
            threshold,
            index: index_of_names(&features),
            texts: text_indices(&features),
            features,
            segments: Vec::new(),
            revenue: None,
        };
        let problems = input_problems(&schema);
        if problems.is_empty() { Ok(schema) } else { Err(SchemaError::Invalid(problems)) }
    }

    /// Writes the schema as the text of a TOML file that [`SchemaFile::parse`] reads back.
    ///
    /// # Errors
    /// [`SchemaError::Syntax`] if a value cannot be written as TOML.
    pub fn to_toml(&self) -> Result<String, SchemaError> {
        toml::to_string_pretty(&SchemaSpec::from(self.clone()))
            .map_err(|error| SchemaError::Syntax(error.to_string()))
    }

    /// Returns the index of a feature in the `features` matrix.
    #[inline]
    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.index.get(name).copied()
    }

    /// Returns the indices of the features whose strings the rows carry ([`Feature::is_text`]), in order.
    #[inline]
    pub fn text_features(&self) -> &[usize] {
        &self.texts
    }

    /// Returns a feature's place among a row's texts; `None` for a feature that keeps no string.
    #[inline]
    pub fn text_index(&self, feature: usize) -> Option<usize> {
        self.texts.binary_search(&feature).ok()
    }

    /// Returns the decision for a probability: whether the row is predicted positive.
    ///
    /// The comparison is in single precision, as a probability is printed: an answer of 0.7 is positive at a
    /// threshold of 0.7.
    ///
    /// ```
    /// # use onnward_schemas::SchemaFile;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let toml = r#"
    /// #     name = "shop"
    /// #     version = 1
    /// #     threshold = 0.7
    /// #     label = { column = "Left", positive = "1", negative = "0" }
    /// #     features = [{ name = "orders", type = "numeric" }]
    /// # "#;
    /// let schema = SchemaFile::parse(toml)?.schema;
    /// assert_eq!(schema.threshold, 0.7);
    /// assert!(schema.is_positive(0.7) && !schema.is_positive(0.699));
    /// assert!(f64::from(0.7_f32) < schema.threshold, "in double precision it would be below");
    /// # Ok(())
    /// # }
    /// ```
    #[inline]
    pub fn is_positive(&self, probability: f32) -> bool {
        probability >= self.threshold as f32
    }

    /// Says why a field that is no feature is rejected.
    ///
    /// The identifier is no feature either, and is accepted: ask only for other fields.
    pub fn unknown_field(&self, field: &str) -> Mismatch {
        let expected = if field == self.label.column {
            "no value for the label, which is what the model predicts".to_owned()
        } else {
            let differs_in_case = |feature: &&Feature| feature.name.eq_ignore_ascii_case(field);
            match self.features.iter().find(differs_in_case) {
                Some(feature) => format!("a field of the schema, such as \"{}\"", feature.name),
                None => format!("only fields of the schema {}", self.name),
            }
        };
        Mismatch { expected, got: format!("the unknown field \"{}\"", shorten(field)) }
    }

    /// Returns the digest of all that decides which requests are accepted and how they are encoded. Two
    /// artifacts with the same fingerprint take the same requests.
    pub fn fingerprint(&self) -> String {
        let mut text = format!("identifier {:?}\n", self.identifier);
        for feature in &self.features {
            let kind = match &feature.kind {
                FeatureKind::Numeric { min, max, integer } => format!("numeric {min:?} {max:?} {integer}"),
                FeatureKind::Categorical { values, unknown } => format!("categorical {values:?} {unknown:?}"),
            };
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{:?} {} {kind}", feature.name, feature.required);
        }
        sha256_hex(text.as_bytes())
    }
}

/// Returns each feature's index by its name.
pub(crate) fn index_of_names(features: &[Feature]) -> HashMap<String, usize> {
    features.iter().enumerate().map(|(index, feature)| (feature.name.clone(), index)).collect()
}

/// Returns the indices of the features that keep their strings.
pub(crate) fn text_indices(features: &[Feature]) -> Vec<usize> {
    features.iter().enumerate().filter(|(_, feature)| feature.is_text()).map(|(index, _)| index).collect()
}
