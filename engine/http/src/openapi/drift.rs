//! The routes of drift.

use std::sync::Arc;

use onnward_serving::registry::ServingModel;
use utoipa::openapi::path::{Operation, OperationBuilder, ParameterBuilder, ParameterIn};
use utoipa::openapi::{ContentBuilder, ObjectBuilder, Required, ResponseBuilder, Type};

use super::shapes::{
    self, AnySchema, MODELS, boolean, count, list, object, one_of, operation, refusing, string, typed, types,
};
use crate::problem::ApiError;
use crate::routes::drift::EXTERNAL;

/// Returns the operations by path.
pub fn operations(models: &[Arc<ServingModel>]) -> [(&'static str, Operation); 2] {
    let figures = drift_operation(models, "drift", "Whether a model still sees what it was trained on")
        .response("200", shapes::answer("The last windows against the training rows.", report(), None));
    let html = ContentBuilder::new().schema(Some(typed(Type::String, ""))).build();
    let page = ResponseBuilder::new().description("One page without scripts.").content("text/html", html);
    let window = one_of(["sliding", "tumbling"], "The window that is shown; without it, the sliding one.");
    let window = ParameterBuilder::new().name("window").parameter_in(ParameterIn::Query).schema(Some(window));
    let page =
        drift_operation(models, "drift_report", "The same for people: worst first, training against live")
            .parameter(window)
            .response("200", page);
    [
        ("/models/{name}/drift", refused(figures, "/models/other/drift")),
        ("/models/{name}/drift/report", refused(page, "/models/other/drift/report")),
    ]
}

fn drift_operation(models: &[Arc<ServingModel>], id: &str, summary: &str) -> OperationBuilder {
    let version = ParameterBuilder::new()
        .name("version")
        .parameter_in(ParameterIn::Query)
        .required(Required::False)
        .description(Some("A loaded version; without it, the one that is served."))
        .schema(Some(shapes::version("")));
    operation(MODELS, id, summary).parameter(shapes::model_name(models)).parameter(version)
}

fn refused(operation: OperationBuilder, instance: &str) -> Operation {
    let none = ApiError::NoDrift { name: "other".to_owned(), version: 3, reason: EXTERNAL };
    let reasons = "There is no such model, the version is not loaded or has no training profile, or drift is not watched.";
    let bad =
        ApiError::BadParameter { parameter: "version".to_owned(), valid: "must be a whole number from 1" };
    let operation = refusing(operation, &none, instance, reasons);
    let operation = refusing(operation, &bad, instance, "A parameter of the query is not what it must be.");
    let loading = "The models are being loaded, or this one could not be.";
    refusing(operation, &ApiError::Loading, instance, loading).build()
}

fn number(description: &str) -> AnySchema {
    typed(Type::Number, description).into()
}

/// Returns a number, or null where the window has too few rows.
fn figure(description: &str) -> AnySchema {
    typed(Type::Number, description).schema_type(types([Type::Number, Type::Null])).into()
}

fn time(description: &str) -> AnySchema {
    typed(Type::String, description).schema_type(types([Type::String, Type::Null])).into()
}

fn shares(description: &str) -> ObjectBuilder {
    let shares = object([("training", number("")), ("live", number(""))]);
    shares.description((!description.is_empty()).then_some(description))
}

fn report() -> AnySchema {
    object([
        ("model", string("")),
        ("version", count(1, "")),
        ("training_rows", count(0, "How many rows the training profile was made of.")),
        ("subjects", count(1, "What is compared: the features and the score.")),
        ("min_rows", count(1, "Fewer rows than these say nothing.")),
        ("alpha", number("The rate of false alarms of a window, over all subjects.")),
        ("p_value_threshold", number("What a subject's p-value must be below: alpha over the subjects.")),
        ("psi_threshold", number("What a subject's population stability index must reach.")),
        ("window_rows", count(1, "How many rows a window holds at most.")),
        ("window_seconds", count(1, "How long it lasts at most.")),
        ("tumbling", window("The last whole one of windows that follow each other.")),
        ("sliding", window("The window that ends now.")),
    ])
    .into()
}

fn window(description: &str) -> AnySchema {
    object([
        ("ready", boolean("Whether it has enough rows to say something.")),
        ("rows", count(0, "How many rows were looked at.")),
        ("rows_seen", count(0, "How many rows came.")),
        ("from", time("When it began, in RFC 3339 and UTC.")),
        ("to", time("When it ended, or now.")),
        ("drifted", list(string(""), "The names of what has drifted, the worst first.").into()),
        ("score", subject().schema_type(types([Type::Object, Type::Null])).into()),
        ("features", list(subject(), "In the schema's order.").into()),
    ])
    .property("reason", string("Why it has nothing to say, where that is so."))
    .description(Some(description))
    .into()
}

fn subject() -> ObjectBuilder {
    let bin = shares("")
        .property("name", string(""))
        .property("content", one_of(["range", "value", "missing", "unknown"], "What it holds."))
        .property("from", number("A range's lower bound."))
        .property("to", number("A range's upper bound."));
    object([
        ("kind", one_of(["feature", "score"], "")),
        ("name", string("")),
        (
            "training_rows",
            count(0, "How many rows it is compared with; of the score, those held out from training."),
        ),
        ("detected", boolean("Whether it has drifted.")),
        ("psi", figure("The population stability index.")),
        ("js_distance", figure("The Jensen–Shannon distance to base 2.")),
        ("p_value", figure("How likely a difference as large as this one is by chance.")),
        ("missing", shares("The share of rows without a value.").into()),
        ("bins", list(bin, "").into()),
    ])
    .property("unknown", shares("The share of rows with a value that the schema does not list."))
}
