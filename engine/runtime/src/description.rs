//! What is known of a model: what its file says of itself, or what an external file shows.

use onnward_schemas::{GoldenValue, Metadata, Schema};

/// What is known of a model: what its file says of itself, or, of a foreign file, what it shows.
#[derive(Debug, Clone, PartialEq)]
pub enum Description {
    /// An artifact of Onnward's, which describes itself.
    Artifact(Box<Metadata>),
    /// An ONNX file that another program wrote.
    External(Box<ExternalDescription>),
}

/// What is known of a foreign ONNX file.
#[derive(Debug, Clone, PartialEq)]
pub struct ExternalDescription {
    /// The schema of its rows, made from its inputs.
    pub schema: Schema,
    /// The program that wrote it, with its version; may be empty.
    pub producer: String,
    /// A row that it has scored here, and the probability that came out.
    pub example: (Vec<GoldenValue>, f32),
}

/// What a foreign file lacks, for people.
pub const UNPROVEN: &str = "the file is foreign and has no golden rows: it was tried on rows made from its inputs, and \
nothing shows that this runtime computes what its trainer computed";

impl Description {
    /// The schema of the model's rows.
    pub fn schema(&self) -> &Schema {
        match self {
            Self::Artifact(metadata) => &metadata.schema,
            Self::External(foreign) => &foreign.schema,
        }
    }

    /// The model family; `foreign` for a file that does not say it.
    pub fn family(&self) -> &str {
        match self {
            Self::Artifact(metadata) => &metadata.family,
            Self::External(_) => "foreign",
        }
    }

    /// What the file says of itself, if it does.
    pub fn metadata(&self) -> Option<&Metadata> {
        match self {
            Self::Artifact(metadata) => Some(metadata),
            Self::External(_) => None,
        }
    }

    /// How many golden rows the runtime has reproduced.
    pub fn golden_rows(&self) -> usize {
        self.metadata().map_or(0, |metadata| metadata.golden.rows.len())
    }

    /// Why nothing proves the runtime on this model, where that is so.
    pub fn unproven(&self) -> Option<&'static str> {
        self.metadata().is_none().then_some(UNPROVEN)
    }

    /// A row that the schema accepts, a raw value for each feature, and its probability.
    pub fn example(&self) -> Option<(&[GoldenValue], f32)> {
        match self {
            // Golden rows hold unknown and missing values on purpose.
            Self::Artifact(metadata) => {
                let rows = metadata.golden.rows.iter();
                let mut accepted = rows.filter(|row| accepts(&metadata.schema, &row.values));
                accepted.next().map(|row| (row.values.as_slice(), row.probability as f32))
            }
            Self::External(foreign) => {
                let (row, probability) = &foreign.example;
                Some((row, *probability))
            }
        }
    }
}

fn accepts(schema: &Schema, row: &[GoldenValue]) -> bool {
    let mut pairs = schema.features.iter().zip(row);
    row.len() == schema.features.len()
        && pairs.all(|(feature, value)| feature.encode(value.as_value()).is_ok())
}
