//! The routes that do not depend on a schema.

use std::sync::Arc;

use onnward_serving::registry::ServingModel;
use utoipa::openapi::path::Operation;
use utoipa::openapi::{ContentBuilder, HttpMethod, ObjectBuilder, Paths, ResponseBuilder, Type};

use super::shapes::{
    AnySchema, MODELS, OPERATIONS, boolean, count, free_object, get, list, object, one_of, operation,
    refusing, string, typed, types,
};
use crate::openapi::{drift, shapes};
use crate::problem::ApiError;

/// Adds every route but the predictions.
pub fn add(paths: &mut Paths, models: &[Arc<ServingModel>]) {
    let mut add = |path: &str, operation| paths.add_path_operation(path, vec![HttpMethod::Get], operation);
    add(
        "/models",
        get(MODELS, "models", "The models", "What is served and what could not be loaded.", listing()),
    );
    if !models.is_empty() {
        add("/models/{name}", one_model(models));
        for (path, operation) in drift::operations(models) {
            add(path, operation);
        }
    }
    add("/", get(MODELS, "index", "The engine", "Its version, its models and where to go.", index()));
    add("/health/live", get(OPERATIONS, "live", "Whether the process runs", "It does.", status("live")));
    for (path, id) in [("/health/ready", "ready"), ("/health", "health")] {
        let ready = operation(OPERATIONS, id, "Whether predictions are answered")
            .response("200", shapes::answer("They are.", status("ready"), None));
        let reasons = "The models are being loaded, none is served, or the engine is stopping.";
        let ready = refusing(ready, &ApiError::Loading, path, reasons);
        add(path, ready.build());
    }
    add("/metrics", metrics());
}

fn status(value: &str) -> AnySchema {
    object([("status", one_of([value], ""))]).into()
}

fn summary() -> AnySchema {
    object([
        ("name", string("")),
        ("version", count(1, "")),
        ("default", boolean("Whether `POST /predict` goes to it.")),
        ("family", string("The model family; `foreign` for an ONNX file that does not say it.")),
        ("golden_rows", count(0, "How many golden rows prove it; 0 for an external file, which has none.")),
        ("backend", runtime()),
        ("predict", string("Where to post rows.")),
    ])
    .property("drift", string("Where its rows are compared with those of training, if they are."))
    .into()
}

fn runtime() -> AnySchema {
    one_of(["onnxruntime", "tract"], "The runtime that scores.")
}

fn decision() -> AnySchema {
    let rules = one_of(["pin", "alias", "highest-version"], "What decided that this version is served.");
    object([("rule", rules)]).property("alias", string("The alias, where it is one.")).into()
}

fn failures() -> AnySchema {
    let failure = problem_fields(object([("name", string(""))]))
        .property("serving", count(1, "The version that answers instead."));
    list(failure, "What is to be served and is not.").into()
}

fn problem_fields(object: ObjectBuilder) -> ObjectBuilder {
    object
        .property("version", count(1, "The version that was tried."))
        .property("step", string("The step that failed, as in the metric `onnward_swaps_total`."))
        .property("reason", string("Why it is not served."))
        .property("time", string("When, in RFC 3339 and UTC."))
        .required("step")
        .required("reason")
        .required("time")
}

fn repository() -> AnySchema {
    object([
        ("location", string("")),
        (
            "reachable",
            nullable(Type::Boolean, "Whether the last look succeeded; null before the first has ended."),
        ),
        ("last_success", nullable(Type::String, "When a look succeeded last.")),
        ("from_cache", boolean("Whether what is served was chosen from the cache, for want of the store.")),
    ])
    .property("error", string("Why the last look failed."))
    .into()
}

fn nullable(r#type: Type, description: &str) -> AnySchema {
    typed(r#type.clone(), description).schema_type(types([r#type, Type::Null])).into()
}

fn listing() -> AnySchema {
    object([
        ("loading", boolean("Whether the first load is still going on.")),
        ("repository", repository()),
        ("models", list(summary(), "The models that answer predictions, by name.").into()),
        ("failed", failures()),
    ])
    .into()
}

fn index() -> AnySchema {
    object([
        ("name", string("")),
        ("version", string("")),
        ("ready", boolean("Whether predictions are answered.")),
        ("models", list(summary(), "").into()),
        ("failed", failures()),
        ("links", free_object("Paths by what they are for.")),
    ])
    .into()
}

fn one_model(models: &[Arc<ServingModel>]) -> Operation {
    let served = |what: &str| {
        let object = object([("version", count(1, "")), ("decided_by", decision())]);
        object.description(Some(what)).schema_type(types([Type::Object, Type::Null]))
    };
    let loaded = object([
        ("version", count(1, "")),
        ("role", one_of(["serving", "previous", "loaded"], "What it is there for.")),
        ("backend", runtime()),
        ("sha256", string("The digest of the ONNX file.")),
        ("predict", string("Where to post rows.")),
    ]);
    let loading = object([("version", count(1, "")), ("since", string("In RFC 3339 and UTC."))])
        .description(Some("The version that is on its way."));
    let last_error = problem_fields(object([])).description(Some("What went wrong last."));
    let state = object([
        ("name", string("")),
        ("desired", served("The version that is to be served.").into()),
        ("loading", loading.schema_type(types([Type::Object, Type::Null])).into()),
        (
            "serving",
            served("The version that is served.").property("since", string("In RFC 3339 and UTC.")).into(),
        ),
        ("previous", nullable(Type::Integer, "The version that was served before and stays warm.")),
        ("loaded", list(loaded, "Every loaded version.").into()),
        ("aliases", free_object("The version that each alias names.")),
        ("last_error", last_error.schema_type(types([Type::Object, Type::Null])).into()),
        ("failing", boolean("Whether the desired version is not served because of the last error.")),
    ]);
    let details =
        about_served().into_iter().fold(state, |state, (name, schema)| state.property(name, schema));
    let unknown = ApiError::UnknownModel { serving: models.iter().map(|model| model.name.clone()).collect() };
    let described = "The model's state, and everything that the served version says about itself.";
    let operation = operation(MODELS, "model", "One model")
        .parameter(shapes::model_name(models))
        .response("200", shapes::answer(described, details.into(), None));
    let operation = refusing(operation, &unknown, "/models/other", "No model of this name is served.");
    let loading = "The models are being loaded, or this one could not be.";
    refusing(operation, &ApiError::Loading, "/models/other", loading).build()
}

/// Returns the fields that describe the served version.
fn about_served() -> [(&'static str, AnySchema); 14] {
    [
        ("version", count(1, "")),
        ("backend", runtime()),
        ("sha256", string("The digest of the ONNX file.")),
        ("size_bytes", count(0, "The size of the ONNX file.")),
        ("family", string("The model family; `foreign` for an ONNX file that does not say it.")),
        ("golden_rows", count(0, "How many golden rows the runtime has reproduced.")),
        ("unproven", string("Why nothing proves the runtime on it, where that is so.")),
        ("producer", string("The program that wrote an external file.")),
        ("parameters", free_object("The settings with which it was fitted.")),
        (
            "batching",
            free_object("How many rows a batch holds at most, and what a row costs in smaller ones."),
        ),
        ("fingerprint", string("What two artifacts that take the same requests have in common.")),
        ("schema", free_object("The schema of its rows.")),
        ("evaluation", free_object("How good it is.")),
        ("provenance", free_object("Where it comes from.")),
    ]
}

fn metrics() -> Operation {
    let text = ContentBuilder::new().schema(Some(typed(Type::String, ""))).build();
    let response =
        ResponseBuilder::new().description("The Prometheus text format.").content("text/plain", text);
    operation(OPERATIONS, "metrics", "Figures for Prometheus").response("200", response.build()).build()
}
