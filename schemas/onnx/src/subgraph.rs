use std::collections::HashSet;

use onnward_schemas::Schema;

use crate::artifact::{ArtifactError, FEATURES, artifact_output};
use crate::proto::tensor_shape_proto::{Dimension, dimension};
use crate::proto::{
    GraphProto, ModelProto, NodeProto, TensorShapeProto, TypeProto, ValueInfoProto, tensor_proto, type_proto,
};

/// Extracts the model graph: the part between [`FEATURES`] and the output that the label's task is read from.
pub fn subgraph_from_features(model: &ModelProto, schema: &Schema) -> Result<ModelProto, ArtifactError> {
    let inconsistent = |what: &str| ArtifactError::Inconsistent(what.to_owned());
    let graph = model.graph.as_ref().ok_or_else(|| inconsistent("it has no graph"))?;
    let output = artifact_output(&schema.label.task);
    let output =
        output.ok_or_else(|| inconsistent("its label has the type \"raw\", which no artifact has"))?;
    let is_named = |value: &&ValueInfoProto| value.name() == output;
    let value = graph.output.iter().find(is_named);
    let value = value
        .ok_or_else(|| ArtifactError::Inconsistent(format!("the graph has no output named {output:?}")))?;

    let Needed { nodes, values: needed } = needed_for(graph, &[output], Some(FEATURES));
    if !needed.contains(FEATURES) {
        return Err(ArtifactError::Inconsistent(format!(
            "the output {output:?} does not follow from a value named \"features\""
        )));
    }
    if let Some(raw) = graph.input.iter().find(|input| needed.contains(input.name())) {
        return Err(ArtifactError::Inconsistent(format!(
            "the model graph reads the raw input {:?} past \"features\"",
            raw.name()
        )));
    }
    let used = |name: &str| needed.contains(name);
    let graph = GraphProto {
        name: graph.name.clone(),
        node: nodes,
        initializer: graph.initializer.iter().filter(|tensor| used(tensor.name())).cloned().collect(),
        input: vec![float_matrix(FEATURES, schema.features.len() as i64)],
        output: vec![value.clone()],
        ..GraphProto::default()
    };
    Ok(ModelProto { graph: Some(graph), metadata_props: Vec::new(), ..model.clone_without_graph() })
}

/// The nodes that values depend on.
pub struct Needed<'g> {
    /// The nodes, in the graph's order.
    pub nodes: Vec<NodeProto>,
    /// The names of the values that they read, and of the values themselves.
    pub values: HashSet<&'g str>,
}

/// Returns the nodes that `values` depend on, up to the value `stop`.
pub fn needed_for<'g>(graph: &'g GraphProto, values: &[&'g str], stop: Option<&str>) -> Needed<'g> {
    let mut values: HashSet<&str> = values.iter().copied().collect();
    let mut nodes = Vec::new();
    for node in graph.node.iter().rev() {
        let stops = node.output.iter().any(|name| Some(name.as_str()) == stop);
        if !stops && node.output.iter().any(|name| values.contains(name.as_str())) {
            add_read(node, &mut values);
            nodes.push(node.clone());
        }
    }
    nodes.reverse();
    Needed { nodes, values }
}

/// Adds the values that a node reads, and those that the graphs inside it read.
fn add_read<'g>(node: &'g NodeProto, values: &mut HashSet<&'g str>) {
    values.extend(node.input.iter().map(String::as_str));
    for attribute in &node.attribute {
        for inner in attribute.g.iter().chain(&attribute.graphs) {
            inner.node.iter().for_each(|node| add_read(node, values));
            values.extend(inner.output.iter().map(|output| output.name()));
        }
    }
}

/// Describes a float32 value of shape `[rows, columns]`.
pub fn float_matrix(name: &str, columns: i64) -> ValueInfoProto {
    let dimension = |value| Dimension { value: Some(value), ..Dimension::default() };
    let rows = dimension(dimension::Value::DimParam("rows".to_owned()));
    let columns = dimension(dimension::Value::DimValue(columns));
    let tensor = type_proto::Tensor {
        elem_type: Some(tensor_proto::DataType::Float as i32),
        shape: Some(TensorShapeProto { dim: vec![rows, columns] }),
    };
    let value = Some(type_proto::Value::TensorType(tensor));
    ValueInfoProto {
        name: Some(name.to_owned()),
        r#type: Some(TypeProto { value, ..TypeProto::default() }),
        ..ValueInfoProto::default()
    }
}

impl ModelProto {
    fn clone_without_graph(&self) -> Self {
        Self {
            ir_version: self.ir_version,
            opset_import: self.opset_import.clone(),
            producer_name: self.producer_name.clone(),
            producer_version: self.producer_version.clone(),
            ..Self::default()
        }
    }
}
