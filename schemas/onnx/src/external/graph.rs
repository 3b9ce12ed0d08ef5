//! Queries of a graph. Each takes one pass over the nodes, because graphs can be large.

use std::collections::HashMap;

use crate::attributes::attribute;
use crate::proto::tensor_proto::DataType;
use crate::proto::tensor_shape_proto::dimension;
use crate::proto::{GraphProto, NodeProto, ValueInfoProto, type_proto};

/// The declared type of a value.
pub struct Declared {
    /// The type of its elements, if ONNX has a name for it.
    pub element: Option<DataType>,
    /// Its dimensions, each a size where it is fixed; `None` where the shape is unknown.
    pub shape: Option<Vec<Option<i64>>>,
}

/// Returns the declared type of a tensor; `None` for any other value.
pub fn declared(value: &ValueInfoProto) -> Option<Declared> {
    let Some(type_proto::Value::TensorType(tensor)) = value.r#type.as_ref()?.value.as_ref() else {
        return None;
    };
    // Exporters write sizes of 0 and below for an unknown size.
    let size = |value: &dimension::Value| match value {
        dimension::Value::DimValue(size) => Some(*size).filter(|size| *size > 0),
        dimension::Value::DimParam(_) => None,
    };
    let shape = tensor.shape.as_ref();
    Some(Declared {
        element: DataType::try_from(tensor.elem_type()).ok(),
        shape: shape.map(|shape| shape.dim.iter().map(|dim| dim.value.as_ref().and_then(size)).collect()),
    })
}

/// Writes a shape for people.
pub fn shape_in_words(shape: &[Option<i64>]) -> String {
    let sizes = shape.iter().map(|size| size.map_or_else(|| "?".to_owned(), |size| size.to_string()));
    format!("[{}]", sizes.collect::<Vec<_>>().join(", "))
}

/// The nodes that compute values, by the values' names.
pub struct Makers<'g>(HashMap<&'g str, &'g NodeProto>);

impl<'g> Makers<'g> {
    /// Collects the nodes of a graph. If several compute a value, the first counts.
    pub fn of(graph: &'g GraphProto) -> Self {
        let outputs = graph
            .node
            .iter()
            .rev()
            .flat_map(|node| node.output.iter().map(move |output| (output.as_str(), node)));
        Self(outputs.collect())
    }

    /// Returns the node that computes a value.
    pub fn find(&self, value: &str) -> Option<&'g NodeProto> {
        self.0.get(value).copied()
    }

    /// Returns the labels of a value's columns, from the classifier that computes it.
    pub fn labels_behind(&self, value: &str) -> Vec<String> {
        let mut value = value;
        // A graph has no cycle, and a chain no more links than the graph has values.
        for _ in 0..self.0.len() {
            let Some(node) = self.find(value) else { break };
            let labels = class_labels(node);
            if !labels.is_empty() {
                return labels;
            }
            let Some(input) = node.input.first() else { break };
            value = input;
        }
        Vec::new()
    }
}

/// Returns the labels of a classifier's or a ZipMap's columns, as text; none where the node has none.
pub fn class_labels(node: &NodeProto) -> Vec<String> {
    let texts = strings(node, "classlabels_strings");
    if !texts.is_empty() {
        return texts;
    }
    let numbers = ["classlabels_int64s", "classlabels_ints"].into_iter().find_map(|key| {
        let attribute = attribute(node, key)?;
        (!attribute.ints.is_empty()).then_some(&attribute.ints)
    });
    numbers.map(|numbers| numbers.iter().map(i64::to_string).collect()).unwrap_or_default()
}

/// The categories of a one-hot encoded input.
#[derive(Clone)]
pub struct Categories {
    /// The categories, as text.
    pub values: Vec<String>,
    /// Whether the graph fails on any other value.
    pub is_closed: bool,
}

/// Returns the categories of the inputs of one column that reach a `OneHotEncoder` unchanged, by the inputs'
/// names. The first such encoder counts.
pub fn categories_of<'g>(graph: &'g GraphProto) -> HashMap<&'g str, Categories> {
    const PASSING: [&str; 7] =
        ["Identity", "Cast", "Gather", "Reshape", "ArrayFeatureExtractor", "Flatten", "Squeeze"];
    // Which input each value is, as it is.
    let mut sources: HashMap<&str, &str> =
        graph.input.iter().map(|input| (input.name(), input.name())).collect();
    let mut found: HashMap<&'g str, Categories> = HashMap::new();
    for node in &graph.node {
        let Some(source) = node.input.first().and_then(|first| sources.get(first.as_str())).copied() else {
            continue;
        };
        if node.op_type() == "OneHotEncoder" {
            found.entry(source).or_insert_with(|| encoded_by(node));
        } else if PASSING.contains(&node.op_type()) {
            sources.extend(node.output.iter().map(|output| (output.as_str(), source)));
        }
    }
    found
}

fn encoded_by(encoder: &NodeProto) -> Categories {
    let mut values = strings(encoder, "cats_strings");
    if values.is_empty() {
        let integers = attribute(encoder, "cats_int64s").map(|attribute| attribute.ints.as_slice());
        values = integers.unwrap_or_default().iter().map(i64::to_string).collect();
    }
    let zeros = attribute(encoder, "zeros").is_none_or(|attribute| attribute.i() != 0);
    Categories { values, is_closed: !zeros }
}

fn strings(node: &NodeProto, key: &str) -> Vec<String> {
    let bytes = attribute(node, key).map(|attribute| attribute.strings.as_slice()).unwrap_or_default();
    bytes.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect()
}
