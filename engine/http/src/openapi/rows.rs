//! The parts of the OpenAPI document that depend on a model's schema: rows, responses and prediction routes.

use std::time::Duration;

use onnward_rows::{BodyShape, ParseError, RowParser, RowsLimits};
use onnward_schemas::{Feature, FeatureKind, GoldenValue, Label, Schema, UnknownPolicy, Violations};
use onnward_serving::registry::{DEFAULT_ALIAS, ServingModel};
use serde_json::{Map, Value, json};
use utoipa::openapi::example::ExampleBuilder;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{AdditionalProperties, SchemaType};
use utoipa::openapi::{ContentBuilder, HttpMethod, ObjectBuilder, OneOfBuilder, Required, Type};

use super::outcomes;
use super::shapes::{
    AnySchema, JSON, PREDICTIONS, answer, boolean, component, count, list, object, one_of,
    operation as begin, problem_response, refusing, string, typed, types, version,
};
use crate::admission::body::REQUEST_TIMEOUT;
use crate::answer::Answer;
use crate::problem::ApiError;

/// The method of a prediction.
pub const POST: HttpMethod = HttpMethod::Post;

/// A prediction route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// `/predict`.
    Default,
    /// `/models/{name}/predict`.
    Named,
    /// `/models/{name}/versions/{version}/predict`.
    Version,
    /// `/models/{name}/aliases/{alias}/predict`.
    Alias,
}

impl Route {
    /// The routes that name a model.
    pub const NAMED: [Self; 3] = [Self::Named, Self::Version, Self::Alias];

    /// Returns the path for a model. Path parameters are in braces.
    pub fn path(self, model: &str) -> String {
        match self {
            Self::Default => "/predict".to_owned(),
            Self::Named => format!("/models/{model}/predict"),
            Self::Version => format!("/models/{model}/versions/{{version}}/predict"),
            Self::Alias => format!("/models/{model}/aliases/{{alias}}/predict"),
        }
    }

    fn id_and_summary(self, model: &str) -> (String, String) {
        match self {
            Self::Default => ("predict".to_owned(), format!("Predict with the default model, {model}")),
            Self::Named => (format!("predict_{model}"), format!("Predict with {model}")),
            Self::Version => {
                (format!("predict_{model}_version"), format!("Predict with a loaded version of {model}"))
            }
            Self::Alias => (
                format!("predict_{model}_alias"),
                format!("Predict with the version of {model} that an alias points at"),
            ),
        }
    }

    /// Returns the path parameter, if the route has one.
    fn parameter(self, model: &ServingModel) -> Option<Parameter> {
        let (name, example) = match self {
            Self::Default | Self::Named => return None,
            Self::Version => ("version", json!(model.version)),
            Self::Alias => ("alias", json!(DEFAULT_ALIAS)),
        };
        let schema = if self == Self::Version { version("") } else { string("") };
        let parameter = ParameterBuilder::new().name(name).parameter_in(ParameterIn::Path);
        Some(parameter.required(Required::True).schema(Some(schema)).example(Some(example)).build())
    }
}

/// Returns the schemas of a model's requests, rows and responses, by name.
pub fn components(model: &ServingModel, max_rows: usize) -> Vec<(String, AnySchema)> {
    let schema = model.description.schema();
    let row = || component(&name(model, "Row"));
    let rows = || list(row(), "").min_items(Some(1)).max_items(Some(max_rows));
    let instances = object([("instances", rows().into())]).additional_properties(Some(CLOSED));
    let request = any().item(row()).item(rows()).item(instances);
    vec![
        (name(model, "Request"), request.into()),
        (name(model, "Row"), row_schema(schema)),
        (name(model, "Answer"), answer_schema(model)),
    ]
}

const CLOSED: AdditionalProperties<utoipa::openapi::Schema> = AdditionalProperties::FreeForm(false);

fn any() -> OneOfBuilder {
    OneOfBuilder::new().schema_type(SchemaType::AnyValue)
}

/// Returns the name of one of a model's components.
fn name(model: &ServingModel, part: &str) -> String {
    format!("{}.{part}", model.name)
}

fn row_schema(schema: &Schema) -> AnySchema {
    let mut row = ObjectBuilder::new().schema_type(Type::Object).additional_properties(Some(CLOSED));
    if !schema.description.is_empty() {
        row = row.description(Some(&schema.description));
    }
    if let Some(identifier) = &schema.identifier {
        let any = ObjectBuilder::new().schema_type(SchemaType::AnyValue).description(Some(
            "The customer's identifier, to which outcomes can be joined. It is not scored.",
        ));
        row = row.property(identifier, any);
    }
    for feature in &schema.features {
        row = row.property(&feature.name, feature_schema(feature));
        if feature.required {
            row = row.required(&feature.name);
        }
    }
    row.into()
}

/// The largest value: models compute in single precision, and larger values are rejected.
const LARGEST: f64 = f32::MAX as f64;

fn feature_schema(feature: &Feature) -> ObjectBuilder {
    let null = (!feature.required).then_some(Type::Null);
    match &feature.kind {
        FeatureKind::Numeric { min, max, integer } => {
            let number = if *integer { Type::Integer } else { Type::Number };
            typed(Type::Number, &feature.description)
                .schema_type(types([number].into_iter().chain(null)))
                .minimum(Some(min.unwrap_or(-LARGEST)))
                .maximum(Some(max.unwrap_or(LARGEST)))
        }
        FeatureKind::Categorical { values, unknown } => {
            let numbers: Vec<Value> = values.iter().filter_map(|value| as_number(value)).collect();
            let number = (!numbers.is_empty()).then_some(Type::Number);
            let truths: Vec<Value> = values.iter().filter_map(|value| as_truth(value)).collect();
            let truth = (!truths.is_empty()).then_some(Type::Boolean);
            let known = values.iter().map(|value| json!(value)).chain(numbers).chain(truths);
            let object = typed(Type::String, &feature.description).schema_type(types(
                [Type::String].into_iter().chain(number).chain(truth).chain(null.clone()),
            ));
            match unknown {
                UnknownPolicy::Reject => object.enum_values(Some(known.chain(null.map(|_| Value::Null)))),
                // Any value is accepted: the known ones are examples.
                UnknownPolicy::Ignore | UnknownPolicy::Keep => object.examples(known),
            }
        }
    }
}

/// Returns a category as a number, if it is written as one. Clients may send either.
fn as_number(value: &str) -> Option<Value> {
    let number: f64 =
        value.parse().ok().filter(|number: &f64| number.is_finite() && number.to_string() == value)?;
    Some(number_value(number))
}

/// Returns a category as a Boolean, if it is written as one. Clients may send either.
fn as_truth(value: &str) -> Option<Value> {
    value.parse::<bool>().ok().map(Value::Bool)
}

/// Returns a number as JSON, whole numbers without a decimal point.
fn number_value(number: f64) -> Value {
    let whole = number.fract() == 0.0 && number.abs() < 1e15;
    if whole { json!(number as i64) } else { json!(number) }
}

fn answer_schema(model: &ServingModel) -> AnySchema {
    let Label { name, positive, column, .. } = &model.description.schema().label;
    let threshold = model.description.schema().threshold;
    let probability = || {
        let text = format!("The probability that `{column}` is {positive}.");
        typed(Type::Number, &text).minimum(Some(0)).maximum(Some(1))
    };
    let decision = || boolean(&format!("Whether the probability is at least {threshold}."));
    let of = || [("model", one_of([model.name.as_str()], "")), ("version", count(1, ""))];
    let id = || ("id", outcomes::id_schema());
    let prediction = || [("probability", probability().into()), (name.as_str(), decision())];
    let single = object([id()].into_iter().chain(of()).chain(prediction()));
    let predictions = [id()].into_iter().chain(prediction());
    let predictions = list(object(predictions), "A prediction for each row, in the order of the rows.");
    let many = object(of().into_iter().chain([("predictions", predictions.into())]));
    any().item(single).item(many).into()
}

/// Returns the operation that scores rows with a model.
pub fn operation(model: &ServingModel, route: Route) -> Operation {
    let (id, summary) = route.id_and_summary(&model.name);
    let example = example(model);
    let shown = |summary: &str, value| ExampleBuilder::new().summary(summary).value(Some(value)).build();
    let examples = example.iter().flat_map(|Example { row, .. }| {
        [
            ("one", shown("One row", json!(row))),
            ("several", shown("Several rows", json!({ "instances": [row, row] }))),
        ]
    });
    let request = ContentBuilder::new()
        .schema(Some(component(&name(model, "Request"))))
        .examples_from_iter(examples)
        .build();
    let body = RequestBodyBuilder::new()
        .description(Some(
            "One row returns one prediction. A list, or an object with a list `instances`, returns a list of \
             predictions.",
        ))
        .required(Some(Required::True))
        .content(JSON, request)
        .build();
    let answered = answer(
        "The predictions.",
        component(&name(model, "Answer")),
        example.as_ref().map(|example| example.answer.clone()),
    );
    let path = route.path(&model.name);
    let operation = route
        .parameter(model)
        .into_iter()
        .chain([timeout_parameter()])
        .fold(begin(PREDICTIONS, &id, &summary), |operation, parameter| operation.parameter(parameter))
        .request_body(Some(body))
        .response("200", answered);
    refusals(example.as_ref(), &model.parser)
        .iter()
        .fold(operation, |operation, (error, description)| refusing(operation, error, &path, description))
        .response("default", problem_response(OTHERWISE, None))
        .build()
}

const OTHERWISE: &str = "Other errors: 400 the body is not JSON, 404 the model, version or alias is not \
loaded, 408 the body was not received in time, 413 the body is too large, 415 the body is not \
`application/json` or is compressed, 500 internal error, 504 the rows were not scored in time.";

fn refusals(example: Option<&Example>, parser: &RowParser) -> Vec<(ApiError, &'static str)> {
    let violations = example.and_then(|example| violations(example, parser)).unwrap_or_default();
    let full = ApiError::QueueFull { retry_after: Duration::from_secs(1) };
    vec![
        (
            ApiError::InvalidRows(violations),
            "The rows do not match the schema; `errors` lists the violations.",
        ),
        (full, "Too many rows are waiting."),
        (ApiError::Loading, "The models are being loaded, or the engine is shutting down."),
    ]
}

/// Returns the violations of the example row with an invalid first feature.
fn violations(example: &Example, parser: &RowParser) -> Option<Violations> {
    let mut row = example.row.clone();
    row.insert(parser.schema().features.first()?.name.clone(), json!([]));
    match parser.parse(Value::Object(row).to_string().as_bytes(), RowsLimits::of_rows(1), false) {
        Err(ParseError::Invalid(violations)) => Some(violations),
        _ => None,
    }
}

fn timeout_parameter() -> Parameter {
    ParameterBuilder::new()
        .name(REQUEST_TIMEOUT.as_str())
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some("Time limit in milliseconds; cannot exceed the engine's."))
        .schema(Some(count(1, "")))
        .build()
}

/// An example row and its response.
struct Example {
    row: Map<String, Value>,
    answer: Value,
}

/// Returns the model's example row and its response, if the model has one.
fn example(model: &ServingModel) -> Option<Example> {
    let (row, probability) = model.description.example()?;
    let fields = model.description.schema().features.iter().zip(row);
    let row = fields
        .filter_map(|(feature, value)| Some((feature.name.clone(), as_sent(feature, value)?)))
        .collect();
    let answer = Answer {
        model,
        probabilities: &[probability],
        form: BodyShape::Single,
        first: Some(outcomes::example_id()),
    };
    // Serialized to text first, because probabilities are printed in single precision.
    let answer = serde_json::to_string(&answer).and_then(|text| serde_json::from_str(&text)).ok()?;
    Some(Example { row, answer })
}

/// Returns a raw value as a client would send it. `None` if it is missing.
fn as_sent(feature: &Feature, value: &GoldenValue) -> Option<Value> {
    match value {
        GoldenValue::Missing => None,
        GoldenValue::Number(number) => Some(number_value(*number)),
        GoldenValue::Text(text) if feature.is_text() => Some(json!(text)),
        GoldenValue::Text(text) => Some(as_truth(text).unwrap_or_else(|| json!(text))),
    }
}
