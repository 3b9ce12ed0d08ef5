//! The routes of probes and of Prometheus.

use axum::Json;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::http::problem::ApiError;
use crate::http::state::HttpState;
use crate::metrics::Metrics;

/// Whether the process runs: always, for whoever gets this answer.
pub async fn live() -> Json<Value> {
    Json(json!({ "status": "live" }))
}

/// Whether predictions are answered; 503 with the reason where they are not.
pub async fn ready(State(state): State<HttpState>) -> Result<Json<Value>, ApiError> {
    state.readiness()?;
    Ok(Json(json!({ "status": "ready" })))
}

/// Every metric, for Prometheus.
pub async fn metrics(State(state): State<HttpState>) -> Result<Response, ApiError> {
    let text = state.metrics.render().map_err(|error| ApiError::Failed { reason: error.to_string() })?;
    Ok(([(CONTENT_TYPE, Metrics::content_type())], text).into_response())
}
