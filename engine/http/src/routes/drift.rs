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
use crate::state::Models;

#[derive(Serialize)]
struct Figures<'a> {
    model: &'a str,
    version: u64,
    #[serde(flatten)]
    report: DriftReport<'a>,
}

/// The reason why an external file has no drift detection.
pub const EXTERNAL: &str = "the file is external and contains no profile of its training rows";
const DISABLED: &str = "`drift.enabled` is false in the engine's configuration";

/// Returns the drift report as JSON.
pub async fn report_json(
    State(models): State<Arc<Models>>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let query = DriftQuery::read(query.as_deref())?;
    let model = query.model(&models, &name)?;
    let report = drift_of(&model)?.report();
    Ok(Json(Figures { model: &model.name, version: model.version, report }).into_response())
}

/// Returns the drift report as an HTML page.
pub async fn report_page(
    State(models): State<Arc<Models>>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Html<String>, ApiError> {
    let query = DriftQuery::read(query.as_deref())?;
    let model = query.model(&models, &name)?;
    let shown = PageContext {
        model: &model.name,
        version: model.version,
        by_number: query.version.is_some(),
        window: query.window.unwrap_or(WindowKind::Sliding),
        is_file: false,
    };
    let page = drift_of(&model)?.report().page(&shown);
    page.map(Html).map_err(|error| ApiError::Failed { reason: error.to_string() })
}

/// The parameters of the query.
#[derive(Default)]
struct DriftQuery {
    version: Option<u64>,
    window: Option<WindowKind>,
}

impl DriftQuery {
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
                _ => return Err(bad("is unknown; the valid parameters are `version` and `window`")),
            }
        }
        Ok(asked)
    }

    fn model(&self, models: &Models, name: &str) -> Result<Arc<ServingModel>, ApiError> {
        match self.version {
            Some(version) => models.version(name, version),
            None => models.model(name),
        }
    }
}

fn drift_of(model: &ServingModel) -> Result<&Drift, ApiError> {
    model.monitor.drift().ok_or_else(|| ApiError::NoDrift {
        name: model.name.clone(),
        version: model.version,
        reason: if model.description.metadata().is_none() { EXTERNAL } else { DISABLED },
    })
}
