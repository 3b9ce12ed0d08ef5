//! The building blocks of the OpenAPI document: small schemas, responses and the problem document.

use std::sync::Arc;

use axum::http::StatusCode;
use onnward_serving::registry::ServingModel;
use serde_json::Value;
use utoipa::openapi::extensions::Extensions;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{AdditionalProperties, SchemaType};
use utoipa::openapi::{
    ArrayBuilder, ContentBuilder, ObjectBuilder, OneOfBuilder, Ref, RefOr, Required, Response,
    ResponseBuilder, Schema, Type,
};

use super::identifiers;
use crate::problem::{self, ApiError, PROBLEM_JSON};

const PROBLEM: &str = "Problem";
const VIOLATION: &str = "Violation";
const MODEL_NAME: &str = "ModelName";
pub const JSON: &str = "application/json";

pub const PREDICTIONS: &str = "predictions";
pub const MODELS: &str = "models";
pub const OUTCOMES: &str = "outcomes";
pub const OPERATIONS: &str = "operations";

pub type AnySchema = RefOr<Schema>;

/// Allows no other fields.
pub const CLOSED: AdditionalProperties<Schema> = AdditionalProperties::FreeForm(false);

/// A schema that others refer to by its name, which generators make a type of.
pub type Component = (String, AnySchema);

/// Creates a component.
pub fn named(name: &str, schema: impl Into<AnySchema>) -> Component {
    (name.to_owned(), schema.into())
}

/// Returns the components that several parts of the document use.
pub fn components(models: &[Arc<ServingModel>]) -> Vec<Component> {
    let mut components = vec![named(PROBLEM, problem_schema()), named(VIOLATION, violation_schema())];
    if !models.is_empty() {
        let names = models.iter().map(|model| model.name.as_str());
        components.push(named(MODEL_NAME, one_of(names, "The name of a served model.")));
    }
    components
}

/// Creates a schema of one type.
pub fn typed(r#type: Type, description: &str) -> ObjectBuilder {
    let description = (!description.is_empty()).then_some(description);
    ObjectBuilder::new().schema_type(r#type).description(description)
}

/// Creates a string schema.
pub fn string(description: &str) -> AnySchema {
    typed(Type::String, description).into()
}

/// Creates a string schema with a closed set of values, and with the names that generators give them.
pub fn one_of<'a>(values: impl IntoIterator<Item = &'a str>, description: &str) -> AnySchema {
    let values: Vec<&str> = values.into_iter().collect();
    let names = identifiers::of_values(values.iter().copied());
    let names = keyword("x-enum-varnames", names);
    typed(Type::String, description).enum_values(Some(values)).extensions(Some(names)).into()
}

/// Creates a keyword for which utoipa has no field.
pub fn keyword(name: &str, value: impl Into<Value>) -> Extensions {
    Extensions::from_iter([(name, value)])
}

/// Creates an integer schema with a minimum.
pub fn count(minimum: usize, description: &str) -> AnySchema {
    typed(Type::Integer, description).minimum(Some(minimum)).into()
}

/// Creates the schema of a version in a request: integers that every JSON parser reads exactly.
pub fn version(description: &str) -> AnySchema {
    const LARGEST: u64 = (1 << 53) - 1;
    typed(Type::Integer, description).minimum(Some(1)).maximum(Some(LARGEST)).into()
}

/// Creates a Boolean schema.
pub fn boolean(description: &str) -> AnySchema {
    typed(Type::Boolean, description).into()
}

/// Creates an object schema whose fields are added by the caller.
pub fn free_object(description: &str) -> AnySchema {
    typed(Type::Object, description).additional_properties(Some(AdditionalProperties::FreeForm(true))).into()
}

/// Creates an array schema.
pub fn list(items: impl Into<AnySchema>, description: &str) -> ArrayBuilder {
    let description = (!description.is_empty()).then_some(description);
    ArrayBuilder::new().items(items.into()).description(description)
}

/// Creates an object schema with these fields, all of them required.
pub fn object<'a>(fields: impl IntoIterator<Item = (&'a str, AnySchema)>) -> ObjectBuilder {
    fields.into_iter().fold(ObjectBuilder::new().schema_type(Type::Object), |object, (name, schema)| {
        object.property(name, schema).required(name)
    })
}

/// Returns a schema type that accepts any of these types.
pub fn types(types: impl IntoIterator<Item = Type>) -> SchemaType {
    let mut types: Vec<Type> = types.into_iter().collect();
    match types.pop() {
        Some(only) if types.is_empty() => SchemaType::Type(only),
        last => SchemaType::Array(types.into_iter().chain(last).collect()),
    }
}

/// Returns a reference to a component.
pub fn component(name: &str) -> AnySchema {
    Ref::from_schema_name(name).into()
}

/// Creates the schema of one of several forms.
pub fn any_of(forms: impl IntoIterator<Item = AnySchema>) -> OneOfBuilder {
    let begun = OneOfBuilder::new().schema_type(SchemaType::AnyValue);
    forms.into_iter().fold(begun, OneOfBuilder::item)
}

/// Creates the schema of a value or null.
pub fn nullable(schema: AnySchema, description: &str) -> AnySchema {
    let description = (!description.is_empty()).then_some(description);
    any_of([schema, typed(Type::Null, "").into()]).description(description).into()
}

/// Describes a reference where it is used.
pub fn described(reference: AnySchema, description: &str) -> AnySchema {
    match reference {
        RefOr::Ref(mut reference) => {
            reference.description = description.to_owned();
            reference.into()
        }
        schema => schema,
    }
}

/// Begins an operation, without parameters and responses.
pub fn operation(tag: &str, id: &str, summary: &str) -> OperationBuilder {
    OperationBuilder::new().tag(tag).operation_id(Some(id)).summary(Some(summary))
}

/// Returns a successful response with a JSON body.
pub fn answer(description: &str, schema: AnySchema, example: Option<Value>) -> Response {
    let content = ContentBuilder::new().schema(Some(schema)).example(example).build();
    ResponseBuilder::new().description(description).content(JSON, content).build()
}

/// Returns a GET operation without parameters, with a JSON response.
pub fn get(tag: &str, id: &str, summary: &str, description: &str, schema: AnySchema) -> Operation {
    operation(tag, id, summary).response("200", answer(description, schema, None)).build()
}

/// Returns the path parameter for a model's name.
pub fn model_name() -> Parameter {
    let name = ParameterBuilder::new().name("name").parameter_in(ParameterIn::Path);
    name.required(Required::True).schema(Some(component(MODEL_NAME))).build()
}

/// Adds an error response to an operation, with the example of a request to `instance`.
pub fn refusing(
    operation: OperationBuilder,
    error: &ApiError,
    instance: &str,
    description: &str,
) -> OperationBuilder {
    let (status, example) = problem::example(error, instance);
    let mut response = problem_response(description, Some(example));
    if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        let wait = HeaderBuilder::new()
            .schema(Some(count(1, "")))
            .description(Some("The number of seconds to wait before a retry."))
            .build();
        response.headers.insert("Retry-After".to_owned(), wait.into());
    }
    operation.response(status.as_str(), response)
}

/// Returns a response with a problem document.
pub fn problem_response(description: &str, example: Option<Value>) -> Response {
    let content = ContentBuilder::new().schema(Some(component(PROBLEM))).example(example).build();
    ResponseBuilder::new().description(description).content(PROBLEM_JSON, content).build()
}

fn violation_schema() -> AnySchema {
    object([
        ("pointer", string("The location in the body: a JSON pointer (RFC 6901).")),
        ("expected", string("The expected value, in words.")),
        ("got", string("The received value, in words.")),
    ])
    .property("row", count(0, "The row's index; absent if the violation concerns the body as a whole."))
    .into()
}

/// Creates the schema of problem details (RFC 9457).
fn problem_schema() -> AnySchema {
    object([
        ("type", string("The problem type, a stable URI.")),
        ("title", string("The name of the HTTP status.")),
        ("status", count(400, "The HTTP status.")),
        ("detail", string("The cause of the problem, and its remedy.")),
        ("instance", string("The request's path.")),
        ("request_id", string("The request's id, as in the log and in `x-request-id`.")),
    ])
    .property("violations", count(1, "The total number of violations; `errors` lists at most 100 of them."))
    .property("errors", list(component(VIOLATION), "The violations, in the order of the body."))
    .description(Some("Problem details (RFC 9457)."))
    .into()
}
