//! The ground truth and performance routes in the OpenAPI document.

use std::sync::Arc;

use onnward_records::ground_truth::join::JoinResult;
use onnward_records::prediction_id::PredictionId;
use onnward_schemas::{TaskKind, Violation, Violations};
use onnward_serving::registry::ServingModel;
use serde_json::{Value, json};
use utoipa::openapi::example::ExampleBuilder;
use utoipa::openapi::path::{Operation, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::{
    Components, ContentBuilder, HttpMethod, KnownFormat, ObjectBuilder, Paths, Required, SchemaFormat, Type,
};

use super::shapes::{
    self, AnySchema, CLOSED, Component, JSON, OUTCOMES, answer, any_of, boolean, component, count, list,
    named, nullable, object, one_of, operation, problem_response, refusing, string, typed, types, version,
};
use crate::problem::ApiError;

const OUTCOME: &str = "Outcome";
const OUTCOME_BY_ID: &str = "OutcomeById";
const OUTCOME_BY_KEY: &str = "OutcomeByKey";
const OUTCOME_LIST: &str = "OutcomeList";
const RESULT: &str = "OutcomeResult";
const RESULT_LIST: &str = "OutcomeResultList";
const PERFORMANCE: &str = "Performance";
const PERFORMANCE_WINDOW: &str = "PerformanceWindow";
const VERSION_PERFORMANCE: &str = "VersionPerformance";
const STORED: &str = "StoredPredictions";
const MEASURED: &str = "MeasuredPerformance";
const ESTIMATED: &str = "EstimatedPerformance";
const CALIBRATION_BIN: &str = "CalibrationBin";
const MEASURED_CLASSES: &str = "MeasuredClassPerformance";
const MEASURED_NUMBERS: &str = "MeasuredNumberPerformance";
const ESTIMATED_CLASSES: &str = "EstimatedClassPerformance";
const COMPARED_FIGURE: &str = "ComparedFigure";
const ERROR_QUANTILE: &str = "ErrorQuantile";
const ERROR_BIN: &str = "ErrorBin";
const CLASS_SUMS: &str = "ClassSums";
const ESTIMATED_NUMBERS: &str = "EstimatedNumberPerformance";
const NUMBER_SUMS: &str = "NumberSums";
const FIGURE_COUNTS: &str = "FigureCounts";
const SCORE_SUMS: &str = "ScoreSums";

/// Adds the routes and their schemas.
pub fn add(
    paths: &mut Paths,
    components: &mut Components,
    models: &[Arc<ServingModel>],
    max_outcomes: usize,
) {
    let tasks = ServedTasks::of(models);
    components.schemas.extend(outcome_components(max_outcomes, tasks));
    paths.add_path_operation("/outcomes", vec![HttpMethod::Post], join(max_outcomes));
    if !models.is_empty() {
        components.schemas.extend(performance_components(tasks));
        components.schemas.extend(tasks.components());
        paths.add_path_operation("/models/{name}/performance", vec![HttpMethod::Get], performance(models));
    }
}

/// The tasks of the served models besides binary ones, whose forms the document always has.
#[derive(Debug, Clone, Copy)]
struct ServedTasks {
    classes: bool,
    number: bool,
}

impl ServedTasks {
    fn of(models: &[Arc<ServingModel>]) -> Self {
        let has = |kind| models.iter().any(|model| model.identity.task.kind() == kind);
        Self { classes: has(TaskKind::Classes), number: has(TaskKind::Number) }
    }

    fn are_binary(self) -> bool {
        !(self.classes || self.number)
    }

    /// Returns a reference to the form of binary models, or to any of the forms of these tasks.
    fn any_of(self, binary: &str, classes: Option<&str>, number: Option<&str>) -> AnySchema {
        let classes = classes.filter(|_| self.classes);
        let number = number.filter(|_| self.number);
        let others: Vec<&str> = classes.into_iter().chain(number).collect();
        if others.is_empty() {
            return component(binary);
        }
        any_of([binary].into_iter().chain(others).map(component)).into()
    }

    /// Returns the schemas of these tasks' figures.
    fn components(self) -> Vec<Component> {
        let mut components = Vec::new();
        if !self.are_binary() {
            components.push(named(COMPARED_FIGURE, compared_figure()));
        }
        if self.classes {
            components.extend([
                named(MEASURED_CLASSES, measured_classes()),
                named(ESTIMATED_CLASSES, estimated_classes()),
                named(CLASS_SUMS, class_sums()),
            ]);
        }
        if self.number {
            components.extend([
                named(MEASURED_NUMBERS, measured_numbers()),
                named(ESTIMATED_NUMBERS, estimated_numbers()),
                named(NUMBER_SUMS, number_sums()),
                named(ERROR_QUANTILE, error_quantile()),
                named(ERROR_BIN, error_bin()),
            ]);
        }
        components
    }
}

/// Returns an id for examples.
pub fn example_id() -> PredictionId {
    PredictionId::made(1_780_228_800_000, 0x5_ca1a_b1e5_ca1a)
}

/// Returns the schema of a prediction's id.
pub fn id_schema() -> AnySchema {
    typed(Type::String, "The id of the prediction, for `POST /outcomes`.")
        .format(Some(SchemaFormat::Custom("uuid".to_owned())))
        .into()
}

const UUID_7: &str = "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-7[0-9a-fA-F]{3}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$";

fn outcome_components(max_outcomes: usize, tasks: ServedTasks) -> [Component; 6] {
    let [by_id, by_key] = outcomes(tasks);
    let many = object([("outcomes", outcome_list(max_outcomes))]).additional_properties(Some(CLOSED));
    let counts = JoinResult::ALL.map(|result| (result.name(), count(0, "")));
    let results = list(component(RESULT), "The result of each outcome, in the order of the request.");
    let results = object(counts.into_iter().chain([("results", results.into())]));
    [
        named(OUTCOME, any_of([OUTCOME_BY_ID, OUTCOME_BY_KEY].map(component))),
        named(OUTCOME_BY_ID, by_id),
        named(OUTCOME_BY_KEY, by_key),
        named(OUTCOME_LIST, many),
        named(RESULT, joined()),
        named(RESULT_LIST, results),
    ]
}

fn outcome_list(max_outcomes: usize) -> AnySchema {
    list(component(OUTCOME), "").min_items(Some(1)).max_items(Some(max_outcomes)).into()
}

/// Creates the schemas of one outcome, which refers to a prediction by its id or to a customer by a key.
/// Optional fields may be null.
fn outcomes(tasks: ServedTasks) -> [ObjectBuilder; 2] {
    let key = ObjectBuilder::new()
        .schema_type(types([Type::String, Type::Number]))
        .min_length(Some(1))
        .description(Some(
            "The customer, instead of an id: the value of the schema's identifier in the row.",
        ));
    let model = optional(Type::String, "The model of the prediction; without it, the default model.");
    let id = typed(Type::String, "The id of a prediction, a UUID of version 7.").pattern(Some(UUID_7));
    let by_id = object([("id", id.into()), ("label", label(tasks))]);
    let by_id = by_id.property("key", absent()).property("model", absent());
    let by_key = object([("key", key.into()), ("label", label(tasks))]);
    let by_key = by_key.property("id", absent()).property("model", model);
    [completed(by_id), completed(by_key)]
}

fn label(tasks: ServedTasks) -> AnySchema {
    let description = match tasks {
        ServedTasks { classes: false, number: false } => {
            "The ground truth: true, false, or a value of the model's label."
        }
        ServedTasks { classes: true, number: false } => {
            "The ground truth: true, false, or a value of the model's label. Of a model of several classes: the \
             class, as a string or a whole number."
        }
        ServedTasks { classes: false, number: true } => {
            "The ground truth: true, false, or a value of the model's label. Of a model of a number: a number."
        }
        ServedTasks { classes: true, number: true } => {
            "The ground truth: true, false, or a value of the model's label. Of a model of several classes: the \
             class, as a string or a whole number. Of a model of a number: a number."
        }
    };
    ObjectBuilder::new()
        .schema_type(types([Type::Boolean, Type::String, Type::Number]))
        .description(Some(description))
        .into()
}

/// Adds the optional fields that both kinds of outcome share, and allows no others.
fn completed(outcome: ObjectBuilder) -> ObjectBuilder {
    let text = "The time of the ground truth, in the past. A key refers to the last prediction until then.";
    let time = optional(Type::String, text).format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)));
    outcome
        .property("time", time)
        .property("correct", optional(Type::Boolean, "Whether it replaces a different stored outcome."))
        .additional_properties(Some(CLOSED))
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
    object([("result", one_of(results, "The result of the outcome."))])
        .property("id", id_schema())
        .property("model", string("The model of the prediction."))
        .property("version", count(1, "The version of the model."))
}

fn join(max_outcomes: usize) -> Operation {
    let schema = any_of([component(OUTCOME), outcome_list(max_outcomes), component(OUTCOME_LIST)]);
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
            "One object returns one result. A list, or an object with a list `outcomes`, returns counts and \
             a list of results.",
        ))
        .required(Some(Required::True))
        .content(JSON, request)
        .build();
    let results = any_of([RESULT, RESULT_LIST].map(component));
    let answered = answer(RESULTS, results.into(), Some(example_answer(id)));
    let operation = operation(OUTCOMES, "outcomes", "Report ground truth")
        .description(Some(ABOUT))
        .request_body(Some(body))
        .response("200", answered);
    let refusals = [
        (
            ApiError::InvalidOutcomes(violations()),
            "The outcomes are invalid, and none was joined; `errors` lists the violations.",
        ),
        (ApiError::NoOutcomes, "The engine stores no predictions."),
        (
            ApiError::OutcomesFailed { reason: "the disk is full".to_owned() },
            "The prediction store is unavailable.",
        ),
    ];
    refusals
        .iter()
        .fold(operation, |operation, (error, text)| refusing(operation, error, "/outcomes", text))
        .response("default", problem_response("Other errors, as for predictions.", None))
        .build()
}

const ABOUT: &str = "Joins outcomes (ground truth) to the predictions that the engine stores \
(`outcomes.folder`). If one outcome of a request is invalid, none is joined. Joined outcomes are on disk \
before the response is sent.";

const RESULTS: &str = "The result of each outcome. `joined`: accepted; `corrected`: replaced another \
outcome; `duplicate`: the same outcome was already stored; `contradicting`: a different one is stored (send \
`\"correct\": true` to replace it); `late`: the prediction is no longer stored; `unknown`: this engine has \
no such prediction.";

fn example_answer(id: PredictionId) -> Value {
    json!({"result": "joined", "id": id, "model": "churn", "version": 3})
}

fn violations() -> Violations {
    let mut violations = Violations::default();
    violations.push(|| Violation {
        pointer: "/label".to_owned(),
        row: Some(0),
        expected: "true, false, a value of the model's label, or a number".to_owned(),
        got: "nothing".to_owned(),
    });
    violations
}

fn performance(models: &[Arc<ServingModel>]) -> Operation {
    let asked = ParameterBuilder::new().name("version").parameter_in(ParameterIn::Query);
    let asked = asked.schema(Some(version(""))).required(Required::False);
    let counts = ParameterBuilder::new().name("counts").parameter_in(ParameterIn::Query);
    let counts = counts
        .description(Some(
            "Whether to add what the figures are made from, so that those of several engines can be added.",
        ))
        .schema(Some(boolean("")))
        .required(Required::False);
    let unknown = ApiError::UnknownModel { serving: models.iter().map(|model| model.name.clone()).collect() };
    let described = "The performance of each version: measured with ground truth, and estimated without.";
    let operation = operation(OUTCOMES, "performance", "Performance of a model")
        .parameter(shapes::model_name())
        .parameter(asked)
        .parameter(counts)
        .response("200", answer(described, component(PERFORMANCE), None));
    let reasons = "There is no such model, or the version is unknown.";
    let operation = refusing(operation, &unknown, "/models/other/performance", reasons);
    let bad = "The version must be a whole number from 1.";
    refusing(operation, &ApiError::BadVersion, "/models/churn/performance", bad).build()
}

fn performance_components(tasks: ServedTasks) -> [Component; 9] {
    let window = object([
        ("days", count(1, "The maximum age of an outcome in days.")),
        ("outcomes", count(1, "The maximum number of outcomes per version; the most recent ones count.")),
    ]);
    let asked = "The window of the measured metrics; null if predictions are not stored.";
    let described = object([
        ("model", string("")),
        ("window", nullable(component(PERFORMANCE_WINDOW), asked)),
        ("versions", list(component(VERSION_PERFORMANCE), "The versions, highest first.").into()),
    ]);
    let stored = object([
        ("predictions", count(0, "The number of stored predictions.")),
        ("with_outcome", count(0, "The number of stored predictions with an outcome.")),
        ("coverage", share("The share of stored predictions with an outcome.")),
    ]);
    [
        named(PERFORMANCE, described),
        named(PERFORMANCE_WINDOW, window),
        named(VERSION_PERFORMANCE, version_figures(tasks)),
        named(STORED, stored),
        named(MEASURED, measured()),
        named(ESTIMATED, estimated()),
        named(CALIBRATION_BIN, calibration_bin()),
        named(FIGURE_COUNTS, figure_counts(tasks)),
        named(SCORE_SUMS, score_sums()),
    ]
}

fn version_figures(tasks: ServedTasks) -> ObjectBuilder {
    let no_outcomes = "The performance on the outcomes in the window; null if there are none.";
    let no_predictions = "The performance estimated without outcomes; null before the first prediction, and for \
                          versions that are not loaded.";
    let figures = object([
        ("version", count(1, "")),
        (
            "threshold",
            nullable(
                share("The decision threshold: a row is positive if its probability is at least this value."),
                "Null for a model that decides by none.",
            ),
        ),
        ("kept", nullable(component(STORED), "The stored predictions; null if predictions are not stored.")),
        (
            "measured",
            nullable(tasks.any_of(MEASURED, Some(MEASURED_CLASSES), Some(MEASURED_NUMBERS)), no_outcomes),
        ),
        (
            "estimated",
            nullable(
                tasks.any_of(ESTIMATED, Some(ESTIMATED_CLASSES), Some(ESTIMATED_NUMBERS)),
                no_predictions,
            ),
        ),
    ]);
    of_tasks(figures, tasks)
        .property("counts", shapes::described(component(FIGURE_COUNTS), "Only with `counts=true`."))
}

/// Adds the fields that versions of other tasks have.
fn of_tasks(mut figures: ObjectBuilder, tasks: ServedTasks) -> ObjectBuilder {
    if tasks.are_binary() {
        return figures;
    }
    let compared =
        "The measured figures beside those of the training, of a loaded model of classes or a number.";
    figures = figures
        .property("task", one_of(["classes", "number"], "The task; absent for a binary model."))
        .property("compared", list(component(COMPARED_FIGURE), compared));
    if tasks.classes {
        let classes = "The classes, in the order of the confusion matrices.";
        figures = figures.property("classes", list(string(""), classes));
    }
    if tasks.number {
        let reason =
            "The reason why there is no estimate, of a model of a number without a profile of its errors.";
        figures = figures.property("not_estimated", string(reason));
    }
    figures
}

fn figure_counts(tasks: ServedTasks) -> ObjectBuilder {
    let binary = "The predictions with an outcome in the window: probability, number with the positive label, \
                  number of the others.";
    let (tuple, measured) = if tasks.are_binary() {
        (tuple(), binary.to_owned())
    } else {
        let others = "Of several classes: predicted class, class of the label, probability of the label's class, \
                      number of more probable classes, number of predictions. Of a number: prediction, label.";
        let number = typed(Type::Number, "").schema_type(types([Type::Number, Type::Null]));
        (list(number, "").into(), format!("{binary} {others}"))
    };
    object([
        ("measured", list(tuple, &measured).into()),
        (
            "estimated",
            nullable(
                tasks.any_of(SCORE_SUMS, Some(CLASS_SUMS), Some(NUMBER_SUMS)),
                "The sums of the estimate; null before the first prediction.",
            ),
        ),
    ])
}

fn class_sums() -> ObjectBuilder {
    object([
        ("since_millis", count(0, "Since when the predictions were made, in milliseconds since 1970.")),
        ("rows", count(1, "The number of predictions.")),
        ("largest", number("The sum of the largest probabilities.")),
        ("confusion", list(tuple(), "The sums of the probabilities by class and predicted class.").into()),
    ])
}

fn compared_figure() -> ObjectBuilder {
    object([
        ("figure", string("The name of the figure.")),
        ("training", number("Its value on the held-out rows of the training.")),
        ("measured", figure("Its measured value; null if undefined.")),
        ("difference", figure("Measured − training.")),
    ])
}

fn measured_classes() -> ObjectBuilder {
    let confusion = "The predictions by the class of the label, one list a class, and in it by the predicted class. \
                     Empty for more than 100 classes.";
    object([
        ("outcomes", count(1, "")),
        ("from", string("The time when the first outcome arrived, in RFC 3339 and UTC.")),
        ("to", string("The time when the last outcome arrived, in RFC 3339 and UTC.")),
        ("accuracy", share("")),
        ("macro_f1", share("The mean of the classes' F1.")),
        ("weighted_f1", share("The mean of the classes' F1, weighted by their labels.")),
        ("log_loss", figure("The mean negative log-likelihood; null if the model has no probabilities.")),
        (
            "top_2_accuracy",
            share(
                "The share of labels among the two most probable classes; null if the model has no probabilities.",
            ),
        ),
        ("confusion", list(list(count(0, ""), ""), confusion).into()),
    ])
}

fn measured_numbers() -> ObjectBuilder {
    object([
        ("outcomes", count(1, "")),
        ("from", string("The time when the first outcome arrived, in RFC 3339 and UTC.")),
        ("to", string("The time when the last outcome arrived, in RFC 3339 and UTC.")),
        ("rmse", figure("The root of the mean squared error.")),
        ("mae", figure("The mean absolute error.")),
        ("bias", figure("The mean of prediction − label.")),
        ("r2", figure("The coefficient of determination; null for fewer than two outcomes.")),
        ("error_quantiles", list(component(ERROR_QUANTILE), "The quantiles of prediction − label.").into()),
        ("error_histogram", list(component(ERROR_BIN), "The errors in bins of equal width.").into()),
    ])
}

fn error_quantile() -> ObjectBuilder {
    object([
        ("percent", count(0, "The share of the predictions whose error is at most this one, in percent.")),
        ("error", number("")),
    ])
}

fn error_bin() -> ObjectBuilder {
    object([
        ("from", number("The lower bound of the error, inclusive.")),
        ("to", number("The upper bound of the error, exclusive except in the last bin.")),
        ("predictions", count(0, "")),
    ])
}

fn estimated_classes() -> ObjectBuilder {
    let confusion = "The expected predictions by class, one list a class, and in it by the predicted class. Empty for \
                     more than 100 classes.";
    object([
        ("from", string("The time of the first prediction in the estimate, in RFC 3339 and UTC.")),
        ("predictions", count(1, "The number of predictions in the estimate.")),
        ("accuracy", share("The mean of the largest probability.")),
        ("confusion", list(tuple(), confusion).into()),
        ("note", string("The limits of the estimate.")),
    ])
}

fn estimated_numbers() -> ObjectBuilder {
    object([
        ("from", string("The time of the first prediction in the estimate, in RFC 3339 and UTC.")),
        ("predictions", count(1, "The number of predictions in the estimate.")),
        ("mae", number("The expected mean of the absolute errors, in the label's units.")),
        ("rmse", number("The root of the expected mean of the squared errors.")),
        ("note", string("The limits of the estimate.")),
    ])
}

fn number_sums() -> ObjectBuilder {
    object([
        ("since_millis", count(0, "Since when the predictions were made, in milliseconds since 1970.")),
        ("rows", count(1, "The number of predictions.")),
        ("absolute", number("The sum of the expected absolute errors.")),
        ("squared", number("The sum of the expected squared errors.")),
    ])
}

/// Creates the schema of a number that is null if undefined.
fn figure(description: &str) -> AnySchema {
    typed(Type::Number, description).schema_type(types([Type::Number, Type::Null])).into()
}

fn score_sums() -> ObjectBuilder {
    object([
        ("since_millis", count(0, "Since when the predictions were made, in milliseconds since 1970.")),
        ("rows", count(1, "The number of predictions.")),
        (
            "positives",
            list(number(""), "The number of positive decisions and the sum of their probabilities.").into(),
        ),
        ("negatives", number("The sum of the probabilities of the negative decisions.")),
        (
            "bins",
            list(tuple(), "Of each bin of the probability, the number and the sum of the probabilities.")
                .into(),
        ),
    ])
}

/// Creates the schema of a few numbers in an array.
fn tuple() -> AnySchema {
    list(number(""), "").into()
}

fn number(description: &str) -> AnySchema {
    typed(Type::Number, description).into()
}

fn estimated() -> ObjectBuilder {
    object([
        ("from", string("The time of the first prediction in the estimate, in RFC 3339 and UTC.")),
        ("predictions", count(1, "The number of predictions in the estimate.")),
        ("accuracy", share("")),
        ("precision", share("")),
        ("recall", share("")),
        ("f1", share("")),
        ("roc_auc", share("")),
        ("note", string("The limits of the estimate.")),
    ])
}

fn calibration_bin() -> ObjectBuilder {
    object([
        ("from", share("The lower bound of the probability, exclusive except in the first bin.")),
        ("to", share("The upper bound of the probability, inclusive.")),
        ("predictions", count(1, "")),
        ("mean_probability", share("The mean predicted probability.")),
        ("share_positive", share("The share of positive outcomes.")),
    ])
}

fn measured() -> ObjectBuilder {
    object([
        ("outcomes", count(1, "")),
        ("positives", count(0, "The number of positive outcomes.")),
        ("from", string("The time when the first outcome arrived, in RFC 3339 and UTC.")),
        ("to", string("The time when the last outcome arrived, in RFC 3339 and UTC.")),
        ("roc_auc", share("Null without positive or without negative outcomes.")),
        ("accuracy", share("")),
        ("precision", share("Null if no prediction is positive.")),
        ("recall", share("Null without positive outcomes.")),
        ("brier", share("The mean squared difference between probability and label.")),
        ("calibration_error", share("The expected calibration error over ten bins.")),
        (
            "calibration",
            list(component(CALIBRATION_BIN), "The calibration bins that contain predictions.").into(),
        ),
    ])
}

/// Creates the schema of a number from 0 to 1 that is null if undefined.
fn share(description: &str) -> AnySchema {
    typed(Type::Number, description)
        .schema_type(types([Type::Number, Type::Null]))
        .minimum(Some(0))
        .maximum(Some(1))
        .into()
}
