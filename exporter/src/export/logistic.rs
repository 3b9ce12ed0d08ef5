use onnward_models::{FittedLogistic, Segment};
use onnward_onnx::PROBABILITIES;

use super::graph::{GraphBuilder, integer};
use super::model_graph::add_rows;

/// Adds logistic regression over the preprocessed columns and their segments.
pub fn add(graph: &mut GraphBuilder, columns: &str, model: &FittedLogistic) {
    let inputs = if model.segments.is_empty() {
        columns.to_owned()
    } else {
        let segments = add_segments(graph, columns, &model.segments);
        graph.node("Concat", &[columns, &segments], "core/logistic/inputs", vec![integer("axis", 0)])
    };
    let rows = add_rows(graph, &inputs);
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
