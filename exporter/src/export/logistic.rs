use onnward_models::{FittedLogistic, Hinge};
use onnward_onnx::PROBABILITIES;

use super::graph::{GraphBuilder, integer};

/// Adds logistic regression over the preprocessed matrix and its hinges.
pub fn add(graph: &mut GraphBuilder, columns: &str, model: &FittedLogistic) {
    let inputs = if model.hinges.is_empty() {
        columns.to_owned()
    } else {
        let hinges = add_hinges(graph, columns, &model.hinges);
        graph.node("Concat", &[columns, &hinges], "core/logistic/inputs", vec![integer("axis", 1)])
    };
    let count = model.weights.len() as i64;
    let weights = graph.floats("core/logistic/weights", &[count, 1], &model.weights);
    let intercept = graph.floats("core/logistic/intercept", &[1, 1], &[model.intercept]);
    let one = graph.floats("core/logistic/one", &[1, 1], &[1.0]);

    let product = graph.node("MatMul", &[&inputs, &weights], "core/logistic/product", vec![]);
    let log_odds = graph.node("Add", &[&product, &intercept], "core/logistic/log_odds", vec![]);
    let positive = graph.node("Sigmoid", &[&log_odds], "core/logistic/positive", vec![]);
    let negative = graph.node("Sub", &[&one, &positive], "core/logistic/negative", vec![]);
    graph.node("Concat", &[&negative, &positive], PROBABILITIES, vec![integer("axis", 1)]);
}

/// `max(0, column − knot)` for each hinge, float32 `[rows, hinges]`.
fn add_hinges(graph: &mut GraphBuilder, columns: &str, hinges: &[Hinge]) -> String {
    let count = hinges.len() as i64;
    let indices: Vec<i64> = hinges.iter().map(|hinge| hinge.column as i64).collect();
    let knots: Vec<f32> = hinges.iter().map(|hinge| hinge.knot).collect();
    let indices = graph.integers("core/logistic/hinge_columns", &[count], &indices);
    let knots = graph.floats("core/logistic/knots", &[1, count], &knots);

    let bent = graph.node("Gather", &[columns, &indices], "core/logistic/bent", vec![integer("axis", 1)]);
    let beyond = graph.node("Sub", &[&bent, &knots], "core/logistic/beyond", vec![]);
    graph.node("Relu", &[&beyond], "core/logistic/hinges", vec![])
}
