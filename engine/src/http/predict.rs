//! `POST /predict`, and the same for a named model, one of its loaded versions or one of its aliases.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Request, State};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use onnward_schemas::layout::parse_version;
use onnward_schemas::{Rows, RowsLimits};
use tokio::time::Instant;

use crate::answer::{Answer, check_finite};
use crate::batcher::SubmitError;
use crate::http::access::RowCount;
use crate::http::body::{self, WholeBody};
use crate::http::large::LARGE_BODY_BYTES;
use crate::http::problem::ApiError;
use crate::http::state::HttpState;
use crate::registry::ServingModel;

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
    let (Parts { headers, .. }, body) = request.into_parts();
    body::check_type(&headers)?;
    let config = &state.config;
    let timeout = body::request_timeout(&headers, config.request_timeout)?;
    let deadline = Instant::now() + timeout;
    let WholeBody { bytes, charged } = body::read(state, &headers, body, timeout, deadline).await?;

    let limits = RowsLimits { max_rows: config.max_request_rows };
    let rows = read_rows(state, &model, bytes, limits).await?;
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

async fn read_rows(
    state: &HttpState,
    model: &Arc<ServingModel>,
    bytes: Bytes,
    limits: RowsLimits,
) -> Result<Rows, ApiError> {
    if bytes.len() < LARGE_BODY_BYTES {
        return parse(model, &bytes, limits);
    }
    let model = Arc::clone(model);
    state.large_bodies.parse(move || parse(&model, &bytes, limits)).await
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
