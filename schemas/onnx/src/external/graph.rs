//! Queries of a graph. Each takes one pass over the nodes, because graphs can be large.

use std::collections::HashMap;

use crate::attributes::{attribute, integer};
use crate::proto::tensor_proto::DataType;
use crate::proto::tensor_shape_proto::dimension;
use crate::proto::{GraphProto, NodeProto, TensorProto, ValueInfoProto, type_proto};

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
pub struct Makers<'g> {
    nodes: HashMap<&'g str, &'g NodeProto>,
    constants: HashMap<&'g str, &'g TensorProto>,
}

impl<'g> Makers<'g> {
    /// Collects the nodes of a graph. If several compute a value, the first counts.
    pub fn of(graph: &'g GraphProto) -> Self {
        let outputs = graph
            .node
            .iter()
            .rev()
            .flat_map(|node| node.output.iter().map(move |output| (output.as_str(), node)));
        let constants = graph.initializer.iter().map(|tensor| (tensor.name(), tensor));
        Self { nodes: outputs.collect(), constants: constants.collect() }
    }

    /// Returns the node that computes a value.
    pub fn find(&self, value: &str) -> Option<&'g NodeProto> {
        self.nodes.get(value).copied()
    }

    /// Returns the labels of a value's columns, or of which it holds one a row: from the classifier that computes it,
    /// or from the list of labels that it is looked up in.
    pub fn labels_behind(&self, value: &str) -> Vec<String> {
        let mut value = value;
        // A graph has no cycle, and a chain no more links than the graph has values.
        for _ in 0..=self.nodes.len() {
            if let Some(labels) = self.constants.get(value) {
                return labels_in(labels);
            }
            // An index is a label of nothing.
            let Some(node) = self.find(value).filter(|node| !INDEXING.contains(&node.op_type())) else {
                break;
            };
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

/// Operators whose result is a place in their input.
const INDEXING: [&str; 3] = ["ArgMax", "ArgMin", "TopK"];

/// Returns a constant list of labels as text; none where the constant holds no labels.
fn labels_in(tensor: &TensorProto) -> Vec<String> {
    if tensor.dims.iter().filter(|size| **size > 1).count() > 1 {
        return Vec::new();
    }
    match DataType::try_from(tensor.data_type()) {
        Ok(DataType::String) => {
            tensor.string_data.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect()
        }
        Ok(DataType::Int64) if !tensor.int64_data.is_empty() => {
            tensor.int64_data.iter().map(i64::to_string).collect()
        }
        Ok(DataType::Int64) => tensor
            .raw_data()
            .as_chunks()
            .0
            .iter()
            .map(|bytes| i64::from_le_bytes(*bytes).to_string())
            .collect(),
        Ok(DataType::Int32) if !tensor.int32_data.is_empty() => {
            tensor.int32_data.iter().map(i32::to_string).collect()
        }
        Ok(DataType::Int32) => tensor
            .raw_data()
            .as_chunks()
            .0
            .iter()
            .map(|bytes| i32::from_le_bytes(*bytes).to_string())
            .collect(),
        _ => Vec::new(),
    }
}

/// Returns the labels of a classifier's or a ZipMap's columns, or those that an encoder has for 0, 1, …, as text; none
/// where the node has none.
pub fn class_labels(node: &NodeProto) -> Vec<String> {
    if node.op_type() == "LabelEncoder" {
        return encoder_labels(node);
    }
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

/// Returns the strings that an encoder has for 0, 1, …; none if it encodes anything else.
fn encoder_labels(node: &NodeProto) -> Vec<String> {
    let keys = attribute(node, "keys_int64s").map(|attribute| attribute.ints.as_slice()).unwrap_or_default();
    let values = strings(node, "values_strings");
    let mut pairs: Vec<(i64, String)> = keys.iter().copied().zip(values).collect();
    pairs.sort_by_key(|(key, _)| *key);
    let is_complete = pairs.iter().enumerate().all(|(index, (key, _))| i64::try_from(index) == Ok(*key));
    if is_complete { pairs.into_iter().map(|(_, value)| value).collect() } else { Vec::new() }
}

/// Returns the first operator that is in training mode: a dropout that drops, or a normalization by the batch.
pub fn in_training_mode(graph: &GraphProto) -> Option<&str> {
    let makers = Makers::of(graph);
    let is_true = |value: &str| {
        let made = makers.find(value).filter(|node| node.op_type() == "Constant");
        let made = made.and_then(|node| attribute(node, "value")).and_then(|value| value.t.as_ref());
        let constant = makers.constants.get(value).copied().or(made);
        constant.is_some_and(|tensor| {
            tensor.raw_data().first() == Some(&1) || tensor.int32_data.first() == Some(&1)
        })
    };
    let trains = |node: &&NodeProto| match node.op_type() {
        "Dropout" => node.input.get(2).is_some_and(|mode| is_true(mode)),
        "BatchNormalization" => integer(node, "training_mode") == Some(1),
        _ => false,
    };
    graph.node.iter().find(trains).map(NodeProto::op_type)
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
