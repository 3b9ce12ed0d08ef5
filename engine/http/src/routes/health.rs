//! The routes of probes and of Prometheus.

use axum::Json;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use onnward_telemetry::metrics::{self, Metrics, MetricsError, VersionDrift};
use serde_json::{Value, json};

use crate::problem::ApiError;
use crate::state::HttpState;

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
    let failed = |reason: String| ApiError::Failed { reason };
    // Some of it is computed or read from files, which must hold up no connection.
    let scraped = tokio::task::spawn_blocking(move || scrape(&state)).await;
    let scraped = scraped.map_err(|error| failed(error.to_string()))?;
    let text = scraped.map_err(|error| failed(error.to_string()))?;
    Ok(([(CONTENT_TYPE, Metrics::content_type())], text).into_response())
}

fn scrape(state: &HttpState) -> Result<Vec<u8>, MetricsError> {
    let loaded = state.registry.loaded_versions();
    let drift: Vec<VersionDrift<'_>> = loaded
        .iter()
        .filter_map(|model| {
            let report = model.monitor.drift()?.report();
            Some(VersionDrift { model: &model.name, version: model.version, report })
        })
        .collect();
    let mut text = state.metrics.render(&state.registry.states())?;
    text.extend(metrics::render_drift(&drift)?);
    Ok(text)
}
