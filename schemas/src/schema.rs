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
use crate::task::{Binary, Task};
use crate::violation::Mismatch;

/// The checked description of a table of customers: its columns and its label.
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
    /// The model's inputs, in the order of the `features` matrix.
    pub features: Vec<Feature>,
    /// The categorical features by which results are broken down.
    pub segments: Vec<String>,
    /// The numeric feature that says what a customer brings in, where there is one: what is at risk with the
    /// customer.
    pub revenue: Option<String>,
    pub(crate) index: HashMap<String, usize>,
    /// The indices of the features that keep their values, in order.
    pub(crate) kept: Vec<usize>,
}

/// The column to predict.
#[derive(Debug, Clone, PartialEq)]
pub struct Label {
    /// The column's name in the table.
    pub column: String,
    /// The prediction's name in an answer.
    pub name: String,
    /// What is predicted, and the values that the column can have.
    pub task: Task,
}

impl Label {
    /// Creates a label of two values, whose column and key in an answer have one name, with the default threshold.
    pub fn binary(name: &str, positive: &str, negative: &str) -> Self {
        let (positive, negative) = (positive.to_owned(), negative.to_owned());
        let task = Task::Binary(Binary { positive, negative, threshold: Binary::THRESHOLD });
        Self { column: name.to_owned(), name: name.to_owned(), task }
    }
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
    /// assert_eq!(schema.label.name, "has_left");
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
    pub fn of_inputs(name: &str, label: Label, features: Vec<Feature>) -> Result<Self, SchemaError> {
        let schema = Self {
            name: name.to_owned(),
            version: 1,
            description: String::new(),
            identifier: None,
            ignored: Vec::new(),
            label,
            index: index_of_names(&features),
            kept: kept_indices(&features),
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

    /// Returns the indices of the features whose values the rows carry ([`Feature::is_kept`]), in order.
    #[inline]
    pub fn kept_features(&self) -> &[usize] {
        &self.kept
    }

    /// Returns a feature's place among a row's kept values; `None` for a feature that keeps none.
    #[inline]
    pub fn kept_index(&self, feature: usize) -> Option<usize> {
        self.kept.binary_search(&feature).ok()
    }

    /// Returns the label's two values and the threshold. `None` for any other task.
    #[inline]
    pub fn binary(&self) -> Option<&Binary> {
        match &self.label.task {
            Task::Binary(binary) => Some(binary),
            Task::Classes(_) | Task::Number | Task::Raw(_) => None,
        }
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
                FeatureKind::Kept(kept) => format!("{kept:?}"),
            };
            let nullable = if feature.nullable { " nullable" } else { "" };
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{:?} {} {kind}{nullable}", feature.name, feature.required);
        }
        sha256_hex(text.as_bytes())
    }
}

/// Returns each feature's index by its name.
pub(crate) fn index_of_names(features: &[Feature]) -> HashMap<String, usize> {
    features.iter().enumerate().map(|(index, feature)| (feature.name.clone(), index)).collect()
}

/// Returns the indices of the features that keep their values.
pub(crate) fn kept_indices(features: &[Feature]) -> Vec<usize> {
    features.iter().enumerate().filter(|(_, feature)| feature.is_kept()).map(|(index, _)| index).collect()
}
