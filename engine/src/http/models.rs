//! `GET /models` and `GET /models/{name}`.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use onnward_schemas::{Evaluation, Provenance, Schema};
use serde::Serialize;

use crate::http::problem::ApiError;
use crate::http::state::HttpState;
use crate::registry::{DecidedBy, FailedModel, ServingModel};

/// What is in the repository.
#[derive(Serialize)]
pub struct Models {
    /// Whether the first load is still going on, so that more may come.
    loading: bool,
    /// The models that answer predictions, by name.
    models: Vec<Summary>,
    /// What could not be loaded.
    failed: Vec<FailedModel>,
}

/// A model that answers predictions.
#[derive(Serialize)]
pub struct Summary {
    pub name: String,
    pub version: u64,
    /// Whether `POST /predict` goes to it.
    pub default: bool,
    pub family: String,
    pub backend: &'static str,
    pub predict: String,
}

/// Everything that a model says about itself, but for its golden rows and its profile.
#[derive(Serialize)]
pub struct Details<'a> {
    name: &'a str,
    version: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    decided_by: Option<&'a DecidedBy>,
    backend: &'static str,
    sha256: &'a str,
    size_bytes: u64,
    family: &'a str,
    parameters: &'a BTreeMap<String, f64>,
    fingerprint: String,
    schema: &'a Schema,
    evaluation: &'a Evaluation,
    provenance: &'a Provenance,
}

/// The models that are served and those that could not be loaded.
pub async fn list(State(state): State<HttpState>) -> Json<Models> {
    Json(Models {
        loading: !state.registry.is_loaded(),
        models: summaries(&state),
        failed: state.registry.failed(),
    })
}

/// One model.
pub async fn one(
    State(state): State<HttpState>,
    Path(name): Path<String>,
) -> Result<Json<serde_json::Value>, ApiError> {
    let model = state.model(&name)?;
    let details = serde_json::to_value(Details::of(&model));
    details.map(Json).map_err(|error| ApiError::Failed { reason: error.to_string() })
}

/// The models that answer predictions, by name.
pub fn summaries(state: &HttpState) -> Vec<Summary> {
    let default = state.registry.default_model();
    let is_default = |name: &str| default.as_ref().is_some_and(|model| model.name == name);
    let models = state.registry.serving();
    models
        .iter()
        .map(|model| Summary {
            name: model.name.clone(),
            version: model.version,
            default: is_default(&model.name),
            family: model.metadata.family.clone(),
            backend: model.backend.name(),
            predict: format!("/models/{}/predict", model.name),
        })
        .collect()
}

impl<'a> Details<'a> {
    fn of(model: &'a ServingModel) -> Self {
        let metadata = &model.metadata;
        Self {
            name: &model.name,
            version: model.version,
            decided_by: model.decided_by.as_ref(),
            backend: model.backend.name(),
            sha256: &model.sha256,
            size_bytes: model.size_bytes,
            family: &metadata.family,
            parameters: &metadata.parameters,
            fingerprint: metadata.schema.fingerprint(),
            schema: &metadata.schema,
            evaluation: &metadata.evaluation,
            provenance: &metadata.provenance,
        }
    }
}
