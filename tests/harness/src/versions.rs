//! Two versions of one model that can be distinguished by their answers.

use std::fs::File;
use std::path::Path;

use bytes::Bytes;
use ndarray::Array2;
use onnward_exporter::export::export;
use onnward_models::{
    CandidateParams, Dataset, Family, OnInvalid, SampleFormat, TrainedModel, TrainingError, TrainingPlan,
    train, write_sample,
};
use onnward_onnx::Artifact;
use onnward_rows::{RowParser, RowsLimits};
use onnward_schemas::{Schema, SchemaFile};
use tempfile::TempDir;

use crate::error::HarnessError;

/// The rows on which each version is trained.
const TABLE_ROWS: u64 = 2000;
/// The rows among which requests are chosen.
const DRAWN_ROWS: u64 = 1000;
/// The most different requests.
const MAX_REQUESTS: usize = 200;
/// The smallest distance between the versions' probabilities for a request.
const MIN_DISTANCE: f64 = 1e-3;
/// The largest distance between an answer and what the trainer computes for that version.
pub const TOLERANCE: f64 = 1e-5;

/// Two versions of one model, and rows on which they differ.
#[derive(Debug)]
pub struct TwoVersions {
    /// The artifacts.
    pub artifacts: [Artifact; 2],
    /// Requests of one row each.
    pub requests: Vec<Request>,
}

/// A request of one row.
#[derive(Debug, Clone)]
pub struct Request {
    /// The row as JSON.
    pub body: Bytes,
    /// The probabilities that the trainer's own code computes with each version.
    pub probabilities: [f64; 2],
}

impl TwoVersions {
    /// Trains a model of this family on two samples of a schema.
    ///
    /// # Errors
    /// [`HarnessError`]: the schema cannot be read, or nothing can be trained on its samples.
    pub fn train(schema: &Path, family: Family) -> Result<Self, HarnessError> {
        let text = std::fs::read_to_string(schema).map_err(HarnessError::reading(schema))?;
        let file = SchemaFile::parse(&text)
            .map_err(|source| HarnessError::Schema { path: schema.to_owned(), source })?;
        let models = [train_one(&file, family, 1)?, train_one(&file, family, 2)?];
        let artifacts = [export(&models[0])?, export(&models[1])?];
        let requests = requests(&file, &models)?;
        Ok(Self { artifacts, requests })
    }

    /// Returns the fingerprint of both versions' schema.
    pub fn fingerprint(&self) -> String {
        self.artifacts[0].metadata.schema.fingerprint()
    }
}

fn train_one(file: &SchemaFile, family: Family, seed: u64) -> Result<TrainedModel, HarnessError> {
    let folder = TempDir::new().map_err(HarnessError::system("make a temporary folder"))?;
    let path = folder.path().join("customers.csv");
    let table = File::create(&path).map_err(HarnessError::system(format!("write {}", path.display())))?;
    write_sample(file, TABLE_ROWS, seed, SampleFormat::Csv, table, |_| ())?;
    let data = Dataset::read(&path, &file.schema, OnInvalid::Fail)?;
    let candidates = vec![CandidateParams::default_of(family)];
    let plan = TrainingPlan { candidates, folds: 2, seed, ..TrainingPlan::default() };
    let trained = train(&data, &plan, &|_| ())?.models;
    Ok(trained.into_iter().next().ok_or(TrainingError::NoCandidates)?)
}

/// Returns sampled rows for which the two models compute different probabilities.
fn requests(file: &SchemaFile, models: &[TrainedModel; 2]) -> Result<Vec<Request>, HarnessError> {
    let mut lines = Vec::new();
    write_sample(file, DRAWN_ROWS, 3, SampleFormat::JsonLines, &mut lines, |_| ())?;
    let lines: Vec<&[u8]> = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
    let mut requests = Vec::new();
    for line in lines {
        let row = encode(&file.schema, line)?;
        let probability = |model: &TrainedModel| model.predict(row.view()).probabilities()?.first().copied();
        let [Some(first), Some(second)] = models.each_ref().map(probability) else { continue };
        if (first - second).abs() >= MIN_DISTANCE {
            requests.push(Request { body: Bytes::copy_from_slice(line), probabilities: [first, second] });
        }
    }
    requests.truncate(MAX_REQUESTS);
    if requests.is_empty() {
        let problem = "the two versions answer every sampled row alike, so that they cannot be distinguished";
        return Err(HarnessError::Settings(problem.to_owned()));
    }
    Ok(requests)
}

/// Encodes a row as the `features` matrix, `[1, features]`.
fn encode(schema: &Schema, line: &[u8]) -> Result<Array2<f32>, HarnessError> {
    let unusable = || HarnessError::Settings("a sampled row does not satisfy its own schema".to_owned());
    let parser = RowParser::new(schema.clone());
    let rows = parser.parse(line, RowsLimits::of_rows(1), false).map_err(|_| unusable())?.rows;
    Array2::from_shape_vec((1, rows.values.len()), rows.values).map_err(|_| unusable())
}
