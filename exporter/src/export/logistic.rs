use onnward_models::FittedLogistic;
use onnward_onnx::PROBABILITIES;

use super::graph::{GraphBuilder, integer};

/// Adds logistic regression over the preprocessed matrix.
pub fn add(graph: &mut GraphBuilder, columns: &str, model: &FittedLogistic) {
    let count = model.weights.len() as i64;
    let weights = graph.floats("core/logistic/weights", &[count, 1], &model.weights);
    let intercept = graph.floats("core/logistic/intercept", &[1, 1], &[model.intercept]);
    let one = graph.floats("core/logistic/one", &[1, 1], &[1.0]);

    let product = graph.node("MatMul", &[columns, &weights], "core/logistic/product", vec![]);
    let log_odds = graph.node("Add", &[&product, &intercept], "core/logistic/log_odds", vec![]);
    let positive = graph.node("Sigmoid", &[&log_odds], "core/logistic/positive", vec![]);
    let negative = graph.node("Sub", &[&one, &positive], "core/logistic/negative", vec![]);
    graph.node("Concat", &[&negative, &positive], PROBABILITIES, vec![integer("axis", 1)]);
}
