//! The routes for health checks and Prometheus.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use onnward_telemetry::metrics::{self, EngineState, Metrics, MetricsError, VersionDrift};
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use crate::lifecycle::Phase;
use crate::problem::ApiError;
use crate::state::{Models, Observation, Operations};

/// Reports that the process is alive.
pub async fn live() -> Json<Value> {
    Json(json!({ "status": "live" }))
}

/// Reports whether the engine is ready, or 503 with the reason.
pub async fn ready(
    State(models): State<Arc<Models>>,
    State(operations): State<Arc<Operations>>,
) -> Result<Json<Value>, ApiError> {
    models.readiness(operations.lifecycle.phase())?;
    Ok(Json(json!({ "status": "ready" })))
}

/// Renders all metrics for Prometheus.
pub async fn metrics(
    State(models): State<Arc<Models>>,
    State(observation): State<Arc<Observation>>,
    State(operations): State<Arc<Operations>>,
) -> Result<Response, ApiError> {
    let failed = |reason: String| ApiError::Failed { reason };
    let turn = Arc::clone(&operations.scrapes).acquire_owned().await;
    let turn = turn.map_err(|error| failed(error.to_string()))?;
    // Some metrics are computed or read from files, which must not block connections. The task owns the
    // permit, and continues if the client disconnects.
    let phase = operations.lifecycle.phase();
    let work = move || {
        let scraped = scrape(&models, &observation.metrics, phase);
        drop(turn);
        scraped
    };
    let scraped = spawn_blocking(work).await;
    let scraped = scraped.map_err(|error| failed(error.to_string()))?;
    let text = scraped.map_err(|error| failed(error.to_string()))?;
    Ok(([(CONTENT_TYPE, Metrics::content_type())], text).into_response())
}

fn scrape(models: &Models, metrics: &Metrics, phase: Phase) -> Result<Vec<u8>, MetricsError> {
    metrics.engine(EngineState {
        is_ready: models.readiness(phase).is_ok(),
        missing_models: models.registry.missing_models().len(),
        is_default_missing: models.registry.is_default_missing(),
    });
    let loaded = models.registry.loaded_versions();
    let drift: Vec<VersionDrift<'_>> = loaded
        .iter()
        .filter_map(|model| {
            let report = model.monitor.drift()?.report();
            Some(VersionDrift { model: &model.name, version: model.version, report })
        })
        .collect();
    let mut text = metrics.render(&models.registry.states())?;
    text.extend(metrics::render_drift(&drift)?);
    Ok(text)
}
