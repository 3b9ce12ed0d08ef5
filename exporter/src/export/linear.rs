//! Linear models: logistic regression of a binary label and of classes, ridge regression of a number.

use onnward_models::{FittedLogistic, FittedMultinomial, FittedRidge, Segment};
use onnward_onnx::{PREDICTION, PROBABILITIES};

use super::graph::{GraphBuilder, integer};
use super::model_graph::add_rows;

/// Adds logistic regression over the preprocessed columns and their segments.
pub fn add_logistic(graph: &mut GraphBuilder, columns: &str, model: &FittedLogistic) {
    let rows = add_inputs(graph, "core/logistic/inputs", columns, &model.segments);
    let count = model.weights.len() as i64;
    let weights = graph.floats("core/logistic/weights", &[count, 1], &model.weights);
    let intercept = graph.floats("core/logistic/intercept", &[1, 1], &[model.intercept]);
    let one = graph.floats("core/logistic/one", &[1, 1], &[1.0]);

    let product = graph.node("MatMul", &[&rows, &weights], "core/logistic/product", vec![]);
    let log_odds = graph.node("Add", &[&product, &intercept], "core/logistic/log_odds", vec![]);
    let positive = graph.node("Sigmoid", &[&log_odds], "core/logistic/positive", vec![]);
    let negative = graph.node("Sub", &[&one, &positive], "core/logistic/negative", vec![]);
    graph.node("Concat", &[&negative, &positive], PROBABILITIES, vec![integer("axis", 1)]);
}

/// Adds multinomial logistic regression.
pub fn add_multinomial(graph: &mut GraphBuilder, columns: &str, model: &FittedMultinomial) {
    let rows = add_inputs(graph, "core/multinomial/inputs", columns, &model.segments);
    let classes = model.weights.len();
    let inputs = model.weights.first().map_or(0, Vec::len);
    // The operator takes `[inputs, classes]`.
    let weights: Vec<f32> = (0..inputs)
        .flat_map(|input| {
            model.weights.iter().map(move |of_class| of_class.get(input).copied().unwrap_or_default())
        })
        .collect();
    let weights = graph.floats("core/multinomial/weights", &[inputs as i64, classes as i64], &weights);
    let intercepts = graph.floats("core/multinomial/intercepts", &[1, classes as i64], &model.intercepts);

    let product = graph.node("MatMul", &[&rows, &weights], "core/multinomial/product", vec![]);
    let scores = graph.node("Add", &[&product, &intercepts], "core/multinomial/scores", vec![]);
    add_softmax(graph, &scores, classes);
}

/// Adds [`PROBABILITIES`]: the softmax of the scores, float32 `[rows, classes]`, in steps.
///
/// tract's `Softmax` sums a row in an order that depends on where it lies in memory, and so on its place in a batch.
fn add_softmax(graph: &mut GraphBuilder, scores: &str, classes: usize) {
    let axis = graph.integers("core/multinomial/axis", &[1], &[1]);
    let ones = graph.floats("core/multinomial/ones", &[classes as i64, 1], &vec![1.0; classes]);
    let largest =
        graph.node("ReduceMax", &[scores, &axis], "core/multinomial/largest", vec![integer("keepdims", 1)]);
    let shifted = graph.node("Sub", &[scores, &largest], "core/multinomial/shifted", vec![]);
    let exponentials = graph.node("Exp", &[&shifted], "core/multinomial/exponentials", vec![]);
    let sums = graph.node("MatMul", &[&exponentials, &ones], "core/multinomial/sums", vec![]);
    graph.node("Div", &[&exponentials, &sums], PROBABILITIES, vec![]);
}

/// Adds ridge regression.
pub fn add_ridge(graph: &mut GraphBuilder, columns: &str, model: &FittedRidge) {
    let rows = add_inputs(graph, "core/ridge/inputs", columns, &model.segments);
    let count = model.weights.len() as i64;
    let weights = graph.floats("core/ridge/weights", &[count, 1], &model.weights);
    let intercept = graph.floats("core/ridge/intercept", &[1, 1], &[model.intercept]);
    let product = graph.node("MatMul", &[&rows, &weights], "core/ridge/product", vec![]);
    graph.node("Add", &[&product, &intercept], PREDICTION, vec![]);
}

/// Adds what the weights multiply: the columns and their segments, float32 `[rows, columns + segments]`. `name` is
/// that of both together.
fn add_inputs(graph: &mut GraphBuilder, name: &str, columns: &str, segments: &[Segment]) -> String {
    let inputs = if segments.is_empty() {
        columns.to_owned()
    } else {
        let segments = add_segments(graph, columns, segments);
        graph.node("Concat", &[columns, &segments], name, vec![integer("axis", 0)])
    };
    add_rows(graph, &inputs)
}

/// Adds `min(max(column, from), to) − origin` for each segment, float32 `[segments, rows]`.
fn add_segments(graph: &mut GraphBuilder, columns: &str, segments: &[Segment]) -> String {
    let count = segments.len() as i64;
    let indices: Vec<i64> = segments.iter().map(|segment| segment.column as i64).collect();
    let indices = graph.integers("core/spline/columns", &[count], &indices);
    let mut bounds = |name: &str, bound: fn(&Segment) -> f32| {
        let bounds: Vec<f32> = segments.iter().map(bound).collect();
        graph.floats(name, &[count, 1], &bounds)
    };
    let from = bounds("core/spline/from", |segment| segment.from);
    let to = bounds("core/spline/to", |segment| segment.to);
    let origin = bounds("core/spline/origin", |segment| segment.origin);

    let values = graph.node("Gather", &[columns, &indices], "core/spline/values", vec![integer("axis", 0)]);
    let raised = graph.node("Max", &[&values, &from], "core/spline/raised", vec![]);
    let clipped = graph.node("Min", &[&raised, &to], "core/spline/clipped", vec![]);
    graph.node("Sub", &[&clipped, &origin], "core/spline/segments", vec![])
}
