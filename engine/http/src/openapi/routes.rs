//! The routes that do not depend on a model's schema, in the OpenAPI document.

use std::sync::Arc;

use onnward_serving::registry::ServingModel;
use utoipa::openapi::path::Operation;
use utoipa::openapi::{Components, ContentBuilder, HttpMethod, ObjectBuilder, Paths, ResponseBuilder, Type};

use super::shapes::{
    AnySchema, Component, MODELS, OPERATIONS, boolean, component, count, free_object, get, list, named,
    nullable, object, one_of, operation, refusing, string, typed, types,
};
use crate::openapi::{drift, shapes};
use crate::problem::ApiError;

const ENGINE: &str = "Engine";
const MODEL_LIST: &str = "ModelList";
const REPOSITORY: &str = "ModelRepository";
const SUMMARY: &str = "ModelSummary";
const FAILURE: &str = "ModelFailure";
const DETAILS: &str = "ModelDetails";
const DESIRED: &str = "DesiredVersion";
const SERVED: &str = "ServedVersion";
const LOADED: &str = "LoadedVersion";
const LOADING: &str = "LoadingVersion";
const LAST_ERROR: &str = "LoadFailure";
const DECISION: &str = "VersionDecision";

/// Adds every route that is not about predictions or outcomes, and their schemas.
pub fn add(paths: &mut Paths, components: &mut Components, models: &[Arc<ServingModel>]) {
    components.schemas.extend(listing_components());
    if !models.is_empty() {
        components.schemas.extend(model_components());
        components.schemas.extend(drift::components());
    }
    let mut add = |path: &str, operation| paths.add_path_operation(path, vec![HttpMethod::Get], operation);
    add(
        "/models",
        get(
            MODELS,
            "models",
            "List the models",
            "The served models, and those that failed to load.",
            component(MODEL_LIST),
        ),
    );
    if !models.is_empty() {
        add("/models/{name}", one_model(models));
        for (path, operation) in drift::operations() {
            add(path, operation);
        }
    }
    add(
        "/",
        get(
            MODELS,
            "index",
            "The engine",
            "The engine's version, its models and its links.",
            component(ENGINE),
        ),
    );
    add("/health/live", get(OPERATIONS, "live", "Liveness check", "The process is alive.", status("live")));
    for (path, id) in [("/health/ready", "ready"), ("/health", "health")] {
        let ready = operation(OPERATIONS, id, "Readiness check")
            .response("200", shapes::answer("The engine serves predictions.", status("ready"), None));
        let reasons = "The models are being loaded, no model or not every required model is served, or the \
                       engine is shutting down.";
        let ready = refusing(ready, &ApiError::LOADING, path, reasons);
        add(path, ready.build());
    }
    add("/metrics", metrics());
}

fn status(value: &str) -> AnySchema {
    object([("status", one_of([value], ""))]).into()
}

fn listing_components() -> [Component; 5] {
    [
        named(ENGINE, index()),
        named(MODEL_LIST, listing()),
        named(REPOSITORY, repository()),
        named(SUMMARY, summary()),
        named(FAILURE, failure()),
    ]
}

fn summary() -> AnySchema {
    object([
        ("name", string("")),
        ("version", count(1, "")),
        ("default", boolean("Whether `POST /predict` uses this model.")),
        ("family", string("The model family; `foreign` for an ONNX file without one.")),
        (
            "golden_rows",
            count(
                0,
                "The number of golden rows that verify the model; 0 for an external file, which has none.",
            ),
        ),
        ("backend", runtime()),
        ("predict", string("The path for predictions.")),
    ])
    .property("drift", string("The path of the drift report, if drift is monitored."))
    .into()
}

fn runtime() -> AnySchema {
    one_of(["onnxruntime", "tract"], "The runtime that scores.")
}

fn decision() -> AnySchema {
    let rules = one_of(["pin", "alias", "highest-version"], "The rule that selected the version.");
    object([("rule", rules)]).property("alias", string("The alias, if the rule is `alias`.")).into()
}

fn failure() -> ObjectBuilder {
    problem_fields(object([("name", string(""))]))
        .property("serving", count(1, "The version that is served instead."))
}

fn failures() -> AnySchema {
    list(component(FAILURE), "The models whose desired version is not served.").into()
}

fn problem_fields(object: ObjectBuilder) -> ObjectBuilder {
    object
        .property("version", count(1, "The version that failed."))
        .property("step", string("The step that failed, as in the metric `onnward_swaps_total`."))
        .property("reason", string("The reason why the version is not served."))
        .property("time", string("The time of the failure, in RFC 3339 and UTC."))
        .required("step")
        .required("reason")
        .required("time")
}

fn repository() -> AnySchema {
    object([
        ("location", string("")),
        (
            "reachable",
            or_null(Type::Boolean, "Whether the last poll succeeded; null before the first poll has ended."),
        ),
        ("last_success", or_null(Type::String, "The time of the last successful poll, in RFC 3339 and UTC.")),
        ("from_cache", boolean(FROM_CACHE)),
    ])
    .property("error", string("The reason why the last poll failed."))
    .into()
}

const FROM_CACHE: &str = "Whether the served versions come from the local cache, because the store has not \
been reached since the start.";

fn or_null(r#type: Type, description: &str) -> AnySchema {
    typed(r#type.clone(), description).schema_type(types([r#type, Type::Null])).into()
}

fn listing() -> AnySchema {
    object([
        ("loading", boolean("Whether the first load is still in progress.")),
        ("repository", component(REPOSITORY)),
        ("models", list(component(SUMMARY), "The served models, by name.").into()),
        ("failed", failures()),
    ])
    .into()
}

fn index() -> AnySchema {
    object([
        ("name", string("")),
        ("version", string("")),
        ("ready", boolean("Whether the engine is ready for predictions.")),
        ("models", list(component(SUMMARY), "").into()),
        ("failed", failures()),
        ("links", free_object("The paths of the main routes.")),
    ])
    .into()
}

fn one_model(models: &[Arc<ServingModel>]) -> Operation {
    let unknown = ApiError::UnknownModel { serving: models.iter().map(|model| model.name.clone()).collect() };
    let described = "The model's state, and the metadata of its served version.";
    let operation = operation(MODELS, "model", "One model")
        .parameter(shapes::model_name())
        .response("200", shapes::answer(described, component(DETAILS), None));
    let operation = refusing(operation, &unknown, "/models/other", "No model of this name is served.");
    let loading = "The models are being loaded, or this model failed to load.";
    refusing(operation, &ApiError::LOADING, "/models/other", loading).build()
}

fn model_components() -> [Component; 7] {
    let chosen = || object([("version", count(1, "")), ("decided_by", component(DECISION))]);
    let served = chosen().property("since", string("The time when serving began, in RFC 3339 and UTC."));
    let loaded = object([
        ("version", count(1, "")),
        ("role", one_of(["serving", "previous", "loaded"], "The role of the version.")),
        ("backend", runtime()),
        ("sha256", string("The digest of the ONNX file.")),
        ("predict", string("The path for predictions.")),
    ]);
    let loading =
        object([("version", count(1, "")), ("since", string("The start of the load, in RFC 3339 and UTC."))]);
    let details = about_served()
        .into_iter()
        .fold(model_state(), |details, (name, schema)| details.property(name, schema));
    [
        named(DETAILS, details),
        named(DESIRED, chosen()),
        named(SERVED, served),
        named(LOADED, loaded),
        named(LOADING, loading),
        named(LAST_ERROR, problem_fields(object([]))),
        named(DECISION, decision()),
    ]
}

fn model_state() -> ObjectBuilder {
    object([
        ("name", string("")),
        ("desired", nullable(component(DESIRED), "The version that should be served.")),
        ("loading", nullable(component(LOADING), "The version that is being loaded.")),
        ("serving", nullable(component(SERVED), "The version that is served.")),
        ("previous", or_null(Type::Integer, "The previously served version, which stays loaded.")),
        ("loaded", list(component(LOADED), "Every loaded version.").into()),
        ("aliases", free_object("The version of each alias.")),
        ("last_error", nullable(component(LAST_ERROR), "The last failure.")),
        ("failing", boolean("Whether the desired version is not served because of the last error.")),
    ])
}

/// Returns the fields that describe the served version.
fn about_served() -> [(&'static str, AnySchema); 14] {
    [
        ("version", count(1, "")),
        ("backend", runtime()),
        ("sha256", string("The digest of the ONNX file.")),
        ("size_bytes", count(0, "The size of the ONNX file.")),
        ("family", string("The model family; `foreign` for an ONNX file without one.")),
        ("golden_rows", count(0, "The number of golden rows that the runtime has reproduced.")),
        ("unproven", string("The reason why the runtime is not verified on this model, if it is not.")),
        ("producer", string("The program that created an external file.")),
        ("parameters", free_object("The hyperparameters of the fit.")),
        (
            "batching",
            free_object(
                "The maximum number of rows in a batch, and the measured cost of a row by batch size.",
            ),
        ),
        (
            "fingerprint",
            string(
                "A digest of the input schema: artifacts with the same fingerprint accept the same requests.",
            ),
        ),
        ("schema", free_object("The schema of its rows.")),
        ("evaluation", free_object("The evaluation by cross-validation and on held-out rows.")),
        (
            "provenance",
            free_object("The origin of the model: digest of the training table, seed and library versions."),
        ),
    ]
}

fn metrics() -> Operation {
    let text = ContentBuilder::new().schema(Some(typed(Type::String, ""))).build();
    let response =
        ResponseBuilder::new().description("The Prometheus text format.").content("text/plain", text);
    operation(OPERATIONS, "metrics", "Metrics for Prometheus").response("200", response.build()).build()
}
