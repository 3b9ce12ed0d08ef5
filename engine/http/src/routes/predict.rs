//! `POST /predict`, and the same for a named model, one of its loaded versions or one of its aliases.

use std::sync::Arc;
use std::time::Instant;

use axum::body::{Body, Bytes};
use axum::extract::{Path, Request, State};
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::response::Response;
use chrono::Utc;
use onnward_records::capture::Prediction;
use onnward_records::ground_truth::PredictionBatch;
use onnward_records::prediction_id::PredictionId;
use onnward_records::traces::{Scoring, Stages};
use onnward_rows::{ParseError, ParsedRows, RowsLimits};
use onnward_schemas::layout::parse_version;
use onnward_serving::batcher::{Scored, SubmitError};
use onnward_serving::registry::ServingModel;
use onnward_telemetry::metrics::Stage;
use tokio::time;

use crate::access::Handled;
use crate::admission::body::{self, WholeBody};
use crate::admission::large_bodies::{LARGE_BODY_BYTES, LARGE_BODY_CELLS, Place};
use crate::answer::{Answer, check_finite};
use crate::problem::ApiError;
use crate::request_id::RequestId;
use crate::state::HttpState;

/// Scores with the default model.
pub async fn with_default_model(
    State(state): State<HttpState>,
    request: Request,
) -> Result<Response, ApiError> {
    predict(&state, state.default_model()?, request).await
}

/// Scores with the model that the path names.
pub async fn with_named_model(
    State(state): State<HttpState>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    predict(&state, state.model(&name)?, request).await
}

/// Scores with a loaded version of the model that the path names.
pub async fn with_version(
    State(state): State<HttpState>,
    Path((name, version)): Path<(String, String)>,
    request: Request,
) -> Result<Response, ApiError> {
    let version = parse_version(&version).ok_or(ApiError::BadVersion)?;
    predict(&state, state.version(&name, version)?, request).await
}

/// Scores with the version that an alias names.
pub async fn with_alias(
    State(state): State<HttpState>,
    Path((name, alias)): Path<(String, String)>,
    request: Request,
) -> Result<Response, ApiError> {
    predict(&state, state.alias(&name, &alias)?, request).await
}

async fn predict(
    state: &HttpState,
    model: Arc<ServingModel>,
    request: Request,
) -> Result<Response, ApiError> {
    let (Parts { headers, extensions, .. }, body) = request.into_parts();
    body::check_type(&headers)?;
    let config = &state.config;
    let timeout = body::request_timeout(&headers, config.request_timeout)?;
    let deadline = time::Instant::now() + timeout;
    let WholeBody { bytes, charged, mut place } =
        body::read(state, &headers, body, timeout, deadline).await?;

    let id = extensions.get::<RequestId>().map(RequestId::as_str);
    if config.access_log.values {
        log_body(&bytes, id);
    }
    let capture = state.capture.as_deref().zip(id).filter(|(capture, _)| capture.is_sampled());
    let captured = capture.map(|_| bytes.clone());
    let size = bytes.len() as u64;
    let limits = RowsLimits::of_bodies(config.max_request_rows, config.max_body_bytes);
    let read = Instant::now();
    let parsed = read_rows(state, &model, bytes, &mut place, limits).await?;
    let ParsedRows { rows, keys, shape: form } = parsed;
    let len = rows.len;
    // What is still held stays charged.
    let charged = captured.is_some().then_some(charged);
    let left = deadline.saturating_duration_since(time::Instant::now());
    let scored = model.batcher.submit(rows, left).await.map_err(|error| match error {
        // The client knows the whole time, not what its body had left of it.
        SubmitError::TimedOut { .. } => ApiError::TimedOut { after: timeout },
        error => error.into(),
    })?;
    // Another body is let in once these rows wait no more: it would be read only to find the queue full.
    drop(place);

    let Scored { probabilities, timings } = scored;
    let answering = Instant::now();
    check_finite(&probabilities).map_err(ApiError::InvalidRows)?;
    let first = PredictionId::now();
    let answer = Answer { model: &model, probabilities: &probabilities, form, first: Some(first) };
    let json = answer.to_json().map_err(|error| ApiError::Failed { reason: error.to_string() })?;
    let mut response = Response::new(Body::from(json));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let answered = Instant::now();
    let seen = model.monitor.inference();
    seen.stage(Stage::Encode, timings.submitted - read);
    seen.stage(Stage::Respond, answered - answering);
    let scoring =
        Some(Scoring { model: Arc::clone(&model), stages: Stages { read, timings, answering, answered } });
    response.extensions_mut().insert(Handled { rows: len, bytes: size, scoring });
    if let Some(((capture, id), body)) = capture.zip(captured) {
        let (time, request_id, model) = (Utc::now(), id.to_owned(), Arc::clone(&model));
        let probabilities = probabilities.clone();
        capture.offer(Prediction { time, request_id, first, model, body, form, probabilities });
    }
    drop(charged);
    if let Some(outcomes) = &state.outcomes {
        outcomes.keep(PredictionBatch { first, by: Arc::clone(&model.identity), probabilities, keys });
    }
    Ok(response)
}

/// Writes down what a request holds, for who develops a client and has asked for it.
fn log_body(bytes: &[u8], request_id: Option<&str>) {
    const MOST_BYTES: usize = 16 * 1024;
    let body = String::from_utf8_lossy(bytes.get(..MOST_BYTES).unwrap_or(bytes));
    tracing::debug!(request_id, body = &*body, "what a request holds");
}

async fn read_rows(
    state: &HttpState,
    model: &Arc<ServingModel>,
    bytes: Bytes,
    place: &mut Option<Place>,
    limits: RowsLimits,
) -> Result<ParsedRows, ApiError> {
    let keeps_keys = state.outcomes.is_some();
    if bytes.len() < LARGE_BODY_BYTES && !model.parser.may_exceed_cells(&bytes, LARGE_BODY_CELLS) {
        return Ok(model.parser.parse(&bytes, limits, keeps_keys)?);
    }
    let model = Arc::clone(model);
    let parse = move || Ok(model.parser.parse(&bytes, limits, keeps_keys)?);
    state.large_bodies.parse(place, parse).await
}

impl From<ParseError> for ApiError {
    fn from(error: ParseError) -> Self {
        match error {
            ParseError::NotUtf8 { offset } => Self::NotUtf8 { offset },
            ParseError::NotJson(error) | ParseError::TooComplex(error) => Self::of_json(error),
            ParseError::Invalid(violations) => Self::InvalidRows(violations),
        }
    }
}
