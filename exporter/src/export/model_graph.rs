//! The model graph: the preprocessing before the model, and the label after it. Its nodes are named `core/…`.

use onnward_models::Preprocessor;
use onnward_onnx::proto::tensor_proto::DataType;
use onnward_onnx::{FEATURES, LABEL, PROBABILITIES};

use super::graph::{GraphBuilder, integer};

/// Adds imputation, scaling and one-hot encoding of [`FEATURES`]. Returns the name of the preprocessed
/// columns, float32 `[columns, rows]`.
///
/// Each column is contiguous, because ONNX Runtime's `Gather` copies contiguous pieces. Along rows a piece
/// would be one number, and copying would take most of the time.
pub fn add_preprocessing(graph: &mut GraphBuilder, preprocessor: &Preprocessor) -> String {
    let features = graph.node("Transpose", &[FEATURES], "core/features", vec![]);
    let mut parts = Vec::new();
    if !preprocessor.numeric.is_empty() {
        parts.push(add_numeric(graph, &features, preprocessor));
    }
    if !preprocessor.one_hot.is_empty() {
        parts.push(add_one_hot(graph, &features, preprocessor));
    }
    match parts.as_slice() {
        [only] => only.clone(),
        _ => {
            let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
            graph.node("Concat", &parts, "core/columns", vec![integer("axis", 0)])
        }
    }
}

/// Transposes columns to the matrix that models take, float32 `[rows, columns]`.
pub fn add_rows(graph: &mut GraphBuilder, columns: &str) -> String {
    graph.node("Transpose", &[columns], "core/rows", vec![])
}

/// Adds imputation and scaling of numeric columns. Scaling is omitted if it changes nothing.
///
/// It divides instead of multiplying by the reciprocal, as the trainer does: the two round differently.
fn add_numeric(graph: &mut GraphBuilder, features: &str, preprocessor: &Preprocessor) -> String {
    let numeric = &preprocessor.numeric;
    let count = numeric.len() as i64;
    let places: Vec<i64> = numeric.iter().map(|column| column.feature as i64).collect();
    let medians: Vec<f32> = numeric.iter().map(|column| column.median).collect();
    let indices = graph.integers("core/numeric/indices", &[count], &places);
    let medians = graph.floats("core/numeric/medians", &[count, 1], &medians);

    let raw = graph.node("Gather", &[features, &indices], "core/numeric/raw", vec![integer("axis", 0)]);
    let missing = graph.node("IsNaN", &[&raw], "core/numeric/missing", vec![]);
    let imputed = graph.node("Where", &[&missing, &medians, &raw], "core/numeric/imputed", vec![]);
    if !preprocessor.scales() {
        return imputed;
    }
    let means: Vec<f32> = numeric.iter().map(|column| column.mean).collect();
    let scales: Vec<f32> = numeric.iter().map(|column| column.scale).collect();
    let means = graph.floats("core/numeric/means", &[count, 1], &means);
    let scales = graph.floats("core/numeric/scales", &[count, 1], &scales);
    let centred = graph.node("Sub", &[&imputed, &means], "core/numeric/centred", vec![]);
    graph.node("Div", &[&centred, &scales], "core/numeric/scaled", vec![])
}

/// Adds one-hot encoding: the code of each category is compared with every code of its feature. Unknown (−1)
/// and missing (NaN) equal none of them.
fn add_one_hot(graph: &mut GraphBuilder, features: &str, preprocessor: &Preprocessor) -> String {
    let one_hot = &preprocessor.one_hot;
    let count = one_hot.len() as i64;
    let places: Vec<i64> = one_hot.iter().map(|column| column.feature as i64).collect();
    let codes: Vec<f32> = one_hot.iter().map(|column| column.code).collect();

    let indices = graph.integers("core/one_hot/indices", &[count], &places);
    let codes = graph.floats("core/one_hot/codes", &[count, 1], &codes);

    let raw = graph.node("Gather", &[features, &indices], "core/one_hot/raw", vec![integer("axis", 0)]);
    let equal = graph.node("Equal", &[&raw, &codes], "core/one_hot/equal", vec![]);
    graph.node("Cast", &[&equal], "core/one_hot", vec![integer("to", DataType::Float as i64)])
}

/// Adds [`LABEL`]: 1 if the positive label is at least as probable as the negative one.
///
/// It is computed with standard operators, because the label of the tree operator differs between runtimes.
pub fn add_binary_label(graph: &mut GraphBuilder) {
    let positive = graph.integers("core/label/positive", &[], &[1]);
    let half = graph.floats("core/label/half", &[], &[0.5]);
    let probability =
        graph.node("Gather", &[PROBABILITIES, &positive], "core/label/probability", vec![integer("axis", 1)]);
    let negative = graph.node("Less", &[&probability, &half], "core/label/negative", vec![]);
    let decided = graph.node("Not", &[&negative], "core/label/decided", vec![]);
    graph.node("Cast", &[&decided], LABEL, vec![integer("to", DataType::Int64 as i64)]);
}

/// Adds [`LABEL`]: the index of the most probable class, the first of several.
pub fn add_class_label(graph: &mut GraphBuilder) {
    graph.node("ArgMax", &[PROBABILITIES], LABEL, vec![integer("axis", 1), integer("keepdims", 0)]);
}
