//! `POST /predict`, and the same for a named model, one of its loaded versions or one of its aliases.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use onnward_schemas::layout::parse_version;
use onnward_schemas::{Rows, RowsLimits};
use tokio::time::Instant;

use crate::answer::{Answer, check_finite};
use crate::batcher::SubmitError;
use crate::http::access::RowCount;
use crate::http::body::{self, WholeBody};
use crate::http::problem::ApiError;
use crate::http::state::HttpState;
use crate::registry::ServingModel;

/// Scores with the default model.
pub async fn with_default_model(
    State(state): State<HttpState>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    predict(&state, state.default_model()?, &headers, body).await
}

/// Scores with the model that the path names.
pub async fn with_named_model(
    State(state): State<HttpState>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    predict(&state, state.model(&name)?, &headers, body).await
}

/// Scores with a loaded version of the model that the path names.
pub async fn with_version(
    State(state): State<HttpState>,
    Path((name, version)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let version = parse_version(&version).ok_or(ApiError::BadVersion)?;
    predict(&state, state.version(&name, version)?, &headers, body).await
}

/// Scores with the version that an alias names.
pub async fn with_alias(
    State(state): State<HttpState>,
    Path((name, alias)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    predict(&state, state.alias(&name, &alias)?, &headers, body).await
}

async fn predict(
    state: &HttpState,
    model: Arc<ServingModel>,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    body::check_type(headers)?;
    let config = &state.config;
    let timeout = body::request_timeout(headers, config.request_timeout)?;
    let deadline = Instant::now() + timeout;
    let WholeBody { bytes, charged } = body::read(state, headers, body, timeout, deadline).await?;

    let limits = RowsLimits { max_rows: config.max_request_rows };
    let rows = read_rows(&model, bytes, limits).await?;
    let (len, form) = (rows.len, rows.form);
    drop(charged);
    let left = deadline.saturating_duration_since(Instant::now());
    let probabilities = model.batcher.submit(rows, left).await.map_err(|error| match error {
        // The client knows the whole time, not what its body had left of it.
        SubmitError::TimedOut { .. } => ApiError::TimedOut { after: timeout },
        error => error.into(),
    })?;

    check_finite(&probabilities).map_err(ApiError::InvalidRows)?;
    let mut response = Json(Answer { model: &model, probabilities: &probabilities, form }).into_response();
    response.extensions_mut().insert(RowCount(len));
    Ok(response)
}

/// A body from this size on is parsed off the threads that serve connections: it takes them a millisecond and more.
const LARGE_BODY: usize = 256 * 1024;

async fn read_rows(model: &Arc<ServingModel>, bytes: Vec<u8>, limits: RowsLimits) -> Result<Rows, ApiError> {
    if bytes.len() < LARGE_BODY {
        return parse(model, &bytes, limits);
    }
    let model = Arc::clone(model);
    let parsed = tokio::task::spawn_blocking(move || parse(&model, &bytes, limits)).await;
    parsed.unwrap_or_else(|error| Err(ApiError::Failed { reason: error.to_string() }))
}

fn parse(model: &ServingModel, bytes: &[u8], limits: RowsLimits) -> Result<Rows, ApiError> {
    let text =
        std::str::from_utf8(bytes).map_err(|error| ApiError::NotUtf8 { offset: error.valid_up_to() })?;
    let not_json = |error: serde_json::Error| ApiError::NotJson { reason: error.to_string() };
    let mut json = serde_json::Deserializer::from_str(text);
    let rows = model.description.schema().read_rows(&mut json, limits).map_err(not_json)?;
    json.end().map_err(not_json)?;
    rows.map_err(ApiError::InvalidRows)
}
