//! `GET /models/{name}/drift` and `GET /models/{name}/drift/report`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::response::{Html, IntoResponse, Response};
use onnward_quality::drift::{Drift, DriftReport, PageContext, WindowKind};
use onnward_schemas::layout::parse_version;
use onnward_serving::registry::ServingModel;
use serde::Serialize;

use crate::problem::ApiError;
use crate::state::HttpState;

#[derive(Serialize)]
struct Figures<'a> {
    model: &'a str,
    version: u64,
    #[serde(flatten)]
    report: DriftReport<'a>,
}

/// Why a foreign file is not watched.
pub const FOREIGN: &str = "the file is foreign, and holds no profile of the rows it was trained on";
const OFF: &str = "`drift.enabled` is false in the engine's configuration";

/// The last windows against training, as JSON.
pub async fn figures(
    State(state): State<HttpState>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let asked = Asked::read(query.as_deref())?;
    let model = asked.model(&state, &name)?;
    let report = drift_of(&model)?.report();
    Ok(Json(Figures { model: &model.name, version: model.version, report }).into_response())
}

/// The same as a page for people.
pub async fn page(
    State(state): State<HttpState>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Html<String>, ApiError> {
    let asked = Asked::read(query.as_deref())?;
    let model = asked.model(&state, &name)?;
    let shown = PageContext {
        model: &model.name,
        version: model.version,
        by_number: asked.version.is_some(),
        window: asked.window.unwrap_or(WindowKind::Sliding),
    };
    let page = drift_of(&model)?.report().page(&shown);
    page.map(Html).map_err(|error| ApiError::Failed { reason: error.to_string() })
}

/// What the query asks for.
#[derive(Default)]
struct Asked {
    version: Option<u64>,
    window: Option<WindowKind>,
}

impl Asked {
    fn read(query: Option<&str>) -> Result<Self, ApiError> {
        let mut asked = Self::default();
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (parameter, value) = pair.split_once('=').unwrap_or((pair, ""));
            let bad = |valid| ApiError::BadParameter { parameter: parameter.to_owned(), valid };
            match parameter {
                "version" => {
                    let version = parse_version(value);
                    asked.version = Some(version.ok_or_else(|| bad("must be a whole number from 1"))?);
                }
                "window" => {
                    let kind = WindowKind::ALL.into_iter().find(|kind| kind.name() == value);
                    asked.window = Some(kind.ok_or_else(|| bad("must be `sliding` or `tumbling`"))?);
                }
                _ => return Err(bad("is not known; there are `version` and `window`")),
            }
        }
        Ok(asked)
    }

    fn model(&self, state: &HttpState, name: &str) -> Result<Arc<ServingModel>, ApiError> {
        match self.version {
            Some(version) => state.version(name, version),
            None => state.model(name),
        }
    }
}

fn drift_of(model: &ServingModel) -> Result<&Drift, ApiError> {
    model.monitor.drift().ok_or_else(|| ApiError::NoDrift {
        name: model.name.clone(),
        version: model.version,
        reason: if model.description.metadata().is_none() { FOREIGN } else { OFF },
    })
}
