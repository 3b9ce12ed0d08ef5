//! Few external ONNX files have rows with expected outputs. A smoke test runs each on the example of its
//! `config.toml`, on such rows, or else on generated rows.

use onnward_onnx::{ExpectedRows, ExternalModel, KindSource, ModelBounds, Unexpected};
use onnward_schemas::{GoldenValue, LabelledPrediction, Prediction, Predictions};
use thiserror::Error;

use super::{ModelFile, Progress, VerifiedModel, Verifier, VerifyError, warm_up_sizes};
use crate::backend::{Backend, BackendError, BackendKind, ExternalSession, Session, no_probability};
use crate::costs::measure_costs;
use crate::description::{Description, ExternalDescription, PROVEN, PassedOver, UNPROVEN};
use crate::memory::MemoryReservation;

/// The tolerance between the prediction for a single row and for the same row in a batch. Matrix kernels add
/// in another order if there are more rows.
const BATCH_TOLERANCE: f64 = 1e-5;

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
        "its output {output:?} returns {number}, which is not a probability: under [output] in config.toml, write \
         `kind = \"number\"` or `kind = \"raw\"` to answer it as it is, or an `activation` if it contains logits of a \
         classifier"
    )]
    NoProbability {
        /// The output.
        output: String,
        /// Its number.
        number: f64,
    },
    /// The output does not hold a number for each row.
    #[error(transparent)]
    Backend(BackendError),
    /// The rows of a batch are not independent of each other.
    #[error(
        "a row's prediction depends on the rows beside it, or on chance ({alone} alone, {batched} in a batch): export \
         the model for inference (in PyTorch: `model.eval()` first), or, if it is made to score a row at a time, write \
         `rows_per_run = 1` under [model] in config.toml"
    )]
    RowsDiffer {
        /// The prediction for the single row, in words.
        alone: String,
        /// The prediction for the row in a batch, in words.
        batched: String,
    },
    /// A row is not answered as was expected.
    #[error(
        "expected row {row} is answered with {place} = {actual} instead of {expected} (tolerance {tolerance}): the file \
         does not compute what its library computed; convert the model again, or correct the expected rows"
    )]
    Unexpected {
        /// The row, counted from 1.
        row: usize,
        /// The place in the answer.
        place: String,
        /// What was expected, as JSON.
        expected: String,
        /// What was answered, as JSON, or why there is no answer.
        actual: String,
        /// The tolerance.
        tolerance: f64,
    },
    /// Rows are scored alone, and not together.
    #[error(
        "it scores rows alone and not together ({0}): export it again with any number of rows, or write `rows_per_run = 1` \
         under [model] in config.toml"
    )]
    Batch(BackendError),
    /// Nothing shows that rows are independent of each other.
    #[error(
        "a single row is scored{reason}, so nothing shows that rows are independent of each other: write several rows as \
         [[example]] in config.toml, or `rows_per_run = 1` under [model]"
    )]
    OneRowScored {
        /// The reason why the last other row was not scored, in parentheses, if there is one.
        reason: String,
    },
}

impl SmokeTestError {
    /// Returns whether the outputs hold something else than what was read from the graph.
    fn contradicts_reading(&self) -> bool {
        matches!(self, Self::NoProbability { .. } | Self::Backend(BackendError::Output { .. }))
    }
}

/// Verifies an external file as what its graph shows that it answers. If that are no probabilities, and the file leaves
/// it open, the outputs are answered as they are.
pub(super) fn verify(
    verifier: &Verifier,
    name: &str,
    model: ExternalModel,
    file: &ModelFile<'_>,
    memory: MemoryReservation,
    progress: &Progress<'_>,
) -> Result<VerifiedModel, VerifyError> {
    let is_stated = model.decided_by == KindSource::Config;
    match verify_as_read(verifier, name, model, file, memory, progress) {
        Err(VerifyError::SmokeTest(error)) if !is_stated && error.contradicts_reading() => {
            tracing::warn!(model = name, %error, "the outputs are answered as they are");
            let memory = verifier.memory.reserve(verifier.bounds.decoded_bytes(file.bytes)?)?;
            let raw = ExternalModel::decode_raw_within(name, file.bytes, file.config, &verifier.bounds)?;
            verify_as_read(verifier, name, raw, file, memory, progress)
        }
        verified => verified,
    }
}

/// Opens an external file on the first backend that can, runs its smoke test, and warms up its sessions.
fn verify_as_read(
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
    let (mut errors, mut passed_over) = (Vec::new(), Vec::new());
    for backend in &verifier.backends {
        progress.check()?;
        match ExternalSession::open(backend.as_ref(), &model, &bytes) {
            Ok(session) => {
                let mut verified =
                    verify_on(verifier, backend.as_ref(), &bytes, &model, session, memory, open)?;
                if let Description::External(external) = &mut verified.description {
                    external.passed_over = passed_over;
                }
                log_interpretation(name, &model);
                return Ok(verified);
            }
            Err(error) => {
                tracing::warn!(model = name, backend = backend.kind().name(), %error, "the backend is skipped");
                passed_over.push(PassedOver { backend: backend.kind(), reason: error.to_string() });
                errors.push(error);
            }
        }
    }
    Err(if errors.is_empty() { VerifyError::NoBackend } else { VerifyError::Open(errors) })
}

/// Opens an external file on a backend, runs its smoke test, and returns how many rows it has scored.
///
/// # Errors
/// [`VerifyError::External`], [`VerifyError::Open`], [`VerifyError::SmokeTest`].
pub fn smoke_test(backend: &dyn Backend, file: &[u8], config: Option<&str>) -> Result<usize, VerifyError> {
    let model = ExternalModel::decode("external", file, config)?;
    let test = |model: &ExternalModel| {
        let mut session = open(backend, model, &model.encode())?;
        let tested = run_typical_rows(&mut session, backend.kind(), model)?;
        replay_expected_rows(&mut session, model)?;
        Ok(tested.rows)
    };
    match test(&model) {
        Err(VerifyError::SmokeTest(error))
            if model.decided_by != KindSource::Config && error.contradicts_reading() =>
        {
            test(&ExternalModel::decode_raw_within("external", file, config, &ModelBounds::default())?)
        }
        tested => tested,
    }
}

/// Scores the rows with expected outputs, in one batch, and compares the answers.
fn replay_expected_rows(session: &mut ExternalSession, model: &ExternalModel) -> Result<(), SmokeTestError> {
    let Some(ExpectedRows { tolerance, rows }) = &model.expected_rows else { return Ok(()) };
    let values: Vec<Vec<GoldenValue>> = rows.iter().map(|row| row.values.clone()).collect();
    let scored = session.score_rows(&model.schema.encode_rows(&values)).map_err(SmokeTestError::Batch)?;
    let label = &model.schema.label;
    for (at, row) in rows.iter().enumerate() {
        let refuse = |place: String, expected: String, actual: String| SmokeTestError::Unexpected {
            row: at + 1,
            place,
            expected,
            actual,
            tolerance: *tolerance,
        };
        let failure = scored.failures.iter().find(|failure| failure.row == at);
        let (Some(prediction), None) = (scored.row(at), failure) else {
            let reason = failure.map_or("nothing", |failure| failure.reason.as_str());
            let expected = serde_json::Value::from(row.expected.clone()).to_string();
            return Err(refuse(label.name.clone(), expected, reason.to_owned()));
        };
        let answer = LabelledPrediction { task: &label.task, key: &label.name, prediction };
        if let Some(Unexpected { place, expected, actual }) = row.compare(&answer, *tolerance) {
            return Err(refuse(place, expected.to_string(), actual.to_string()));
        }
    }
    Ok(())
}

/// Logs how the file is interpreted.
pub(super) fn log_interpretation(name: &str, model: &ExternalModel) {
    let fields: Vec<&str> = model.schema.features.iter().map(|feature| feature.name.as_str()).collect();
    let verdict = if model.golden_rows() == 0 { UNPROVEN } else { PROVEN };
    tracing::warn!(
        model = name,
        producer = model.producer,
        fields = fields.join(", "),
        output = model.output.tensors().join(", "),
        task = model.schema.label.task.kind().name(),
        guessed = model.decided_by == KindSource::Guess,
        one_row_a_run = model.one_row_a_run,
        "{verdict}"
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
    replay_expected_rows(&mut session, model)?;
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
        example: (tested.row, tested.prediction),
        passed_over: Vec::new(),
        is_guessed: model.decided_by == KindSource::Guess,
        expected_rows: model.golden_rows(),
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
    /// Its prediction.
    prediction: Predictions,
    /// The number of rows that were scored.
    rows: usize,
}

/// Scores the model's typical rows one by one, and then together those that were scored. It checks that the
/// graph runs, that what should be probabilities are, and that predictions do not depend on the other rows of a batch.
fn run_typical_rows(
    session: &mut ExternalSession,
    backend: BackendKind,
    model: &ExternalModel,
) -> Result<SmokeTest, SmokeTestError> {
    let mut rows = Vec::new();
    let mut alone: Vec<Predictions> = Vec::new();
    let mut reason = String::new();
    for row in &model.typical_rows {
        match try_row(session, model, row)? {
            Ok(prediction) => {
                rows.push(row.clone());
                alone.push(prediction);
            }
            Err(failure) => reason = failure,
        }
    }
    let (Some(row), Some(prediction)) = (rows.first(), alone.first()) else {
        return Err(SmokeTestError::NoRowScored { backend, reason });
    };
    if !model.one_row_a_run && rows.iter().all(|other| other == row) {
        let reason = if reason.is_empty() { reason } else { format!(" ({reason})") };
        return Err(SmokeTestError::OneRowScored { reason });
    }
    let batched = session.score_rows(&model.schema.encode_rows(&rows)).map_err(SmokeTestError::Batch)?;
    for (index, alone) in alone.iter().enumerate() {
        let batched = batched.slice(index..index + 1);
        // NaN agrees with nothing.
        if alone.largest_difference(&batched, 1.0).1 > BATCH_TOLERANCE {
            let [alone, batched] = [alone, &batched].map(described);
            return Err(SmokeTestError::RowsDiffer { alone, batched });
        }
    }
    Ok(SmokeTest { row: row.clone(), prediction: prediction.clone(), rows: rows.len() })
}

/// Describes the prediction of a single row.
fn described(prediction: &Predictions) -> String {
    prediction.row(0).map_or_else(String::new, |row| row.to_string())
}

/// Returns the prediction for one row, or why there is none. A graph that fails on this row may run on
/// others.
fn try_row(
    session: &mut ExternalSession,
    model: &ExternalModel,
    row: &[GoldenValue],
) -> Result<Result<Predictions, String>, SmokeTestError> {
    let scored = match session.score_rows(&model.schema.encode_rows(&[row.to_vec()])) {
        Ok(scored) => scored,
        Err(BackendError::Run { reason, .. }) => return Ok(Err(reason)),
        Err(error) => return Err(SmokeTestError::Backend(error)),
    };
    if let Some(failure) = scored.failures.first() {
        return Ok(Err(failure.reason.clone()));
    }
    let Some(prediction) = scored.row(0).filter(Prediction::is_finite) else {
        return Ok(Err("the output is not a number".to_owned()));
    };
    if let Some(number) = no_probability(prediction) {
        let output = model.output.tensors().last().copied().unwrap_or_default().to_owned();
        return Err(SmokeTestError::NoProbability { output, number });
    }
    Ok(Ok(scored))
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
