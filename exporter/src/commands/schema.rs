use std::fmt;
use std::path::PathBuf;

use onnward_models::{Dataset, InferOptions, InferredSchema, LabelSummary, OnInvalid, infer_schema};
use serde::Serialize;

use super::stdout::{print, print_json, print_text};
use super::{CommandError, read_schema};
use crate::cli::{CheckArguments, InferArguments, OutputFormat};

pub fn infer(arguments: &InferArguments) -> Result<(), CommandError> {
    let options = InferOptions { name: arguments.name.clone(), label: arguments.label.clone() };
    let InferredSchema { toml, rows, .. } = infer_schema(&arguments.data, &options)?;
    match arguments.output {
        OutputFormat::Text => print_text(&toml),
        OutputFormat::Json => print_json(&InferResult { rows, toml }),
    }
}

/// The result of `schema infer`.
#[derive(Serialize)]
struct InferResult {
    rows: u64,
    /// The text of the schema's file.
    toml: String,
}

/// The result of `schema check`.
#[derive(Serialize)]
struct CheckResult {
    schema: PathBuf,
    name: String,
    version: u32,
    fingerprint: String,
    features: usize,
    samples: bool,
    data: Option<CheckedData>,
}

#[derive(Serialize)]
struct CheckedData {
    path: PathBuf,
    rows: usize,
    #[serde(flatten)]
    label: LabelSummary,
}

pub fn check(arguments: &CheckArguments) -> Result<(), CommandError> {
    let file = read_schema(&arguments.schema)?;
    let schema = &file.schema;
    let data = match &arguments.data {
        Some(path) => {
            let data = Dataset::read(path, schema, OnInvalid::Fail)?;
            Some(CheckedData { path: path.clone(), rows: data.rows(), label: LabelSummary::of(&data.labels) })
        }
        None => None,
    };
    let result = CheckResult {
        schema: arguments.schema.clone(),
        name: schema.name.clone(),
        version: schema.version,
        fingerprint: schema.fingerprint(),
        features: schema.features.len(),
        samples: file.sample.is_some(),
        data,
    };
    print(arguments.output, &result)
}

impl fmt::Display for CheckResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let samples = if self.samples { "has" } else { "no" };
        writeln!(f, "{} is a schema: {} version {}", self.schema.display(), self.name, self.version)?;
        writeln!(f, "{} features, {samples} sample model, fingerprint {}", self.features, self.fingerprint)?;
        if let Some(CheckedData { path, rows, label }) = &self.data {
            let label = match label {
                LabelSummary::Binary { positives } => format!("{positives} positive"),
                LabelSummary::Classes { class_rows } => format!("of {} classes", class_rows.len()),
                LabelSummary::Number { mean } => format!("a mean label of {mean:.4}"),
            };
            writeln!(f, "{} fits it: {rows} rows, {label}", path.display())?;
        }
        Ok(())
    }
}
