//! Looking around in a graph.

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

/// The node that computes a value.
pub fn maker<'g>(graph: &'g GraphProto, value: &str) -> Option<&'g NodeProto> {
    graph.node.iter().find(|node| node.output.iter().any(|output| output == value))
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

/// The labels of a value's columns: those of the classifier that it comes from.
pub fn labels_behind(graph: &GraphProto, value: &str) -> Vec<String> {
    let mut value = value;
    // A graph has no cycle, and a chain no more links than the graph has nodes.
    for _ in 0..graph.node.len() {
        let Some(node) = maker(graph, value) else { break };
        let labels = class_labels(node);
        if !labels.is_empty() {
            return labels;
        }
        let Some(input) = node.input.first() else { break };
        value = input;
    }
    Vec::new()
}

/// The categories that an input is one-hot encoded by.
pub struct Categories {
    /// The categories, as text.
    pub values: Vec<String>,
    /// Whether the graph fails on any other value.
    pub is_closed: bool,
}

/// The categories of an input of one column, where it goes to a `OneHotEncoder` as it is.
pub fn categories_of(graph: &GraphProto, input: &str) -> Option<Categories> {
    const PASSING: [&str; 7] =
        ["Identity", "Cast", "Gather", "Reshape", "ArrayFeatureExtractor", "Flatten", "Squeeze"];
    let mut values = vec![input];
    for node in &graph.node {
        if !node.input.first().is_some_and(|first| values.contains(&first.as_str())) {
            continue;
        }
        if node.op_type() == "OneHotEncoder" {
            let mut known = strings(node, "cats_strings");
            if known.is_empty() {
                let integers = attribute(node, "cats_int64s").map(|attribute| attribute.ints.as_slice());
                known = integers.unwrap_or_default().iter().map(i64::to_string).collect();
            }
            let zeros = attribute(node, "zeros").is_none_or(|attribute| attribute.i() != 0);
            return Some(Categories { values: known, is_closed: !zeros });
        }
        if PASSING.contains(&node.op_type()) {
            values.extend(node.output.iter().map(String::as_str));
        }
    }
    None
}

fn attribute<'n>(node: &'n NodeProto, key: &str) -> Option<&'n AttributeProto> {
    node.attribute.iter().find(|attribute| attribute.name() == key)
}

fn strings(node: &NodeProto, key: &str) -> Vec<String> {
    let bytes = attribute(node, key).map(|attribute| attribute.strings.as_slice()).unwrap_or_default();
    bytes.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect()
}
