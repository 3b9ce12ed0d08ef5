//! The parts of the OpenAPI document that depend on a model's schema: rows, responses and prediction routes.

use std::sync::Arc;
use std::time::Duration;

use onnward_rows::{BodyShape, ParseError, RowParser, RowsLimits};
use onnward_schemas::{
    Binary, Feature, FeatureKind, GoldenValue, KeptElement, KeptType, Label, LabelledPrediction,
    OutputElement, OutputField, Prediction, Predictions, Schema, Task, UnknownPolicy, Violations,
};
use onnward_serving::registry::{DEFAULT_ALIAS, ServingModel};
use serde_json::{Map, Value, json};
use utoipa::openapi::example::ExampleBuilder;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{AdditionalProperties, AnyOfBuilder, SchemaType};
use utoipa::openapi::{ContentBuilder, HttpMethod, ObjectBuilder, Required, Type};

use super::shapes::{
    AnySchema, CLOSED, Component, JSON, PREDICTIONS, answer, any_of, boolean, component, count, keyword,
    list, named, object, one_of, operation as begin, problem_response, refusing, string, typed, types,
    version,
};
use super::{identifiers, outcomes};
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

    fn id_and_summary(self, Documented { model, identifier }: &Documented) -> (String, String) {
        let name = &model.name;
        match self {
            Self::Default => ("predict".to_owned(), format!("Predict with the default model, {name}")),
            Self::Named => (format!("predict_{identifier}"), format!("Predict with {name}")),
            Self::Version => {
                (format!("predict_{identifier}_version"), format!("Predict with a loaded version of {name}"))
            }
            Self::Alias => (
                format!("predict_{identifier}_alias"),
                format!("Predict with the version of {name} that an alias points at"),
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

/// A model, and the identifier from which its names in the document are made.
pub struct Documented {
    model: Arc<ServingModel>,
    identifier: String,
}

impl Documented {
    /// Creates it from a served model and its identifier.
    pub fn new(model: Arc<ServingModel>, identifier: String) -> Self {
        Self { model, identifier }
    }

    /// Returns the model.
    pub fn model(&self) -> &ServingModel {
        &self.model
    }

    /// Returns the name of one of the model's components.
    fn component(&self, part: &str) -> String {
        identifiers::type_name(&self.identifier) + part
    }

    fn reference(&self, part: &str) -> AnySchema {
        component(&self.component(part))
    }
}

// The components of a model. None is the end of another, so that those of two models differ.
const REQUEST: &str = "Request";
const INSTANCES: &str = "Instances";
const ROW: &str = "Row";
const ANSWER: &str = "Answer";
const PREDICTION: &str = "Prediction";
const PREDICTION_LIST: &str = "Predictions";
const SCORE: &str = "Score";

/// Returns the schemas of a model's requests, rows and responses, by name.
pub fn components(model: &Documented, max_rows: usize) -> Vec<Component> {
    let rows = || list(model.reference(ROW), "").min_items(Some(1)).max_items(Some(max_rows));
    let instances = object([("instances", rows().into())]).additional_properties(Some(CLOSED));
    let request = any_of([model.reference(ROW), rows().into(), model.reference(INSTANCES)]);
    let components: [(&str, AnySchema); 3] = [
        (REQUEST, request.into()),
        (INSTANCES, instances.into()),
        (ROW, row_schema(model.model().description.schema())),
    ];
    let components = components.into_iter().chain(answer_components(model));
    components.map(|(part, schema)| named(&model.component(part), schema)).collect()
}

/// Creates the schema of a row. Fields that generators cannot tell apart are described by patterns: a client has
/// them in the map of its additional properties.
fn row_schema(schema: &Schema) -> AnySchema {
    let description = (!schema.description.is_empty()).then_some(&schema.description);
    let row = ObjectBuilder::new().schema_type(Type::Object).description(description);
    let fields: Vec<&str> = schema
        .identifier
        .iter()
        .map(String::as_str)
        .chain(schema.features.iter().map(|feature| feature.name.as_str()))
        .collect();
    let indistinct = identifiers::indistinct(fields.iter().copied());
    let identifier = schema.identifier.iter().map(|name| (name.as_str(), identifier_schema()));
    let features = schema.features.iter().map(|feature| (feature.name.as_str(), feature_schema(feature)));
    let (patterns, properties): (Vec<_>, Vec<_>) =
        identifier.chain(features).partition(|(name, _)| indistinct.contains(name));
    let row = properties.into_iter().fold(row, |row, (name, schema)| row.property(name, schema));
    let required = schema.features.iter().filter(|feature| feature.required);
    let row = required.fold(row, |row, feature| row.required(&feature.name));
    if patterns.is_empty() {
        return row.additional_properties(Some(CLOSED)).into();
    }
    let patterns =
        patterns.into_iter().map(|(name, schema)| (identifiers::exact_pattern(name), json!(schema)));
    let names = ObjectBuilder::new().schema_type(SchemaType::AnyValue).enum_values(Some(fields));
    row.extensions(Some(keyword("patternProperties", patterns.collect::<Map<_, _>>())))
        .property_names(Some(names.build()))
        .additional_properties(Some(OPEN))
        .into()
}

const OPEN: AdditionalProperties<utoipa::openapi::Schema> = AdditionalProperties::FreeForm(true);

fn identifier_schema() -> AnySchema {
    let described = "The customer's identifier, to which outcomes can be joined. It is not scored.";
    ObjectBuilder::new().schema_type(SchemaType::AnyValue).description(Some(described)).into()
}

/// The largest value: models compute in single precision, and larger values are rejected.
const LARGEST: f64 = f32::MAX as f64;

fn feature_schema(feature: &Feature) -> AnySchema {
    let null = feature.may_be_missing().then_some(Type::Null);
    match &feature.kind {
        FeatureKind::Numeric { min, max, integer } => {
            let number = if *integer { Type::Integer } else { Type::Number };
            typed(Type::Number, &feature.description)
                .schema_type(types([number].into_iter().chain(null)))
                .minimum(Some(min.unwrap_or(-LARGEST)))
                .maximum(Some(max.unwrap_or(LARGEST)))
                .into()
        }
        FeatureKind::Categorical { values, unknown: UnknownPolicy::Reject } => {
            closed_category(values, null, &feature.description)
        }
        FeatureKind::Kept(kept) => kept_schema(kept, null, &feature.description),
        // Any value is accepted: the known ones are examples.
        FeatureKind::Categorical { values, unknown: UnknownPolicy::Ignore | UnknownPolicy::Keep } => {
            let numbers: Vec<Value> = values.iter().filter_map(|value| as_number(value)).collect();
            let number = (!numbers.is_empty()).then_some(Type::Number);
            let truths: Vec<Value> = values.iter().filter_map(|value| as_truth(value)).collect();
            let truth = (!truths.is_empty()).then_some(Type::Boolean);
            let known = values.iter().map(|value| json!(value)).chain(numbers).chain(truths);
            typed(Type::String, &feature.description)
                .schema_type(types([Type::String].into_iter().chain(number).chain(truth).chain(null)))
                .examples(known)
                .into()
        }
    }
}

/// Creates the schema of a value that goes to the graph as it is: a scalar, or lists of scalars.
fn kept_schema(kept: &KeptType, null: Option<Type>, description: &str) -> AnySchema {
    let is_list = !kept.shape.is_empty();
    let described = if is_list { "" } else { description };
    let of = |scalar: Type| {
        typed(scalar.clone(), described).schema_type(types([scalar].into_iter().chain(null.clone())))
    };
    let element = match kept.element {
        KeptElement::Single => of(Type::Number).minimum(Some(-LARGEST)).maximum(Some(LARGEST)),
        KeptElement::Double => of(Type::Number),
        KeptElement::Integer { min, max } => of(Type::Integer).minimum(Some(min)).maximum(Some(max)),
        KeptElement::Unsigned => of(Type::Integer).minimum(Some(0)),
        KeptElement::Boolean => of(Type::Boolean),
        KeptElement::Text => of(Type::String),
    };
    let mut schema: AnySchema = element.into();
    for (depth, size) in kept.shape.iter().enumerate().rev() {
        let described = if depth == 0 { description } else { "" };
        schema = list(schema, described).min_items(*size).max_items(*size).into();
    }
    schema
}

/// Creates the schema of a category with a closed set of values. Each type has a form of its own, because
/// generators do not take values of several types in one.
fn closed_category(values: &[String], null: Option<Type>, description: &str) -> AnySchema {
    let (whole, fractional): (Vec<Value>, Vec<Value>) =
        values.iter().filter_map(|value| as_number(value)).partition(Value::is_i64);
    let whole = (!whole.is_empty()).then(|| typed(Type::Number, "").enum_values(Some(whole)));
    // Generators take only whole numbers as values.
    let fractional = fractional
        .into_iter()
        .filter_map(|value| value.as_f64())
        .map(|number| typed(Type::Number, "").minimum(Some(number)).maximum(Some(number)));
    let truths: Vec<Value> = values.iter().filter_map(|value| as_truth(value)).collect();
    let truth = truths.first().map(|first| match truths.len() {
        1 => typed(Type::Boolean, "").extensions(Some(keyword("const", first.clone()))),
        _ => typed(Type::Boolean, ""),
    });
    let null = null.map(|null| typed(null, ""));
    let others: Vec<ObjectBuilder> = whole.into_iter().chain(fractional).chain(truth).chain(null).collect();
    let known = values.iter().map(String::as_str);
    if others.is_empty() {
        return one_of(known, description);
    }
    let described = (!description.is_empty()).then_some(description);
    let any = AnyOfBuilder::new().schema_type(SchemaType::AnyValue).description(described);
    others.into_iter().fold(any.item(one_of(known, "")), AnyOfBuilder::item).into()
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

fn answer_components(documented: &Documented) -> [(&'static str, AnySchema); 4] {
    let model = documented.model();
    let of = || [("model", one_of([model.name.as_str()], "")), ("version", count(1, ""))];
    let id = || ("id", outcomes::id_schema());
    let label = &model.description.schema().label;
    let example = model.description.example();
    let scored = || predicted(label, example.as_ref().map(|(_, predictions)| predictions));
    let single = object([id()].into_iter().chain(of()).chain(scored()));
    let score = object([id()].into_iter().chain(scored()));
    let described = "A prediction for each row, in the order of the rows.";
    let predictions = list(documented.reference(SCORE), described);
    let many = object(of().into_iter().chain([("predictions", predictions.into())]));
    [
        (ANSWER, any_of([PREDICTION, PREDICTION_LIST].map(|part| documented.reference(part))).into()),
        (PREDICTION, single.into()),
        (PREDICTION_LIST, many.into()),
        (SCORE, score.into()),
    ]
}

/// Returns the keys of a prediction. A class has probabilities if the example has.
fn predicted<'a>(label: &'a Label, example: Option<&Predictions>) -> Vec<(&'a str, AnySchema)> {
    let Label { column, name, task } = label;
    let share = |text: &str| typed(Type::Number, text).minimum(Some(0)).maximum(Some(1));
    match task {
        Task::Binary(Binary { positive, threshold, .. }) => vec![
            (
                LabelledPrediction::PROBABILITY,
                share(&format!("The probability that `{column}` is {positive}.")).into(),
            ),
            (name, boolean(&format!("Whether the probability is at least {threshold}."))),
        ],
        Task::Classes(classes) => {
            let known = classes.values.iter().map(String::as_str);
            let each = classes.values.iter().map(|class| (class.as_str(), share("").into()));
            let probabilities = object(each).description(Some("The probability of each class."));
            let row = example.and_then(|predictions| predictions.row(0));
            let has_probabilities = !matches!(row, Some(Prediction::Class(_, None)));
            let probabilities =
                has_probabilities.then(|| (LabelledPrediction::PROBABILITIES, probabilities.into()));
            [(name.as_str(), one_of(known, "The class of the row."))]
                .into_iter()
                .chain(probabilities)
                .collect()
        }
        Task::Number => vec![(name, typed(Type::Number, "The predicted number.").into())],
        Task::Raw(outputs) => {
            let each = outputs.fields.iter().map(|field| (field.name.as_str(), output_schema(field)));
            vec![(
                LabelledPrediction::OUTPUTS,
                object(each).description(Some("The outputs of the graph.")).into(),
            )]
        }
    }
}

/// Returns the schema of one output of a graph: a value, nested lists of values, or an object of them.
fn output_schema(field: &OutputField) -> AnySchema {
    let value = || match field.element {
        OutputElement::Number => {
            typed(Type::Number, "").schema_type(types([Type::Number, Type::Null])).into()
        }
        OutputElement::Integer => typed(Type::Integer, "").into(),
        OutputElement::Boolean => typed(Type::Boolean, "").into(),
        OutputElement::Text => typed(Type::String, "").into(),
    };
    match field.rank {
        _ if !field.keys.is_empty() => object(field.keys.iter().map(|key| (key.as_str(), value()))).into(),
        Some(rank) => (0..rank).fold(value(), |items, _| list(items, "").into()),
        None => ObjectBuilder::new().schema_type(SchemaType::AnyValue).into(),
    }
}

/// Returns the operation that scores rows with a model.
pub fn operation(documented: &Documented, route: Route) -> Operation {
    let model = documented.model();
    let (id, summary) = route.id_and_summary(documented);
    let example = example(model);
    let shown = |summary: &str, value| ExampleBuilder::new().summary(summary).value(Some(value)).build();
    let examples = example.iter().flat_map(|Example { row, .. }| {
        [
            ("one", shown("One row", json!(row))),
            ("several", shown("Several rows", json!({ "instances": [row, row] }))),
        ]
    });
    let request = ContentBuilder::new()
        .schema(Some(documented.reference(REQUEST)))
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
        documented.reference(ANSWER),
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
        (ApiError::LOADING, "The models are being loaded, or the engine is shutting down."),
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
    let (row, predictions) = model.description.example()?;
    let fields = model.description.schema().features.iter().zip(row);
    let row = fields
        .filter_map(|(feature, value)| Some((feature.name.clone(), as_sent(feature, value)?)))
        .collect();
    let answer = Answer {
        model,
        predictions: &predictions,
        form: BodyShape::Single,
        first: Some(outcomes::example_id()),
    };
    // Serialized to text first, because numbers are printed in the precision that they have.
    let answer = serde_json::to_string(&answer).and_then(|text| serde_json::from_str(&text)).ok()?;
    Some(Example { row, answer })
}

/// Returns a raw value as a client would send it. `None` if it is missing.
fn as_sent(feature: &Feature, value: &GoldenValue) -> Option<Value> {
    match value {
        GoldenValue::Missing => None,
        GoldenValue::Number(number) => Some(number_value(*number)),
        GoldenValue::Boolean(value) => Some(json!(value)),
        GoldenValue::Array(items) => {
            Some(items.iter().map(|item| as_sent(feature, item).unwrap_or_default()).collect())
        }
        GoldenValue::Text(text) if feature.is_kept() => Some(json!(text)),
        GoldenValue::Text(text) => Some(as_truth(text).unwrap_or_else(|| json!(text))),
    }
}
