//! `GET /models` and `GET /models/{name}`.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use onnward_runtime::costs::BatchCosts;
use onnward_runtime::description::{Description, PassedOver};
use onnward_schemas::{Evaluation, Provenance, Schema};
use onnward_serving::registry::{
    DecidedBy, FailedModel, LoadFailure, Loading, ModelEntry, RepositoryState, ServingModel, Target,
};
use onnward_telemetry::metrics::Role;
use serde::Serialize;

use crate::problem::ApiError;
use crate::state;

/// The models of the repository.
#[derive(Serialize)]
pub struct ModelList {
    /// Whether the first load is still in progress, so that more models may follow.
    loading: bool,
    /// The result of the last poll of the repository.
    repository: Arc<RepositoryState>,
    /// The served models, by name.
    models: Vec<Summary>,
    /// The models whose desired version is not served.
    failed: Vec<FailedModel>,
}

/// A served model.
#[derive(Serialize)]
pub struct Summary {
    pub name: String,
    pub version: u64,
    /// Whether `POST /predict` uses this model.
    pub default: bool,
    /// The model family; `foreign` for an ONNX file without one.
    pub family: String,
    /// The number of golden rows that verify the model; 0 for an external file, which has none.
    pub golden_rows: usize,
    pub backend: &'static str,
    pub predict: String,
    /// The path of the drift report, if drift is monitored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drift: Option<String>,
}

/// A model's state, and the metadata of its served version without its golden rows and its training profile.
#[derive(Serialize)]
struct Details<'a> {
    name: &'a str,
    /// The version that should be served, and the rule that selected it.
    desired: Option<Desired<'a>>,
    /// The version that is being loaded.
    loading: Option<&'a Loading>,
    /// The version that is served.
    serving: Option<Served<'a>>,
    /// The previously served version, which stays loaded.
    previous: Option<u64>,
    /// Every loaded version.
    loaded: Vec<Loaded<'a>>,
    /// The version of each alias.
    aliases: &'a BTreeMap<String, u64>,
    /// The last failure.
    last_error: Option<&'a LoadFailure>,
    /// Whether the desired version is not served because of the last error.
    failing: bool,
    /// The reason why a start of the engine would not serve what is served now.
    #[serde(skip_serializing_if = "Option::is_none")]
    restart_problem: Option<&'a str>,
    #[serde(flatten)]
    model: Option<ServedInfo<'a>>,
}

#[derive(Serialize)]
struct Desired<'a> {
    version: u64,
    decided_by: &'a DecidedBy,
}

#[derive(Serialize)]
struct Served<'a> {
    version: u64,
    decided_by: &'a DecidedBy,
    since: &'a str,
}

#[derive(Serialize)]
struct Loaded<'a> {
    version: u64,
    role: Role,
    backend: &'static str,
    sha256: &'a str,
    predict: String,
}

/// The metadata of the served version.
#[derive(Serialize)]
struct ServedInfo<'a> {
    version: u64,
    backend: &'static str,
    sha256: &'a str,
    size_bytes: u64,
    family: &'a str,
    /// The number of golden rows that the runtime has reproduced.
    golden_rows: usize,
    /// The reason why the runtime is not verified on this model, if it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    unproven: Option<&'static str>,
    batching: Batching,
    fingerprint: String,
    schema: &'a Schema,
    #[serde(flatten)]
    said: FileDescription<'a>,
}

/// The batching of requests.
#[derive(Serialize)]
struct Batching {
    /// The maximum number of rows in a batch.
    max_batch_rows: usize,
    /// The cost of a row by batch size, measured when the model was loaded.
    costs: BatchCosts,
}

/// The metadata in a model's file.
#[derive(Serialize)]
#[serde(untagged)]
enum FileDescription<'a> {
    Artifact {
        parameters: &'a BTreeMap<String, f64>,
        evaluation: &'a Evaluation,
        provenance: &'a Provenance,
    },
    External {
        /// The program that created the file.
        producer: &'a str,
        /// The backends that cannot run it, each with its reason.
        passed_over: &'a [PassedOver],
        /// What is answered of its outputs: `binary`, `classes`, `number` or `raw`.
        task: &'static str,
        /// Whether this is a guess, since neither `config.toml` nor the graph's operators settle it.
        guessed: bool,
    },
}

/// Returns the list of models.
pub async fn list(State(models): State<Arc<state::Models>>) -> Json<ModelList> {
    Json(listing(&models))
}

/// Lists the models of the repository and their state.
pub fn listing(models: &state::Models) -> ModelList {
    ModelList {
        loading: !models.registry.is_loaded(),
        repository: models.registry.repository_state(),
        models: summaries(models),
        failed: models.registry.failed(),
    }
}

/// Returns the details of one model.
pub async fn details(
    State(models): State<Arc<state::Models>>,
    Path(name): Path<String>,
) -> Result<Json<serde_json::Value>, ApiError> {
    let entry = models.model_entry(&name)?;
    let details = serde_json::to_value(Details::of(&name, &entry));
    details.map(Json).map_err(|error| ApiError::Failed { reason: error.to_string() })
}

/// Lists the served models, by name.
pub fn summaries(models: &state::Models) -> Vec<Summary> {
    let default = models.registry.default_model();
    let is_default = |name: &str| default.as_ref().is_some_and(|model| model.name == name);
    let serving = models.registry.serving();
    serving
        .iter()
        .map(|model| Summary {
            name: model.name.clone(),
            version: model.version,
            default: is_default(&model.name),
            family: model.description.family().to_owned(),
            golden_rows: model.description.golden_rows(),
            backend: model.backend.name(),
            predict: format!("/models/{}/predict", model.name),
            drift: model.monitor.drift().map(|_| format!("/models/{}/drift", model.name)),
        })
        .collect()
}

impl<'a> Details<'a> {
    fn of(name: &'a str, entry: &'a ModelEntry) -> Self {
        let desired = |Target { version, decided_by }: &'a Target| Desired { version: *version, decided_by };
        let loaded = entry
            .loaded_versions()
            .into_iter()
            .filter_map(|version| Some((version, entry.version(version)?)));
        Self {
            name,
            desired: entry.desired.as_ref().map(desired),
            loading: entry.loading.as_ref(),
            serving: entry.serving.as_ref().map(|serving| Served {
                version: serving.model.version,
                decided_by: &serving.decided_by,
                since: &serving.since,
            }),
            previous: entry.previous,
            loaded: loaded
                .map(|(version, model)| Loaded {
                    version,
                    role: entry.role(version),
                    backend: model.backend.name(),
                    sha256: &model.sha256,
                    predict: format!("/models/{name}/versions/{version}/predict"),
                })
                .collect(),
            aliases: &entry.aliases,
            last_error: entry.last_error.as_ref(),
            failing: entry.is_failing,
            restart_problem: entry.restart_problem.as_deref(),
            model: entry.serving.as_ref().map(|serving| ServedInfo::of(&serving.model)),
        }
    }
}

impl<'a> ServedInfo<'a> {
    fn of(model: &'a ServingModel) -> Self {
        let description = &model.description;
        let said = match description {
            Description::Artifact(metadata) => FileDescription::Artifact {
                parameters: &metadata.parameters,
                evaluation: &metadata.evaluation,
                provenance: &metadata.provenance,
            },
            Description::External(external) => FileDescription::External {
                producer: &external.producer,
                passed_over: &external.passed_over,
                task: external.schema.label.task.kind().name(),
                guessed: external.is_guessed,
            },
        };
        Self {
            version: model.version,
            backend: model.backend.name(),
            sha256: &model.sha256,
            size_bytes: model.size_bytes,
            family: description.family(),
            golden_rows: description.golden_rows(),
            unproven: description.unproven(),
            batching: Batching {
                max_batch_rows: model.batcher.max_batch_rows(),
                costs: model.batcher.costs(),
            },
            fingerprint: description.schema().fingerprint(),
            schema: description.schema(),
            said,
        }
    }
}
