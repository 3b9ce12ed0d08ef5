//! `GET /`: what this is and where to go, as JSON for programs and as a page for browsers.

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
use crate::state::HttpState;

#[derive(Serialize, Template)]
#[template(path = "index.html")]
struct Index {
    name: &'static str,
    version: &'static str,
    ready: bool,
    models: Vec<Summary>,
    /// What could not be loaded.
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

/// What this is and where to go.
pub async fn index(State(state): State<HttpState>, headers: HeaderMap) -> Result<Response, ApiError> {
    let index = Index {
        name: "onnward-engine",
        version: env!("CARGO_PKG_VERSION"),
        ready: state.readiness().is_ok(),
        models: summaries(&state),
        failed: state.registry.failed(),
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
