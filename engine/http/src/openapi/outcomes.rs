//! The routes of outcomes and of what is made of them.

use std::sync::Arc;

use onnward_records::ground_truth::join::JoinResult;
use onnward_records::prediction_id::PredictionId;
use onnward_schemas::{Violation, Violations};
use onnward_serving::registry::ServingModel;
use serde_json::{Value, json};
use utoipa::openapi::example::ExampleBuilder;
use utoipa::openapi::path::{Operation, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{AdditionalProperties, SchemaType};
use utoipa::openapi::{
    ContentBuilder, HttpMethod, KnownFormat, ObjectBuilder, OneOfBuilder, Paths, Required, SchemaFormat, Type,
};

use super::shapes::{
    AnySchema, JSON, OUTCOMES, answer, count, list, object, one_of, operation, problem_response, refusing,
    string, typed, types, version,
};
use crate::problem::ApiError;

/// Adds the routes.
pub fn add(paths: &mut Paths, models: &[Arc<ServingModel>], max_outcomes: usize) {
    paths.add_path_operation("/outcomes", vec![HttpMethod::Post], join(max_outcomes));
    if !models.is_empty() {
        paths.add_path_operation("/models/{name}/performance", vec![HttpMethod::Get], performance(models));
    }
}

/// Returns an id for examples.
pub fn example_id() -> PredictionId {
    PredictionId::made(1_780_228_800_000, 0x5_ca1a_b1e5_ca1a)
}

/// Returns the schema of a prediction's id.
pub fn id_schema() -> AnySchema {
    typed(Type::String, "Names the prediction in `POST /outcomes`.")
        .format(Some(SchemaFormat::Custom("uuid".to_owned())))
        .into()
}

const UUID_7: &str = "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-7[0-9a-fA-F]{3}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$";

/// Returns one outcome: of a prediction by its id, or of a customer by the key. A field that may be left out
/// may be null.
fn outcome() -> OneOfBuilder {
    let key = ObjectBuilder::new()
        .schema_type(types([Type::String, Type::Number]))
        .min_length(Some(1))
        .description(Some("In place of an id: the customer, as the schema's identifier in the row had it."));
    let model = optional(Type::String, "The model that predicted; by default the default model.");
    let id = typed(Type::String, "The id of a prediction, a UUID of version 7.").pattern(Some(UUID_7));
    let by_id = object([("id", id.into()), ("label", label())]);
    let by_id = by_id.property("key", absent()).property("model", absent());
    let by_key = object([("key", key.into()), ("label", label())]);
    let by_key = by_key.property("id", absent()).property("model", model);
    any().item(completed(by_id)).item(completed(by_key))
}

fn label() -> AnySchema {
    ObjectBuilder::new()
        .schema_type(types([Type::Boolean, Type::String, Type::Number]))
        .description(Some("What turned out: true, false, or a value of the model's label."))
        .into()
}

/// Adds the fields that both kinds of outcome may have, and allows no others.
fn completed(outcome: ObjectBuilder) -> ObjectBuilder {
    let text = "When it turned out, which has passed; with a key, the last prediction until then is meant.";
    let time = optional(Type::String, text).format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)));
    outcome
        .property("time", time)
        .property("correct", optional(Type::Boolean, "Whether it may take the place of a contradicting one."))
        .additional_properties(Some(AdditionalProperties::<utoipa::openapi::Schema>::FreeForm(false)))
}

fn optional(r#type: Type, description: &str) -> ObjectBuilder {
    typed(r#type.clone(), description).schema_type(types([r#type, Type::Null]))
}

/// Creates the schema of a field that must be absent.
fn absent() -> ObjectBuilder {
    typed(Type::Null, "")
}

fn joined() -> ObjectBuilder {
    let results = JoinResult::ALL.map(JoinResult::name);
    object([("result", one_of(results, "What has become of it."))])
        .property("id", id_schema())
        .property("model", string("The model that predicted."))
        .property("version", count(1, "Its version."))
}

fn any() -> OneOfBuilder {
    OneOfBuilder::new().schema_type(SchemaType::AnyValue)
}

fn join(max_outcomes: usize) -> Operation {
    let items = || list(AnySchema::from(outcome()), "").min_items(Some(1)).max_items(Some(max_outcomes));
    let many = object([("outcomes", items().into())])
        .additional_properties(Some(AdditionalProperties::<utoipa::openapi::Schema>::FreeForm(false)));
    let schema = any().item(outcome()).item(items()).item(many);
    let (id, shown) = (example_id(), |summary: &str, value| {
        ExampleBuilder::new().summary(summary).value(Some(value)).build()
    });
    let one = json!({"id": id, "label": true});
    let several = json!({"outcomes": [
        {"id": id, "label": true, "time": "2026-05-31T12:00:00Z"},
        {"key": "7590-VHVEG", "label": false, "correct": true},
    ]});
    let request = ContentBuilder::new()
        .schema(Some(AnySchema::from(schema)))
        .examples_from_iter([("one", shown("One outcome", one)), ("several", shown("Several", several))])
        .build();
    let body = RequestBodyBuilder::new()
        .description(Some(
            "One object gets one answer; a list, or a list as `outcomes`, gets counts and a list.",
        ))
        .required(Some(Required::True))
        .content(JSON, request)
        .build();
    let counts = JoinResult::ALL.map(|result| (result.name(), count(0, "")));
    let results = list(joined(), "Of each outcome, in the order of the request.");
    let many = object(counts.into_iter().chain([("results", results.into())]));
    let answered = answer(RESULTS, any().item(joined()).item(many).into(), Some(example_answer(id)));
    let operation = operation(OUTCOMES, "outcomes", "Tell what became of customers")
        .description(Some(ABOUT))
        .request_body(Some(body))
        .response("200", answered);
    let refusals = [
        (ApiError::InvalidOutcomes(violations()), "Nothing was joined; `errors` lists every violation."),
        (ApiError::NoOutcomes, "The engine keeps no predictions."),
        (ApiError::OutcomesFailed { reason: "the disk is full".to_owned() }, "The store cannot be used."),
    ];
    refusals
        .iter()
        .fold(operation, |operation, (error, text)| refusing(operation, error, "/outcomes", text))
        .response("default", problem_response("Anything else: as for predictions.", None))
        .build()
}

const ABOUT: &str = "Joins outcomes to the predictions that the engine keeps (`outcomes.folder`). All of a request is \
joined, or none; when it is answered, it is on the disk.";

const RESULTS: &str = "What has become of each: `joined`; `duplicate`, it was known already; `contradicting`, another outcome is \
known and stays, unless the new one has `\"correct\": true` and is `corrected`; `late`, the prediction is not kept any \
more; `unknown`, this engine keeps no such prediction.";

fn example_answer(id: PredictionId) -> Value {
    json!({"result": "joined", "id": id, "model": "churn", "version": 3})
}

fn violations() -> Violations {
    let mut violations = Violations::default();
    violations.push(|| Violation {
        pointer: "/label".to_owned(),
        row: Some(0),
        expected: "true, false, or a value of the model's label".to_owned(),
        got: "nothing".to_owned(),
    });
    violations
}

fn performance(models: &[Arc<ServingModel>]) -> Operation {
    let parameter = |name: &str, place| ParameterBuilder::new().name(name).parameter_in(place);
    let names = one_of(models.iter().map(|model| model.name.as_str()), "");
    let name = parameter("name", ParameterIn::Path).required(Required::True).schema(Some(names));
    let asked = parameter("version", ParameterIn::Query).schema(Some(version(""))).required(Required::False);
    let window = object([
        ("days", count(1, "How many days ago an outcome may have come.")),
        ("outcomes", count(1, "How many outcomes of a version count at most, the last ones.")),
    ]);
    let window = window.description(Some("What is measured; null where no predictions are kept."));
    let described = object([
        ("model", string("")),
        ("window", window.schema_type(types([Type::Object, Type::Null])).into()),
        ("versions", list(version_figures(), "The versions, the highest first.").into()),
    ]);
    let unknown = ApiError::UnknownModel { serving: models.iter().map(|model| model.name.clone()).collect() };
    let operation = operation(OUTCOMES, "performance", "How good a model's predictions are")
        .parameter(name)
        .parameter(asked)
        .response("200", answer("By version: measured by outcomes, and estimated.", described.into(), None));
    let reasons = "There is no such model, or nothing is known of this version.";
    let operation = refusing(operation, &unknown, "/models/other/performance", reasons);
    let bad = "The version is not a whole number from 1.";
    refusing(operation, &ApiError::BadVersion, "/models/churn/performance", bad).build()
}

fn version_figures() -> ObjectBuilder {
    let kept = object([
        ("predictions", count(0, "How many predictions are kept.")),
        ("with_outcome", count(0, "How many of them have their outcome.")),
        ("coverage", share("The share of them that have it.")),
    ]);
    object([
        ("version", count(1, "")),
        ("threshold", share("The probability from which a row is judged positive.")),
        ("kept", nullable(kept, "Null where no predictions are kept.")),
        ("measured", nullable(measured(), "By the outcomes in the window; null if there are none.")),
        ("estimated", nullable(estimated(), "Without outcomes; null before there are predictions.")),
    ])
}

fn estimated() -> ObjectBuilder {
    object([
        ("from", string("When the first of the predictions was made, in RFC 3339 and UTC.")),
        ("predictions", count(1, "How many predictions it is made from.")),
        ("accuracy", share("")),
        ("precision", share("")),
        ("recall", share("")),
        ("f1", share("")),
        ("roc_auc", share("")),
        ("note", string("What is to be known of an estimate.")),
    ])
}

fn measured() -> ObjectBuilder {
    let bin = object([
        ("from", share("Above which probability.")),
        ("to", share("Up to which probability.")),
        ("predictions", count(1, "")),
        ("mean_probability", share("What the predictions said on average.")),
        ("share_positive", share("How many of them turned out to be positive.")),
    ]);
    object([
        ("outcomes", count(1, "")),
        ("positives", count(0, "How many of the outcomes are positive.")),
        ("from", string("When the first of them came, in RFC 3339 and UTC.")),
        ("to", string("When the last of them came.")),
        ("roc_auc", share("Null without positives or without negatives.")),
        ("accuracy", share("")),
        ("precision", share("Null if nothing was decided positive.")),
        ("recall", share("Null without positives.")),
        ("brier", share("The mean squared difference of probability and label.")),
        ("calibration_error", share("The expected calibration error over ten bins.")),
        ("calibration", list(bin, "The bins, those without predictions left out.").into()),
    ])
}

/// Returns a number from 0 to 1, or null where it is not known.
fn share(description: &str) -> AnySchema {
    typed(Type::Number, description)
        .schema_type(types([Type::Number, Type::Null]))
        .minimum(Some(0))
        .maximum(Some(1))
        .into()
}

fn nullable(object: ObjectBuilder, description: &str) -> AnySchema {
    object.description(Some(description)).schema_type(types([Type::Object, Type::Null])).into()
}
