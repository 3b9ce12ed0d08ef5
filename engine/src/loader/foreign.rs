//! Foreign files: there are no golden rows to prove them on, so they are tried on rows made from their inputs.

use std::time::Instant;

use onnward_onnx::ExternalModel;
use onnward_repository::FetchedModel;
use onnward_schemas::GoldenValue;
use thiserror::Error;

use super::{LoadError, Loader, Proven, WARM_UP_SIZES};
use crate::backend::{Backend, BackendError, BackendKind, ForeignSession, Session, probability};
use crate::batcher::costs::BatchCosts;
use crate::registry::{Description, ForeignDescription, UNPROVEN};

/// How much a probability may differ between a row by itself and the same row in a batch: matrix kernels add in another
/// order when there are more rows.
const BATCH_TOLERANCE: f32 = 1e-5;

/// Why a foreign model that opens is not served.
#[derive(Debug, Error, Clone, PartialEq)]
pub enum TrialError {
    /// No row was scored.
    #[error(
        "on {backend}, none of the rows that it was tried on is scored ({reason}): write a row that it takes under \
         [example] in config.toml"
    )]
    NoRowScored {
        /// The backend.
        backend: BackendKind,
        /// What became of the last row.
        reason: String,
    },
    /// The output holds something else than probabilities.
    #[error(
        "its output {output:?} gives {number}, which is no probability: write `activation = \"sigmoid\"` or \"softmax\" \
         under [output] in config.toml if it holds logits, or the `name` of another output"
    )]
    NoProbability {
        /// The output.
        output: String,
        /// What it gives.
        number: f32,
    },
    /// What comes out is not a number for each row.
    #[error(transparent)]
    Backend(BackendError),
    /// The rows of a batch are not independent of each other.
    #[error(
        "a row's probability depends on the rows beside it ({alone} alone, {batched} in a batch): export the model for \
         inference (in PyTorch: `model.eval()` first)"
    )]
    RowsDiffer {
        /// The probability of the row by itself.
        alone: f32,
        /// The probability of the row in a batch.
        batched: f32,
    },
}

/// Opens a foreign file on the first backend that can, tries it, and warms a session for each worker.
pub(super) fn prove(loader: &Loader, name: &str, fetched: &FetchedModel) -> Result<Proven, LoadError> {
    let config = fetched.config.as_deref();
    let model = ExternalModel::decode_within(name, &fetched.bytes, config, &loader.bounds)?;
    let bytes = model.encode();
    let mut errors = Vec::new();
    for backend in &loader.backends {
        match ForeignSession::open(backend.as_ref(), &model, &bytes) {
            Ok(session) => {
                let proven = prove_on(loader, backend.as_ref(), &bytes, &model, session)?;
                announce(name, &model);
                return Ok(proven);
            }
            Err(error) => {
                tracing::warn!(model = name, backend = backend.kind().name(), %error, "the backend is passed over");
                errors.push(error);
            }
        }
    }
    Err(if errors.is_empty() { LoadError::NoBackend } else { LoadError::Open(errors) })
}

/// Opens a foreign model on a backend and tries it: how many rows it has scored.
///
/// # Errors
/// [`LoadError::Open`], [`LoadError::Trial`].
pub fn try_on(backend: &dyn Backend, model: &ExternalModel, bytes: &[u8]) -> Result<usize, LoadError> {
    let mut session = open(backend, model, bytes)?;
    Ok(try_out(&mut session, backend.kind(), model)?.rows)
}

/// Tells how a file that says little of itself is understood.
fn announce(name: &str, model: &ExternalModel) {
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

fn prove_on(
    loader: &Loader,
    backend: &dyn Backend,
    bytes: &[u8],
    model: &ExternalModel,
    mut session: ForeignSession,
) -> Result<Proven, LoadError> {
    let max_batch_rows = loader.batching.max_batch_rows;
    let tried = try_out(&mut session, backend.kind(), model)?;
    warm_up(&mut session, model, &tried.row, max_batch_rows)?;
    let costs = BatchCosts::measure(|size| {
        let start = Instant::now();
        run(&mut session, model, &tried.row, size)?;
        Ok::<_, LoadError>(start.elapsed())
    })?;
    let mut sessions: Vec<Box<dyn Session>> = vec![Box::new(session)];
    while sessions.len() < loader.batching.workers {
        let mut session = open(backend, model, bytes)?;
        warm_up(&mut session, model, &tried.row, max_batch_rows)?;
        sessions.push(Box::new(session));
    }
    let description = Description::Foreign(Box::new(ForeignDescription {
        schema: model.schema.clone(),
        producer: model.producer.clone(),
        example: (tried.row, tried.probability),
    }));
    Ok(Proven { backend: backend.kind(), sessions, costs, comparison: None, description })
}

fn open(backend: &dyn Backend, model: &ExternalModel, bytes: &[u8]) -> Result<ForeignSession, LoadError> {
    ForeignSession::open(backend, model, bytes).map_err(|error| LoadError::Open(vec![error]))
}

/// How a trial went.
struct Tried {
    /// The first row that was scored.
    row: Vec<GoldenValue>,
    /// Its probability.
    probability: f32,
    /// How many rows were scored.
    rows: usize,
}

/// Scores the model's typical rows one by one, and those that are scored together: the graph runs, gives probabilities,
/// and gives them whatever else is in the batch.
fn try_out(
    session: &mut ForeignSession,
    backend: BackendKind,
    model: &ExternalModel,
) -> Result<Tried, TrialError> {
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
        return Err(TrialError::NoRowScored { backend, reason });
    };
    let batched = session.try_rows(&model.schema.rows_of(&rows)).map_err(TrialError::Backend)?;
    match alone.iter().zip(&batched).find(|(alone, batched)| (*alone - *batched).abs() > BATCH_TOLERANCE) {
        Some((&alone, &batched)) => Err(TrialError::RowsDiffer { alone, batched }),
        None => Ok(Tried { row: row.clone(), probability, rows: rows.len() }),
    }
}

/// The probability of one row, or why there is none: what fails on this row may run on others.
fn try_row(
    session: &mut ForeignSession,
    model: &ExternalModel,
    row: &[GoldenValue],
) -> Result<Result<f32, String>, TrialError> {
    let scored = session.try_rows(&model.schema.rows_of(&[row.to_vec()]));
    let number = match scored {
        Ok(numbers) => numbers.first().copied().unwrap_or(f32::NAN),
        Err(BackendError::Run { reason, .. }) => return Ok(Err(reason)),
        Err(error) => return Err(TrialError::Backend(error)),
    };
    if number.is_nan() {
        return Ok(Err("what comes out is no number".to_owned()));
    }
    let probability = probability(number);
    if probability.is_nan() {
        return Err(TrialError::NoProbability { output: model.output.name.clone(), number });
    }
    Ok(Ok(probability))
}

/// Runs the batch sizes that come first, so that no request pays for the first allocation of its size.
fn warm_up(
    session: &mut ForeignSession,
    model: &ExternalModel,
    row: &[GoldenValue],
    max_batch_rows: Option<usize>,
) -> Result<(), LoadError> {
    let may_come = |size: &usize| max_batch_rows.is_none_or(|max| *size <= max);
    WARM_UP_SIZES.into_iter().filter(may_come).try_for_each(|size| run(session, model, row, size))
}

/// Scores one row so many times.
fn run(
    session: &mut ForeignSession,
    model: &ExternalModel,
    row: &[GoldenValue],
    size: usize,
) -> Result<(), LoadError> {
    let rows = model.schema.rows_of(&vec![row.to_vec(); size]);
    session.try_rows(&rows).map(drop).map_err(|source| LoadError::WarmUp { rows: size, source })
}

#[cfg(test)]
mod tests;
