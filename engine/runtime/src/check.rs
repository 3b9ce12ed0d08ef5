//! Verifies a file: replays its golden rows on every backend, with the full graph and the subgraph, and
//! cross-checks all backends. An external file is smoke-tested, and replays the expected rows that it was published with.

use std::fmt;
use std::sync::Arc;

use onnward_onnx::{Artifact, ArtifactError, ExternalModel};
use onnward_schemas::sha256_hex;
use serde::Serialize;

use crate::backend::{Backend, BackendKind};
use crate::cross_check::{BackendScores, ComparedRows};
use crate::description::UNPROVEN;
use crate::golden::{self, GoldenError, GraphForm};
use crate::verify::{VerifyError, smoke_test};

/// The result of checking a file.
#[derive(Debug, Serialize)]
pub struct CheckReport {
    /// The SHA-256 of the file, in hexadecimal.
    pub sha256: String,
    /// The size of the file.
    pub size_bytes: usize,
    /// The schema's name, or the fields of an external file.
    pub schema: String,
    /// The model family.
    pub family: String,
    /// The number of golden rows that were replayed.
    pub golden_rows: usize,
    /// The largest difference of a probability that counts as the same.
    pub tolerance: f64,
    /// One result for each backend and form of the graph.
    pub results: Vec<CheckResult>,
    /// The comparisons of the first backend with each other one, on golden rows and rows drawn from the
    /// training profile; empty where fewer than two backends can run the model.
    pub comparisons: Vec<CheckComparison>,
    /// The reason why the file is unverified: an external one may have no golden rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unproven: Option<&'static str>,
    /// Whether the file is external: one backend that runs it is enough.
    #[serde(skip)]
    pub is_external: bool,
}

/// The result on one backend with one form of the graph.
#[derive(Debug, Serialize)]
pub struct CheckResult {
    /// The backend.
    pub backend: BackendKind,
    /// Whether the subgraph from `features` on was run, instead of the full graph.
    #[serde(rename = "cut")]
    pub subgraph: bool,
    /// The largest absolute difference from the trainer's probabilities, where every row was within the
    /// tolerance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_difference: Option<f64>,
    /// The reason of the failure, if it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// The cross-check of two backends.
#[derive(Debug, Serialize)]
pub struct CheckComparison {
    /// The two backends.
    pub backends: [BackendKind; 2],
    /// The number of compared rows.
    pub rows: usize,
    /// The largest absolute difference of their probabilities, where every row was within the tolerance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_difference: Option<f64>,
    /// The row that differs, if one does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

impl CheckReport {
    /// Returns whether every backend reproduces every golden row and all agree. For an external file, it
    /// returns whether a backend runs it.
    pub fn passed(&self) -> bool {
        if self.is_external {
            return self.results.iter().any(|result| result.failure.is_none());
        }
        let failures = self.results.iter().map(|result| &result.failure);
        let has_run = !self.results.is_empty();
        has_run
            && failures.chain(self.comparisons.iter().map(|compared| &compared.failure)).all(Option::is_none)
    }
}

/// Verifies a model file on all `backends`. `config` is the text of the `config.toml` beside an external one.
///
/// ```
/// use onnward_runtime::check::check;
/// use onnward_runtime::{BackendChoice, load_backends};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fuzz/corpus/model/artifact-forest.onnx");
/// let report = check(&std::fs::read(path)?, None, &load_backends(BackendChoice::Tract, None)?)?;
/// assert!(report.passed(), "{report}");
/// assert!(report.golden_rows > 0);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`VerifyError`] if the file cannot be read; a backend that fails is part of the report.
pub fn check(
    bytes: &[u8],
    config: Option<&str>,
    backends: &[Arc<dyn Backend>],
) -> Result<CheckReport, VerifyError> {
    match Artifact::decode(bytes) {
        Ok(artifact) => Ok(check_artifact(bytes, &artifact, backends)?),
        Err(ArtifactError::External) => {
            let model = ExternalModel::decode("external", bytes, config)?;
            Ok(check_external(bytes, config, &model, backends))
        }
        Err(error) => Err(error.into()),
    }
}

fn check_external(
    bytes: &[u8],
    config: Option<&str>,
    model: &ExternalModel,
    backends: &[Arc<dyn Backend>],
) -> CheckReport {
    let result = |backend: &Arc<dyn Backend>| CheckResult {
        backend: backend.kind(),
        subgraph: false,
        max_difference: None,
        failure: smoke_test(backend.as_ref(), bytes, config).err().map(|error| error.to_string()),
    };
    let golden_rows = model.golden_rows();
    CheckReport {
        sha256: sha256_hex(bytes),
        size_bytes: bytes.len(),
        schema: model
            .schema
            .features
            .iter()
            .map(|feature| feature.name.as_str())
            .collect::<Vec<_>>()
            .join(", "),
        family: "foreign".to_owned(),
        golden_rows,
        tolerance: model.expected_rows.as_ref().map_or(0.0, |expected| expected.tolerance),
        results: backends.iter().map(result).collect(),
        comparisons: Vec::new(),
        unproven: (golden_rows == 0).then_some(UNPROVEN),
        is_external: true,
    }
}

fn check_artifact(
    bytes: &[u8],
    artifact: &Artifact,
    backends: &[Arc<dyn Backend>],
) -> Result<CheckReport, ArtifactError> {
    let subgraph = artifact.encode_subgraph()?;
    let metadata = &artifact.metadata;
    let sha256 = sha256_hex(bytes);
    let rows = ComparedRows::of(metadata, &sha256);
    let (mut results, mut scores) = (Vec::new(), Vec::new());
    for backend in backends {
        for (form, model) in [(GraphForm::Full, bytes), (GraphForm::Subgraph, subgraph.as_slice())] {
            let mut replay = || -> Result<f64, GoldenError> {
                let mut session = backend.open(model, &metadata.schema.label.task)?;
                let replayed = golden::replay(session.as_mut(), metadata, form);
                // Compared also where golden rows differ: this may show which backend is wrong.
                let scored = match form {
                    GraphForm::Full => Ok(()),
                    GraphForm::Subgraph => {
                        rows.score(backend.kind(), session.as_mut()).map(|scored| scores.push(scored))
                    }
                };
                let replay = replayed?;
                scored?;
                Ok(replay.max_difference)
            };
            let (max_difference, failure) = match replay() {
                Ok(difference) => (Some(difference), None),
                Err(error) => (None, Some(error.to_string())),
            };
            let is_subgraph = form == GraphForm::Subgraph;
            results.push(CheckResult {
                backend: backend.kind(),
                subgraph: is_subgraph,
                max_difference,
                failure,
            });
        }
    }
    Ok(CheckReport {
        comparisons: compare(&rows, &scores),
        sha256,
        size_bytes: bytes.len(),
        schema: metadata.schema.name.clone(),
        family: metadata.family.clone(),
        golden_rows: metadata.golden.rows.len(),
        tolerance: metadata.golden.tolerance,
        results,
        unproven: None,
        is_external: false,
    })
}

/// Compares the first backend that can run the subgraph with each other one that can. Those that cannot have
/// failed already.
fn compare(rows: &ComparedRows<'_>, scores: &[BackendScores]) -> Vec<CheckComparison> {
    let Some((first, others)) = scores.split_first() else { return Vec::new() };
    let compared = |other: &BackendScores| {
        let (max_difference, failure) = match rows.compare(first, other) {
            Ok(comparison) => (Some(comparison.max_difference), None),
            Err(difference) => (None, Some(difference.to_string())),
        };
        CheckComparison {
            backends: [first.backend(), other.backend()],
            rows: rows.len(),
            max_difference,
            failure,
        }
    };
    others.iter().map(compared).collect()
}

impl fmt::Display for CheckReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} model of {}, {} bytes, sha256 {}",
            self.family, self.schema, self.size_bytes, self.sha256
        )?;
        match self.unproven {
            Some(reason) => writeln!(f, "unverified: {reason}")?,
            None => writeln!(f, "{} golden rows, tolerance {:e}", self.golden_rows, self.tolerance)?,
        }
        for result in &self.results {
            let form = if result.subgraph { GraphForm::Subgraph } else { GraphForm::Full }.name();
            let what = format!("{:<12} {form:<12}", result.backend);
            match self.is_external.then_some(result.failure.is_none()) {
                Some(true) => writeln!(f, "ok      {:<12} runs", result.backend)?,
                Some(false) => {
                    let failure = result.failure.as_deref().unwrap_or_default();
                    writeln!(f, "cannot  {:<12} {failure}", result.backend)?;
                }
                None => write_outcome(f, &what, result.failure.as_deref(), result.max_difference)?,
            }
        }
        for CheckComparison { backends: [first, second], rows, max_difference, failure } in &self.comparisons
        {
            let what =
                format!("{first} and {second} on {rows} rows, golden and drawn from the training profile:");
            write_outcome(f, &what, failure.as_deref(), *max_difference)?;
        }
        Ok(())
    }
}

fn write_outcome(
    f: &mut fmt::Formatter<'_>,
    what: &str,
    failure: Option<&str>,
    max_difference: Option<f64>,
) -> fmt::Result {
    match failure {
        Some(failure) => writeln!(f, "FAILED  {what} {failure}"),
        None => writeln!(f, "ok      {what} largest difference {:.1e}", max_difference.unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests;
