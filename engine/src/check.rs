//! Does a file compute here what its trainer computed? Golden rows on every backend, whole graph and cut.

use std::fmt;
use std::sync::Arc;

use onnward_onnx::{Artifact, ArtifactError};
use onnward_schemas::sha256_hex;
use serde::Serialize;

use crate::backend::{Backend, BackendKind};
use crate::golden::{self, GoldenError, GraphForm};

/// What was found out about a file.
#[derive(Debug, Serialize)]
pub struct CheckReport {
    /// The SHA-256 of the file, in hexadecimal.
    pub sha256: String,
    /// The size of the file.
    pub size_bytes: usize,
    /// The schema's name.
    pub schema: String,
    /// The model family.
    pub family: String,
    /// How many golden rows were replayed.
    pub golden_rows: usize,
    /// The largest difference of a probability that counts as the same.
    pub tolerance: f64,
    /// One result for each backend and form of the graph.
    pub results: Vec<CheckResult>,
}

/// How the golden rows went on one backend with one form of the graph.
#[derive(Debug, Serialize)]
pub struct CheckResult {
    /// The backend.
    pub backend: BackendKind,
    /// Whether the graph was cut at `features`.
    pub cut: bool,
    /// The largest absolute difference from the trainer's probabilities, where every row was within the tolerance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_difference: Option<f64>,
    /// Why it failed, where it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

impl CheckReport {
    /// Whether every backend reproduces every golden row.
    pub fn passed(&self) -> bool {
        self.results.iter().all(|result| result.failure.is_none())
    }
}

/// Checks the bytes of an artifact.
///
/// # Errors
/// [`ArtifactError`] if they are none; a backend that fails is part of the report.
pub fn check(bytes: &[u8], backends: &[Arc<dyn Backend>]) -> Result<CheckReport, ArtifactError> {
    let artifact = Artifact::decode(bytes)?;
    let cut = artifact.encode_cut()?;
    let metadata = &artifact.metadata;
    let mut results = Vec::new();
    for backend in backends {
        for (form, model) in [(GraphForm::Whole, bytes), (GraphForm::Cut, cut.as_slice())] {
            let replay = || -> Result<f64, GoldenError> {
                let mut session = backend.open(model)?;
                Ok(golden::replay(session.as_mut(), metadata, form)?.max_difference)
            };
            let (max_difference, failure) = match replay() {
                Ok(difference) => (Some(difference), None),
                Err(error) => (None, Some(error.to_string())),
            };
            let cut = form == GraphForm::Cut;
            results.push(CheckResult { backend: backend.kind(), cut, max_difference, failure });
        }
    }
    Ok(CheckReport {
        sha256: sha256_hex(bytes),
        size_bytes: bytes.len(),
        schema: metadata.schema.name.clone(),
        family: metadata.family.clone(),
        golden_rows: metadata.golden.rows.len(),
        tolerance: metadata.golden.tolerance,
        results,
    })
}

impl fmt::Display for CheckReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} model of {}, {} bytes, sha256 {}",
            self.family, self.schema, self.size_bytes, self.sha256
        )?;
        writeln!(f, "{} golden rows, tolerance {:e}", self.golden_rows, self.tolerance)?;
        for result in &self.results {
            let form = if result.cut { "cut graph" } else { "whole graph" };
            match (&result.failure, result.max_difference) {
                (Some(failure), _) => writeln!(f, "FAILED  {:<12} {form:<12} {failure}", result.backend)?,
                (None, difference) => {
                    let difference = difference.unwrap_or_default();
                    writeln!(
                        f,
                        "ok      {:<12} {form:<12} largest difference {difference:.1e}",
                        result.backend
                    )?;
                }
            }
        }
        Ok(())
    }
}
