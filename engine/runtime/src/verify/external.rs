//! External ONNX files have no golden rows to verify them on, so a smoke test runs them on the example of their
//! `config.toml`, or else on generated rows.

use onnward_onnx::ExternalModel;
use onnward_schemas::GoldenValue;
use thiserror::Error;

use super::{ModelFile, Progress, VerifiedModel, Verifier, VerifyError, warm_up_sizes};
use crate::backend::{Backend, BackendError, BackendKind, ExternalSession, Session, clamp_probability};
use crate::costs::measure_costs;
use crate::description::{Description, ExternalDescription, UNPROVEN};
use crate::memory::MemoryReservation;

/// The tolerance between the probability of a single row and of the same row in a batch. Matrix kernels add
/// in another order if there are more rows.
const BATCH_TOLERANCE: f32 = 1e-5;

/// The reason why an external model that opens is not served.
#[derive(Debug, Error, Clone, PartialEq)]
pub enum SmokeTestError {
    /// No row was scored.
    #[error(
        "{backend} scored no row of the smoke test ({reason}): write a valid row under [example] in config.toml"
    )]
    NoRowScored {
        /// The backend.
        backend: BackendKind,
        /// The reason why the last row was not scored.
        reason: String,
    },
    /// The output does not hold probabilities.
    #[error(
        "its output {output:?} returns {number}, which is not a probability: write `activation = \"sigmoid\"` or \"softmax\" \
         under [output] in config.toml if it contains logits, or the `name` of another output"
    )]
    NoProbability {
        /// The output.
        output: String,
        /// Its number.
        number: f32,
    },
    /// The output does not hold a number for each row.
    #[error(transparent)]
    Backend(BackendError),
    /// The rows of a batch are not independent of each other.
    #[error(
        "a row's probability depends on the rows beside it ({alone} alone, {batched} in a batch): export the model for \
         inference (in PyTorch: `model.eval()` first)"
    )]
    RowsDiffer {
        /// The probability of the single row.
        alone: f32,
        /// The probability of the row in a batch.
        batched: f32,
    },
}

/// Opens an external file on the first backend that can, runs its smoke test, and warms up its sessions.
pub(super) fn verify(
    verifier: &Verifier,
    name: &str,
    mut model: ExternalModel,
    file: &ModelFile<'_>,
    mut memory: MemoryReservation,
    progress: &Progress<'_>,
) -> Result<VerifiedModel, VerifyError> {
    let [opening, open] = super::graphs::open_bytes(file.bytes.len(), model.tree_nodes());
    memory.grow(memory.bytes().saturating_add(opening))?;
    let bytes = model.take_file();
    let mut errors = Vec::new();
    for backend in &verifier.backends {
        progress.check()?;
        match ExternalSession::open(backend.as_ref(), &model, &bytes) {
            Ok(session) => {
                let verified = verify_on(verifier, backend.as_ref(), &bytes, &model, session, memory, open)?;
                log_interpretation(name, &model);
                return Ok(verified);
            }
            Err(error) => {
                tracing::warn!(model = name, backend = backend.kind().name(), %error, "the backend is skipped");
                errors.push(error);
            }
        }
    }
    Err(if errors.is_empty() { VerifyError::NoBackend } else { VerifyError::Open(errors) })
}

/// Opens an external model on a backend, runs its smoke test, and returns how many rows it has scored.
///
/// # Errors
/// [`VerifyError::Open`], [`VerifyError::SmokeTest`].
pub fn smoke_test(backend: &dyn Backend, model: &ExternalModel, bytes: &[u8]) -> Result<usize, VerifyError> {
    let mut session = open(backend, model, bytes)?;
    Ok(run_typical_rows(&mut session, backend.kind(), model)?.rows)
}

/// Logs how the file is interpreted.
pub(super) fn log_interpretation(name: &str, model: &ExternalModel) {
    let fields: Vec<&str> = model.schema.features.iter().map(|feature| feature.name.as_str()).collect();
    tracing::warn!(
        model = name,
        producer = model.producer,
        fields = fields.join(", "),
        output = model.output.name,
        positive = model.schema.label.positive,
        one_row_a_run = model.one_row_a_run,
        "{UNPROVEN}"
    );
}

fn verify_on(
    verifier: &Verifier,
    backend: &dyn Backend,
    bytes: &[u8],
    model: &ExternalModel,
    mut session: ExternalSession,
    mut memory: MemoryReservation,
    open_bytes: u64,
) -> Result<VerifiedModel, VerifyError> {
    let max_batch_rows = verifier.max_batch_rows;
    let tested = run_typical_rows(&mut session, backend.kind(), model)?;
    warm_up(&mut session, model, &tested.row, max_batch_rows)?;
    let sample = model.schema.encode_rows(std::slice::from_ref(&tested.row));
    let costs = measure_costs(&mut session, &sample)
        .map_err(|source| VerifyError::WarmUp { rows: sample.len, source })?;
    let mut sessions: Vec<Box<dyn Session>> = vec![Box::new(session)];
    while sessions.len() < verifier.sessions {
        memory.grow(memory.bytes().saturating_add(open_bytes))?;
        let mut session = open(backend, model, bytes)?;
        warm_up(&mut session, model, &tested.row, max_batch_rows)?;
        sessions.push(Box::new(session));
    }
    memory.loaded(open_bytes.saturating_mul(verifier.sessions as u64));
    let description = Description::External(Box::new(ExternalDescription {
        schema: model.schema.clone(),
        producer: model.producer.clone(),
        example: (tested.row, tested.probability),
    }));
    Ok(VerifiedModel {
        backend: backend.kind(),
        sessions,
        costs,
        sample,
        comparison: None,
        description,
        memory,
    })
}

fn open(backend: &dyn Backend, model: &ExternalModel, bytes: &[u8]) -> Result<ExternalSession, VerifyError> {
    ExternalSession::open(backend, model, bytes).map_err(|error| VerifyError::Open(vec![error]))
}

/// The result of a smoke test.
struct SmokeTest {
    /// The first row that was scored.
    row: Vec<GoldenValue>,
    /// Its probability.
    probability: f32,
    /// The number of rows that were scored.
    rows: usize,
}

/// Scores the model's typical rows one by one, and then together those that were scored. It checks that the
/// graph runs, that it returns probabilities, and that these do not depend on the other rows of a batch.
fn run_typical_rows(
    session: &mut ExternalSession,
    backend: BackendKind,
    model: &ExternalModel,
) -> Result<SmokeTest, SmokeTestError> {
    let mut rows = Vec::new();
    let mut alone = Vec::new();
    let mut reason = String::new();
    for row in &model.typical_rows {
        match try_row(session, model, row)? {
            Ok(probability) => {
                rows.push(row.clone());
                alone.push(probability);
            }
            Err(failure) => reason = failure,
        }
    }
    let (Some(row), Some(probability)) = (rows.first(), alone.first().copied()) else {
        return Err(SmokeTestError::NoRowScored { backend, reason });
    };
    let batched = session.score_rows(&model.schema.encode_rows(&rows)).map_err(SmokeTestError::Backend)?;
    // NaN agrees with nothing.
    let agree = |alone: f32, batched: f32| (alone - batched).abs() <= BATCH_TOLERANCE;
    match alone.iter().zip(&batched).find(|(alone, batched)| !agree(**alone, **batched)) {
        Some((&alone, &batched)) => Err(SmokeTestError::RowsDiffer { alone, batched }),
        None => Ok(SmokeTest { row: row.clone(), probability, rows: rows.len() }),
    }
}

/// Returns the probability of one row, or why there is none. A graph that fails on this row may run on
/// others.
fn try_row(
    session: &mut ExternalSession,
    model: &ExternalModel,
    row: &[GoldenValue],
) -> Result<Result<f32, String>, SmokeTestError> {
    let scored = session.score_rows(&model.schema.encode_rows(&[row.to_vec()]));
    let number = match scored {
        Ok(numbers) => numbers.first().copied().unwrap_or(f32::NAN),
        Err(BackendError::Run { reason, .. }) => return Ok(Err(reason)),
        Err(error) => return Err(SmokeTestError::Backend(error)),
    };
    if number.is_nan() {
        return Ok(Err("the output is not a number".to_owned()));
    }
    let probability = clamp_probability(number);
    if probability.is_nan() {
        return Err(SmokeTestError::NoProbability { output: model.output.name.clone(), number });
    }
    Ok(Ok(probability))
}

/// Runs the most likely batch sizes once, so that no request pays for the first allocation of its size.
fn warm_up(
    session: &mut ExternalSession,
    model: &ExternalModel,
    row: &[GoldenValue],
    max_batch_rows: Option<usize>,
) -> Result<(), VerifyError> {
    warm_up_sizes(max_batch_rows).try_for_each(|size| run(session, model, row, size))
}

/// Scores a batch of `size` equal rows.
fn run(
    session: &mut ExternalSession,
    model: &ExternalModel,
    row: &[GoldenValue],
    size: usize,
) -> Result<(), VerifyError> {
    let rows = model.schema.encode_rows(&vec![row.to_vec(); size]);
    session.score_rows(&rows).map(drop).map_err(|source| VerifyError::WarmUp { rows: size, source })
}

#[cfg(test)]
mod tests;
