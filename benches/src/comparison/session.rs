//! The time of a session without a server, which every server needs at least.
//!
//! It is measured in a process of its own, on the processors of the servers: ONNX Runtime's telemetry must be
//! off before a process has a second thread.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ndarray::ArrayView2;
use onnward_harness::HarnessError;
use onnward_harness::figures::median;
use onnward_harness::process::pin;
use onnward_models::Family;
use onnward_onnx::Artifact;
use onnward_rows::{RowParser, RowsLimits};
use onnward_runtime::backend::{Backend, Batch, TELEMETRY_SWITCH, Tract, load_onnxruntime};
use serde::{Deserialize, Serialize};

use crate::comparison::subject::Subject;
use crate::comparison::workload::Protocol;
use crate::comparison::{Bench, Progress};

/// The least duration of a measurement.
const LONG_ENOUGH: Duration = Duration::from_millis(500);
/// The least number of runs.
const MIN_RUNS: usize = 20;
/// The numbers of rows.
const ROWS: [usize; 3] = [1, 32, 1024];

/// The time of one run of a session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionTime {
    /// Onnward's backend.
    pub backend: String,
    /// The model's family.
    pub family: String,
    /// The rows of a run.
    pub rows: usize,
    /// The median of the runs, in microseconds.
    pub us: f64,
}

/// The settings of a timing.
#[derive(Debug, Clone)]
pub struct SessionPlan {
    /// The backend's name.
    pub backend: String,
    /// The artifact.
    pub artifact: PathBuf,
    /// The rows, as the body of a request.
    pub rows: PathBuf,
    /// The processors to run on; empty for any.
    pub processors: Vec<usize>,
}

/// Times the sessions of the compared Onnward backends.
pub(super) fn measure(
    bench: &Bench<'_>,
    turns: &[(Subject, Family)],
) -> Result<Vec<SessionTime>, HarnessError> {
    let files = &bench.settings.files;
    let mut times = Vec::new();
    for &(subject, family) in turns {
        let Some(backend) = subject.backend().filter(|_| subject != Subject::Onnward) else { continue };
        (bench.tell)(Progress::Doing(format!("{}, {family}: the session alone", subject.title())));
        for rows in ROWS {
            let body = bench.workload.bodies(Protocol::Named, rows)?.into_iter().next().unwrap_or_default();
            let path = files.work.join(format!("rows-{rows}.json"));
            std::fs::write(&path, body).map_err(HarnessError::system(format!("write {}", path.display())))?;
            let artifact = files.work.join(format!("{}.onnx", family.name()));
            let mut command = Command::new(&files.bench);
            command.args(["session", "--backend", backend]).env(TELEMETRY_SWITCH, "1");
            command.arg("--artifact").arg(artifact).arg("--rows").arg(&path);
            for processor in &bench.server_processors {
                command.args(["--processor", &processor.to_string()]);
            }
            let output = command.output().map_err(HarnessError::system("start the session"))?;
            if !output.status.success() {
                let reason = String::from_utf8_lossy(&output.stderr).trim().to_owned();
                return Err(HarnessError::Settings(format!("the session cannot be timed: {reason}")));
            }
            let us: f64 = serde_json::from_slice(&output.stdout)?;
            let (backend, family) = (backend.to_owned(), family.name().to_owned());
            times.push(SessionTime { backend, family, rows, us });
        }
    }
    Ok(times)
}

/// Times a session in this process. Returns the median of its runs in microseconds.
///
/// # Errors
/// [`HarnessError::Settings`] if the model or the rows cannot be used.
pub fn time(plan: &SessionPlan) -> Result<f64, HarnessError> {
    if !plan.processors.is_empty() {
        pin(&plan.processors);
    }
    let unusable =
        |what: &Path, reason: String| HarnessError::Settings(format!("{}: {reason}", what.display()));
    let bytes = std::fs::read(&plan.artifact).map_err(HarnessError::reading(&plan.artifact))?;
    let artifact = Artifact::decode(&bytes).map_err(|error| unusable(&plan.artifact, error.to_string()))?;
    let schema = &artifact.metadata.schema;
    let body = std::fs::read(&plan.rows).map_err(HarnessError::reading(&plan.rows))?;
    let parsed = RowParser::new(schema.clone()).parse(&body, RowsLimits::NONE, false);
    let rows = parsed.map_err(|error| unusable(&plan.rows, error.to_string()))?.rows;
    let matrix = ArrayView2::from_shape((rows.len, schema.features.len()), &rows.values);
    let matrix = matrix.map_err(|error| unusable(&plan.rows, error.to_string()))?;

    let backend = backend(&plan.backend)?;
    let cut = artifact.encode_subgraph().map_err(|error| unusable(&plan.artifact, error.to_string()))?;
    let mut session = backend
        .open(&cut, &schema.label.task)
        .map_err(|error| unusable(&plan.artifact, error.to_string()))?;
    let mut times = Vec::new();
    let start = Instant::now();
    while times.len() < MIN_RUNS || start.elapsed() < LONG_ENOUGH {
        let begun = Instant::now();
        let scores = session.score(Batch::Features(matrix));
        times.push(begun.elapsed().as_secs_f64() * 1e6);
        std::hint::black_box(scores.map_err(|error| unusable(&plan.artifact, error.to_string()))?);
    }
    Ok(median(times))
}

fn backend(name: &str) -> Result<Arc<dyn Backend>, HarnessError> {
    if name == "tract" {
        return Ok(Arc::new(Tract::new()));
    }
    load_onnxruntime(None).map_err(|error| HarnessError::Settings(error.to_string()))
}
