//! `POST /predict`, and the same for a named model, one of its loaded versions or one of its aliases.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::{Path, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Version};
use axum::response::Response;
use chrono::Utc;
use onnward_records::capture::Prediction;
use onnward_records::ground_truth::PredictionBatch;
use onnward_records::prediction_id::PredictionId;
use onnward_records::traces::{Scoring, Stages};
use onnward_rows::{BodyShape, ParseError, ParsedRows, RowKeys};
use onnward_schemas::Rows;
use onnward_schemas::layout::parse_version;
use onnward_serving::batcher::{Scored, SubmitError};
use onnward_serving::registry::ServingModel;
use onnward_telemetry::metrics::Stage;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time;

use crate::access::RequestStats;
use crate::admission::body::{self, ReadBody};
use crate::admission::large_bodies::{BodyPermits, LARGE_BODY_BYTES, LARGE_BODY_CELLS, ParsePermit};
use crate::answer::{Answer, check_predicted};
use crate::problem::ApiError;
use crate::request_id::RequestId;
use crate::state::{Admission, Models, Records};

/// Scores with the default model.
pub async fn with_default_model(
    State(models): State<Arc<Models>>,
    State(admission): State<Arc<Admission>>,
    State(records): State<Arc<Records>>,
    request: Request,
) -> Result<Response, ApiError> {
    predict(&admission, &records, models.default_model()?, request).await
}

/// Scores with the model that the path names.
pub async fn with_named_model(
    State(models): State<Arc<Models>>,
    State(admission): State<Arc<Admission>>,
    State(records): State<Arc<Records>>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    predict(&admission, &records, models.model(&name)?, request).await
}

/// Scores with a loaded version of the model that the path names.
pub async fn with_version(
    State(models): State<Arc<Models>>,
    State(admission): State<Arc<Admission>>,
    State(records): State<Arc<Records>>,
    Path((name, version)): Path<(String, String)>,
    request: Request,
) -> Result<Response, ApiError> {
    let version = parse_version(&version).ok_or(ApiError::BadVersion)?;
    predict(&admission, &records, models.version(&name, version)?, request).await
}

/// Scores with the version that an alias points at.
pub async fn with_alias(
    State(models): State<Arc<Models>>,
    State(admission): State<Arc<Admission>>,
    State(records): State<Arc<Records>>,
    Path((name, alias)): Path<(String, String)>,
    request: Request,
) -> Result<Response, ApiError> {
    predict(&admission, &records, models.alias(&name, &alias)?, request).await
}

/// Serves a prediction request: admit, parse, score, respond, record.
async fn predict(
    admission: &Admission,
    records: &Records,
    model: Arc<ServingModel>,
    request: Request,
) -> Result<Response, ApiError> {
    let admitted = admit(admission, request).await?;
    let Admitted { version, timeout, deadline, .. } = admitted;
    let Parsed { rows, keys, facts, capture, permits } = parse(admission, records, &model, admitted).await?;
    let scored = score(&model, rows, timeout, deadline).await?;
    // The permits are held until these rows are scored. Otherwise more bodies would be read than the queue can
    // take.
    drop(permits);
    log_failures(&model, facts.id.as_ref(), &scored);
    let (mut response, first) = respond(&model, &facts, &scored)?;
    // A response that is rejected leaves no record.
    admission.reserve_response(&mut response, version)?;
    record(records, &model, Answered { first, shape: facts.shape, scored, keys, capture });
    Ok(response)
}

/// A request whose body has been read.
struct Admitted {
    body: ReadBody,
    id: Option<RequestId>,
    version: Version,
    timeout: Duration,
    deadline: time::Instant,
}

/// Checks a request's head and reads its body within the limits.
async fn admit(admission: &Admission, request: Request) -> Result<Admitted, ApiError> {
    let (Parts { headers, version, mut extensions, .. }, body) = request.into_parts();
    body::check_type(&headers)?;
    let timeout = body::request_timeout(&headers, admission.request_timeout)?;
    let deadline = time::Instant::now() + timeout;
    let body = body::read(admission, &headers, body, timeout, deadline).await?;
    Ok(Admitted { body, id: extensions.remove(), version, timeout, deadline })
}

/// A request whose rows have been parsed.
struct Parsed {
    rows: Rows,
    keys: RowKeys,
    facts: RequestFacts,
    capture: Option<CapturedBody>,
    permits: RowsPermits,
}

/// The permits of a large body's rows, until they are scored.
struct RowsPermits {
    _parse: Option<ParsePermit>,
    _memory: Option<OwnedSemaphorePermit>,
}

/// The properties of a request for its response and its statistics.
struct RequestFacts {
    id: Option<RequestId>,
    shape: BodyShape,
    rows: usize,
    body_bytes: u64,
    /// The start of the parse.
    started: Instant,
}

/// A body to capture, with the memory reserved for it.
struct CapturedBody {
    request_id: String,
    body: Bytes,
    _memory: OwnedSemaphorePermit,
}

/// Parses the rows of a prediction request, with their keys if predictions are stored.
async fn parse(
    admission: &Admission,
    records: &Records,
    model: &Arc<ServingModel>,
    admitted: Admitted,
) -> Result<Parsed, ApiError> {
    let Admitted { body: ReadBody { bytes, permits }, id, .. } = admitted;
    let request_id = id;
    let id = request_id.as_ref().map(RequestId::as_str);
    if records.logs_bodies {
        log_body(&bytes, id);
    }
    let capture = records.capture.as_deref().zip(id).filter(|(capture, _)| capture.is_sampled());
    let captured = capture.map(|(_, id)| (id.to_owned(), bytes.clone()));
    let body_bytes = bytes.len() as u64;
    let started = Instant::now();
    let (parsed, body_memory, permits) =
        parse_rows(admission, model, bytes, permits, records.outcomes.is_some()).await?;
    // The reservation lives as long as the body.
    let capture = captured.map(|(request_id, body)| CapturedBody { request_id, body, _memory: body_memory });
    let ParsedRows { rows, keys, shape } = parsed;
    let facts = RequestFacts { id: request_id, shape, rows: rows.len, body_bytes, started };
    Ok(Parsed { rows, keys, facts, capture, permits })
}

/// Parses a small body inline, and a large one on a blocking thread. Returns the rows with the memory of the
/// body, and with the permits of the rows.
async fn parse_rows(
    admission: &Admission,
    model: &Arc<ServingModel>,
    bytes: Bytes,
    permits: BodyPermits,
    keeps_keys: bool,
) -> Result<(ParsedRows, OwnedSemaphorePermit, RowsPermits), ApiError> {
    let limits = admission.rows_limits;
    let cells = model.parser.max_cells(&bytes, limits);
    if bytes.len() < LARGE_BODY_BYTES && cells <= LARGE_BODY_CELLS {
        let BodyPermits { memory, parse } = permits;
        let rows = model.parser.parse(&bytes, limits, keeps_keys)?;
        return Ok((rows, memory, RowsPermits { _parse: parse, _memory: None }));
    }
    // A body that leaves its values out becomes a matrix of a thousand times its size.
    let rows_memory = admission.reserve_memory(cells.saturating_mul(size_of::<f32>()), false)?;
    let model = Arc::clone(model);
    let parse = move || Ok((model.parser.parse(&bytes, limits, keeps_keys)?, rows_memory));
    let ((rows, rows_memory), permits) = admission.large_body_limiter.parse(permits, parse).await?;
    let BodyPermits { memory, parse } = permits;
    Ok((rows, memory, RowsPermits { _parse: parse, _memory: Some(rows_memory) }))
}

/// Scores the rows within the remaining time of the request.
async fn score(
    model: &ServingModel,
    rows: Rows,
    timeout: Duration,
    deadline: time::Instant,
) -> Result<Scored, ApiError> {
    let left = deadline.saturating_duration_since(time::Instant::now());
    model.batcher.submit(rows, left).await.map_err(|error| match error {
        // The error states the timeout of the whole request, not the time that remained after the body.
        SubmitError::TimedOut { .. } => ApiError::TimedOut { after: timeout },
        error => error.into(),
    })
}

/// Builds the response, and returns it with the id of its first prediction.
fn respond(
    model: &Arc<ServingModel>,
    facts: &RequestFacts,
    scored: &Scored,
) -> Result<(Response, PredictionId), ApiError> {
    let Scored { predictions, timings } = scored;
    let RequestFacts { shape, rows, body_bytes, started: read, .. } = *facts;
    let answering = Instant::now();
    check_predicted(predictions, model.description.schema(), shape).map_err(ApiError::InvalidRows)?;
    let first = PredictionId::now();
    let answer = Answer { model, predictions, form: shape, first: Some(first) };
    let json = answer.to_json().map_err(|error| ApiError::Failed { reason: error.to_string() })?;
    let mut response = Response::new(Body::from(json));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let answered = Instant::now();
    let metrics = model.monitor.inference();
    metrics.stage(Stage::Encode, timings.submitted - read);
    metrics.stage(Stage::Respond, answered - answering);
    let stages = Stages { read, timings: *timings, answering, answered };
    let scoring = Some(Scoring { model: Arc::clone(model), stages });
    response.extensions_mut().insert(RequestStats { rows, bytes: body_bytes, scoring });
    Ok((response, first))
}

/// A prediction whose response has been built.
struct Answered {
    first: PredictionId,
    shape: BodyShape,
    scored: Scored,
    keys: RowKeys,
    capture: Option<CapturedBody>,
}

/// Offers the prediction to the capture, if sampled, and stores it for its outcomes, if configured.
fn record(records: &Records, model: &Arc<ServingModel>, answered: Answered) {
    let Answered { first, shape: form, scored: Scored { predictions, .. }, keys, capture } = answered;
    if let Some((capture, captured)) = records.capture.as_deref().zip(capture) {
        let CapturedBody { request_id, body, _memory } = captured;
        let (time, model, predictions) = (Utc::now(), Arc::clone(model), predictions.clone());
        capture.offer(Prediction { time, request_id, first, model, body, form, predictions });
    }
    if let Some(outcomes) = &records.outcomes {
        outcomes.keep(PredictionBatch { first, by: Arc::clone(&model.identity), predictions, keys });
    }
}

/// Logs that rows of a request have no prediction: one line a request. The reasons are in the response alone, as they may
/// quote a customer's values.
fn log_failures(model: &ServingModel, id: Option<&RequestId>, scored: &Scored) {
    let failures = &scored.predictions.failures;
    if let Some(first) = failures.first() {
        let (request_id, version) = (id.map(RequestId::as_str), model.version);
        let (rows, first_row) = (failures.len(), first.row);
        tracing::warn!(model = model.name, version, request_id, rows, first_row, "the model fails on rows");
    }
}

/// Logs a request's body, for client development, if configured.
fn log_body(bytes: &[u8], request_id: Option<&str>) {
    const MAX_LOGGED_BYTES: usize = 16 * 1024;
    let body = String::from_utf8_lossy(bytes.get(..MAX_LOGGED_BYTES).unwrap_or(bytes));
    tracing::debug!(request_id, body = &*body, "request body");
}

impl From<ParseError> for ApiError {
    fn from(error: ParseError) -> Self {
        match error {
            ParseError::NotUtf8 { offset } => Self::NotUtf8 { offset },
            ParseError::NotJson { reason } => Self::NotJson { reason },
            ParseError::TooComplex(error) => Self::TooComplex { reason: error.to_string() },
            ParseError::Invalid(violations) => Self::InvalidRows(violations),
        }
    }
}
