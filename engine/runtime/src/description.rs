//! Describes a model: by the metadata of its file, or by what an external file shows.

use onnward_schemas::{GoldenValue, Metadata, Predictions, Schema};
use serde::{Deserialize, Serialize};

use crate::backend::BackendKind;

/// The description of a model: the metadata of its file, or what an external file shows.
#[derive(Debug, Clone, PartialEq)]
pub enum Description {
    /// An Onnward artifact, which describes itself.
    Artifact(Box<Metadata>),
    /// An ONNX file that another program wrote.
    External(Box<ExternalDescription>),
}

/// The description of an external ONNX file.
#[derive(Debug, Clone, PartialEq)]
pub struct ExternalDescription {
    /// The schema of its rows, made from its inputs.
    pub schema: Schema,
    /// The program that wrote it, with its version; may be empty.
    pub producer: String,
    /// A row that it has scored here, and its prediction.
    pub example: (Vec<GoldenValue>, Predictions),
    /// The backends that cannot open or run it.
    pub passed_over: Vec<PassedOver>,
    /// Whether what is answered is a guess, since neither `config.toml` nor the graph's operators settle it.
    pub is_guessed: bool,
    /// The number of rows with expected outputs, which the runtime has reproduced.
    pub expected_rows: usize,
}

/// A backend that a model was not opened on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassedOver {
    /// The backend.
    pub backend: BackendKind,
    /// Its reason.
    pub reason: String,
}

/// A human-readable text of an external file whose expected rows were reproduced.
pub const PROVEN: &str =
    "the file is external, and this runtime has reproduced the outputs that were published with it";

/// A human-readable text of what an external file lacks.
pub const UNPROVEN: &str = "the file is external and has no golden rows: it passed a smoke test, but \
nothing verifies that this runtime computes what its trainer computed";

impl Description {
    /// Returns the schema of the model's rows.
    pub fn schema(&self) -> &Schema {
        match self {
            Self::Artifact(metadata) => &metadata.schema,
            Self::External(external) => &external.schema,
        }
    }

    /// Returns the model family: `"foreign"` for a file that does not state it.
    pub fn family(&self) -> &str {
        match self {
            Self::Artifact(metadata) => &metadata.family,
            Self::External(_) => "foreign",
        }
    }

    /// Returns the metadata of the file. `None` for an external one.
    pub fn metadata(&self) -> Option<&Metadata> {
        match self {
            Self::Artifact(metadata) => Some(metadata),
            Self::External(_) => None,
        }
    }

    /// Returns the number of golden rows that the runtime has reproduced; of an external file, those that were published
    /// with it.
    pub fn golden_rows(&self) -> usize {
        match self {
            Self::Artifact(metadata) => metadata.golden.rows.len(),
            Self::External(external) => external.expected_rows,
        }
    }

    /// Returns why nothing verifies the runtime on this model. `None` if golden rows do.
    pub fn unproven(&self) -> Option<&'static str> {
        (self.golden_rows() == 0).then_some(UNPROVEN)
    }

    /// Returns a row that the schema accepts, with a raw value for each feature, and its prediction.
    pub fn example(&self) -> Option<(&[GoldenValue], Predictions)> {
        match self {
            // Golden rows hold unknown and missing values on purpose.
            Self::Artifact(metadata) => {
                let rows = metadata.golden.rows.iter();
                let mut accepted = rows.filter(|row| accepts(&metadata.schema, &row.values));
                let row = accepted.next()?;
                Some((row.values.as_slice(), row.prediction.single()))
            }
            Self::External(external) => {
                let (row, prediction) = &external.example;
                Some((row, prediction.clone()))
            }
        }
    }
}

fn accepts(schema: &Schema, row: &[GoldenValue]) -> bool {
    let mut pairs = schema.features.iter().zip(row);
    row.len() == schema.features.len()
        && pairs.all(|(feature, value)| feature.encode(value.as_value()).is_ok())
}
