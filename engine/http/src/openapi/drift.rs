//! The drift routes in the OpenAPI document.

use utoipa::openapi::path::{Operation, OperationBuilder, ParameterBuilder, ParameterIn};
use utoipa::openapi::{ContentBuilder, ObjectBuilder, Required, ResponseBuilder, Type};

use super::shapes::{
    self, AnySchema, Component, MODELS, boolean, component, count, list, named, nullable, object, one_of,
    operation, refusing, string, typed, types,
};
use crate::problem::ApiError;
use crate::routes::drift::EXTERNAL;

const REPORT: &str = "DriftReport";
const WINDOW: &str = "DriftWindow";
const VARIABLE: &str = "DriftVariable";
const BIN: &str = "DriftBin";
const SHARES: &str = "DriftShares";

/// Returns the schemas of a drift report, by name.
pub fn components() -> [Component; 5] {
    [
        named(REPORT, report()),
        named(WINDOW, window()),
        named(VARIABLE, variable()),
        named(BIN, bin()),
        named(SHARES, object([("training", number("")), ("live", number(""))])),
    ]
}

/// Returns the operations by path.
pub fn operations() -> [(&'static str, Operation); 2] {
    let figures = drift_operation("drift", "Drift of live rows against the training data").response(
        "200",
        shapes::answer("The last windows compared with the training rows.", component(REPORT), None),
    );
    let html = ContentBuilder::new().schema(Some(typed(Type::String, ""))).build();
    let page = ResponseBuilder::new().description("An HTML page without scripts.").content("text/html", html);
    let window =
        one_of(["sliding", "tumbling"], "The window in the report; the default is the sliding window.");
    let window = ParameterBuilder::new().name("window").parameter_in(ParameterIn::Query).schema(Some(window));
    let page = drift_operation("drift_report", "The drift report as an HTML page, largest drift first")
        .parameter(window)
        .response("200", page);
    [
        ("/models/{name}/drift", refused(figures, "/models/other/drift")),
        ("/models/{name}/drift/report", refused(page, "/models/other/drift/report")),
    ]
}

fn drift_operation(id: &str, summary: &str) -> OperationBuilder {
    let version = ParameterBuilder::new()
        .name("version")
        .parameter_in(ParameterIn::Query)
        .required(Required::False)
        .description(Some("A loaded version; the default is the served version."))
        .schema(Some(shapes::version("")));
    operation(MODELS, id, summary).parameter(shapes::model_name()).parameter(version)
}

fn refused(operation: OperationBuilder, instance: &str) -> Operation {
    let none = ApiError::NoDrift { name: "other".to_owned(), version: 3, reason: EXTERNAL };
    let reasons = "There is no such model, the version is not loaded or has no training profile, or drift \
                   detection is disabled.";
    let bad =
        ApiError::BadParameter { parameter: "version".to_owned(), valid: "must be a whole number from 1" };
    let operation = refusing(operation, &none, instance, reasons);
    let operation = refusing(operation, &bad, instance, "A query parameter is invalid.");
    let loading = "The models are being loaded, or this model failed to load.";
    refusing(operation, &ApiError::LOADING, instance, loading).build()
}

fn number(description: &str) -> AnySchema {
    typed(Type::Number, description).into()
}

/// Creates the schema of a number that is null if the window has too few rows.
fn figure(description: &str) -> AnySchema {
    typed(Type::Number, description).schema_type(types([Type::Number, Type::Null])).into()
}

fn time(description: &str) -> AnySchema {
    typed(Type::String, description).schema_type(types([Type::String, Type::Null])).into()
}

fn shares(description: &str) -> AnySchema {
    shapes::described(component(SHARES), description)
}

fn report() -> AnySchema {
    object([
        ("model", string("")),
        ("version", count(1, "")),
        ("training_rows", count(0, "The number of rows in the training profile.")),
        (
            "since",
            string(
                "The time at which counting began, in RFC 3339 and UTC: a start, or a load of the version.",
            ),
        ),
        ("subjects", count(1, "The number of compared variables: the features and the score.")),
        ("min_rows", count(1, "The minimum number of rows for a result.")),
        ("alpha", number("The maximum rate of false alarms per window, over all variables.")),
        (
            "p_value_threshold",
            number("A variable drifts only if its p-value is below this threshold: `alpha / subjects`."),
        ),
        (
            "psi_threshold",
            number("A variable drifts only if its population stability index reaches this threshold."),
        ),
        ("window_rows", count(1, "The maximum number of rows in a window.")),
        ("window_seconds", count(1, "The maximum duration of a window in seconds.")),
        ("tumbling", shapes::described(component(WINDOW), "The last complete tumbling window.")),
        ("sliding", shapes::described(component(WINDOW), "The window that ends now.")),
    ])
    .into()
}

fn window() -> ObjectBuilder {
    object([
        ("ready", boolean("Whether the window has enough rows for a result.")),
        ("rows", count(0, "The number of sampled rows.")),
        ("rows_seen", count(0, "The number of rows seen, sampled or not.")),
        ("from", time("The start of the window, in RFC 3339 and UTC.")),
        ("to", time("The end of the window, or now, in RFC 3339 and UTC.")),
        ("drifted", list(string(""), "The names of the drifted variables, largest drift first.").into()),
        ("score", nullable(component(VARIABLE), "")),
        ("features", list(component(VARIABLE), "In the schema's order.").into()),
    ])
    .property("reason", string("The reason why there is no result, if there is none."))
}

fn bin() -> ObjectBuilder {
    object([
        ("training", number("")),
        ("live", number("")),
        ("training_rows", count(0, "The number of training rows in the bin.")),
        ("live_rows", count(0, "The number of sampled rows of the window in the bin.")),
    ])
    .property("name", string(""))
    .property("content", one_of(["range", "value", "missing", "unknown"], "The content of the bin."))
    .property("from", number("The lower bound of a range."))
    .property("to", number("The upper bound of a range."))
}

fn variable() -> ObjectBuilder {
    object([
        ("kind", one_of(["feature", "score"], "")),
        ("name", string("")),
        (
            "training_rows",
            count(0, "The number of rows in the reference: training rows, or held-out rows for the score."),
        ),
        ("detected", boolean("Whether the variable has drifted.")),
        ("psi", figure("The population stability index.")),
        ("js_distance", figure("The Jensen–Shannon distance to base 2.")),
        ("p_value", figure("The probability of a difference at least this large by chance.")),
        ("missing", shares("The share of rows without a value.")),
        ("bins", list(component(BIN), "").into()),
    ])
    .property("unknown", shares("The share of rows with a value that the schema does not list."))
}
