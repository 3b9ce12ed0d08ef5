//! The encoder: turns raw named inputs into the `features` matrix. Its nodes are named `front/…`.

use bytes::Bytes;
use onnward_onnx::FEATURES;
use onnward_onnx::proto::tensor_proto::DataType;
use onnward_schemas::{FeatureKind, Schema};

use super::graph::{GraphBuilder, integer, integers, strings};

/// The code of a category that is not listed: `onnward_schemas::UNKNOWN_CATEGORY` as an integer.
const UNKNOWN: i64 = -1;

/// Adds an input for each feature, and the value [`FEATURES`], float32 `[rows, features]`.
pub fn add(graph: &mut GraphBuilder, schema: &Schema) {
    let mut columns = Vec::with_capacity(schema.features.len());
    for feature in &schema.features {
        let name = feature.name.as_str();
        match &feature.kind {
            FeatureKind::Numeric { .. } | FeatureKind::Kept(_) => {
                graph.input(name, DataType::Float);
                columns.push(name.to_owned());
            }
            FeatureKind::Categorical { values, .. } => {
                graph.input(name, DataType::String);
                let code = format!("front/{name}/code");
                let mapping = vec![
                    strings("cats_strings", values.iter().cloned().map(Bytes::from).collect()),
                    integers("cats_int64s", (0..values.len() as i64).collect()),
                    integer("default_int64", UNKNOWN),
                ];
                graph.ml_node("CategoryMapper", &[name], &[&code], mapping);
                let to_float = vec![integer("to", DataType::Float as i64)];
                columns.push(graph.node("Cast", &[&code], &format!("front/{name}"), to_float));
            }
        }
    }
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    graph.node("Concat", &columns, FEATURES, vec![integer("axis", 1)]);
}
