//! Looking around in a graph, of which nothing is small: every question is answered by one way through its nodes.

use std::collections::HashMap;

use crate::proto::tensor_proto::DataType;
use crate::proto::tensor_shape_proto::dimension;
use crate::proto::{AttributeProto, GraphProto, NodeProto, ValueInfoProto, type_proto};

/// What a value is declared to be.
pub struct Declared {
    /// The type of its elements, where it is one that ONNX names.
    pub element: Option<DataType>,
    /// Its dimensions, each a size where it is fixed; `None` where nothing is said of the shape.
    pub shape: Option<Vec<Option<i64>>>,
}

/// What a tensor is declared to be; `None` for what is no tensor.
pub fn declared(value: &ValueInfoProto) -> Option<Declared> {
    let Some(type_proto::Value::TensorType(tensor)) = value.r#type.as_ref()?.value.as_ref() else {
        return None;
    };
    // Exporters write sizes of 0 and below where they know none.
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

/// A shape as people write it.
pub fn shape_in_words(shape: &[Option<i64>]) -> String {
    let sizes = shape.iter().map(|size| size.map_or_else(|| "?".to_owned(), |size| size.to_string()));
    format!("[{}]", sizes.collect::<Vec<_>>().join(", "))
}

/// The nodes that compute values, by the values' names.
pub struct Makers<'g>(HashMap<&'g str, &'g NodeProto>);

impl<'g> Makers<'g> {
    /// The nodes of a graph; of several that claim a value the first.
    pub fn of(graph: &'g GraphProto) -> Self {
        let outputs = graph
            .node
            .iter()
            .rev()
            .flat_map(|node| node.output.iter().map(move |output| (output.as_str(), node)));
        Self(outputs.collect())
    }

    /// The node that computes a value.
    pub fn find(&self, value: &str) -> Option<&'g NodeProto> {
        self.0.get(value).copied()
    }

    /// The labels of a value's columns: those of the classifier that it comes from.
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

/// The labels of a classifier's or a ZipMap's columns, as text; empty where the node has none.
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

/// The categories that an input is one-hot encoded by.
#[derive(Clone)]
pub struct Categories {
    /// The categories, as text.
    pub values: Vec<String>,
    /// Whether the graph fails on any other value.
    pub is_closed: bool,
}

/// The categories of the inputs of one column that go to a `OneHotEncoder` as they are, by the inputs' names; of several such
/// encoders the first counts.
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

fn attribute<'n>(node: &'n NodeProto, key: &str) -> Option<&'n AttributeProto> {
    node.attribute.iter().find(|attribute| attribute.name() == key)
}

fn strings(node: &NodeProto, key: &str) -> Vec<String> {
    let bytes = attribute(node, key).map(|attribute| attribute.strings.as_slice()).unwrap_or_default();
    bytes.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect()
}
