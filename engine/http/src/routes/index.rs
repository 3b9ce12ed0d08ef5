//! `GET /`: the version, models and links of the engine, as JSON or as an HTML page for browsers.

use std::sync::Arc;

use askama::Template;
use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::{ACCEPT, VARY};
use axum::response::{Html, IntoResponse, Response};
use onnward_serving::registry::FailedModel;
use serde::Serialize;

use crate::problem::ApiError;
use crate::routes::models::{Summary, summaries};
use crate::state::{Models, Operations};

#[derive(Serialize, Template)]
#[template(path = "index.html")]
struct Index {
    name: &'static str,
    version: &'static str,
    ready: bool,
    models: Vec<Summary>,
    /// The models whose desired version is not served.
    failed: Vec<FailedModel>,
    links: Links,
}

#[derive(Serialize)]
struct Links {
    predict: &'static str,
    outcomes: &'static str,
    models: &'static str,
    docs: &'static str,
    openapi: &'static str,
    health: &'static str,
    metrics: &'static str,
}

const LINKS: Links = Links {
    predict: "/predict",
    outcomes: "/outcomes",
    models: "/models",
    docs: "/docs",
    openapi: "/openapi.json",
    health: "/health",
    metrics: "/metrics",
};

/// Returns the engine's version, models and links.
pub async fn index(
    State(models): State<Arc<Models>>,
    State(operations): State<Arc<Operations>>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let index = Index {
        name: "onnward-engine",
        version: env!("CARGO_PKG_VERSION"),
        ready: models.readiness(operations.lifecycle.phase()).is_ok(),
        models: summaries(&models),
        failed: models.registry.failed(),
        links: LINKS,
    };
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let answer = if accept.contains("text/html") {
        let page = index.render().map_err(|error| ApiError::Failed { reason: error.to_string() })?;
        Html(page).into_response()
    } else {
        Json(index).into_response()
    };
    Ok(([(VARY, "accept")], answer).into_response())
}
