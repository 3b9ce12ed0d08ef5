//! Estimates of the tensors that a graph creates. A few bytes can ask for a tensor of any size, and a runtime
//! that folds constants creates it while it opens the file.
//!
//! The largest number that a value can hold is estimated node by node, from the constants behind it. Sizes
//! that depend on the rows count as 1, because the limits of requests bound those.

use std::collections::HashMap;

use super::{BoundsError, tensor};
use crate::proto::tensor_proto::DataType;
use crate::proto::{AttributeProto, GraphProto, NodeProto, TensorProto};

/// The most elements of a tensor that is created for a row: 256 MiB of single precision.
const MAX_ELEMENTS: f64 = 67_108_864.0;

/// The most elements of a tensor that can be a shape.
const LONGEST_SHAPE: u64 = 64;

/// Operators whose output size is given by all inputs.
pub(super) const BY_ALL_INPUTS: [&str; 6] =
    ["BlackmanWindow", "ConstantOfShape", "HammingWindow", "HannWindow", "MelWeightMatrix", "Range"];
/// Operators whose output size is given by the inputs after the first, which is the data.
pub(super) const BY_OTHER_INPUTS: [&str; 11] = [
    "AffineGrid",
    "CenterCropPad",
    "Col2Im",
    "DFT",
    "Expand",
    "MaxUnpool",
    "OneHot",
    "Pad",
    "Resize",
    "Tile",
    "Upsample",
];
/// Attributes that contain a size.
const ATTRIBUTES: [&str; 11] = [
    "height_scale",
    "output_height",
    "output_padding",
    "output_shape",
    "output_width",
    "pads",
    "repeats",
    "scales",
    "shape",
    "sizes",
    "width_scale",
];
/// Operators that pass on some of the numbers of their first input.
const SELECTING: [&str; 10] = [
    "Cast",
    "Flatten",
    "Gather",
    "Identity",
    "ReduceMax",
    "ReduceMin",
    "Reshape",
    "Slice",
    "Squeeze",
    "Unsqueeze",
];

/// The estimates of known values, by name.
pub type Estimates<'g> = HashMap<&'g str, f64>;

/// Refuses a graph that creates a tensor that is too large, or whose nodes do not follow the nodes that they
/// read.
pub fn check<'g>(graph: &'g GraphProto, outer: &Estimates<'g>) -> Result<(), BoundsError> {
    let mut known = outer.clone();
    known.extend(graph.input.iter().map(|input| (input.name(), 1.0)));
    known.extend(graph.initializer.iter().map(|tensor| (tensor.name(), of_tensor(tensor))));
    for node in &graph.node {
        if let Some(missing) =
            node.input.iter().find(|name| !name.is_empty() && !known.contains_key(name.as_str()))
        {
            return Err(BoundsError::Unsorted { node: node.name().to_owned(), value: missing.clone() });
        }
        let inputs: Vec<f64> =
            node.input.iter().map(|name| known.get(name.as_str()).copied().unwrap_or(1.0)).collect();
        check_made(node, &inputs)?;
        let graphs = node.attribute.iter().flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs));
        graphs.into_iter().try_for_each(|inner| check(inner, &known))?;
        let estimate = of_node(node, &inputs);
        known.extend(node.output.iter().map(|output| (output.as_str(), estimate)));
    }
    Ok(())
}

fn check_made(node: &NodeProto, inputs: &[f64]) -> Result<(), BoundsError> {
    let operator = node.op_type();
    let by_inputs: f64 = if BY_ALL_INPUTS.contains(&operator) {
        inputs.iter().product()
    } else if BY_OTHER_INPUTS.contains(&operator) {
        inputs.iter().skip(1).product()
    } else {
        1.0
    };
    let sizes = node.attribute.iter().filter(|attribute| ATTRIBUTES.contains(&attribute.name()));
    let elements = sizes.fold(by_inputs, |elements, attribute| elements * of_attribute(attribute));
    // Written so that what is not a number is too much.
    if elements <= MAX_ELEMENTS {
        return Ok(());
    }
    let (node, operator) = (node.name().to_owned(), operator.to_owned());
    Err(BoundsError::Made { node, operator, limit: MAX_ELEMENTS as u64 })
}

/// Estimates the largest product of numbers that a node can output, from the estimates of its inputs.
fn of_node(node: &NodeProto, inputs: &[f64]) -> f64 {
    match node.op_type() {
        "Constant" => node.attribute.iter().map(of_attribute).product(),
        "Shape" | "Size" | "NonZero" | "Equal" | "Less" | "Greater" | "Not" | "And" | "Or" => 1.0,
        operator if SELECTING.contains(&operator) => inputs.first().copied().unwrap_or(1.0),
        "Add" | "Sub" | "Sum" => inputs.iter().sum::<f64>().max(1.0),
        "Max" | "Min" | "Where" => inputs.iter().copied().fold(1.0, f64::max),
        "Exp" | "Pow" => inputs.iter().product::<f64>().exp(),
        _ => inputs.iter().product(),
    }
}

fn of_attribute(attribute: &AttributeProto) -> f64 {
    let ints = attribute.i.iter().chain(&attribute.ints).map(|number| *number as f64);
    let floats = attribute.f.iter().chain(&attribute.floats).map(|number| f64::from(*number));
    of_numbers(ints.chain(floats)) * attribute.t.as_ref().map_or(1.0, of_tensor)
}

/// Returns the product of a tensor's numbers; the largest of them for a tensor that is too large to be a
/// shape.
fn of_tensor(tensor: &TensorProto) -> f64 {
    let numbers = numbers(tensor);
    match tensor::elements(&tensor.dims) {
        Some(elements) if elements <= LONGEST_SHAPE => of_numbers(numbers),
        _ => numbers.map(size).fold(1.0, f64::max),
    }
}

fn numbers(tensor: &TensorProto) -> Box<dyn Iterator<Item = f64> + '_> {
    let raw = tensor.raw_data.as_deref().unwrap_or_default();
    match DataType::try_from(tensor.data_type()) {
        Ok(DataType::Int64) => {
            let raw = raw.as_chunks().0.iter().map(|bytes| i64::from_le_bytes(*bytes) as f64);
            Box::new(raw.chain(tensor.int64_data.iter().map(|number| *number as f64)))
        }
        Ok(DataType::Int32) => {
            let raw = raw.as_chunks().0.iter().map(|bytes| f64::from(i32::from_le_bytes(*bytes)));
            Box::new(raw.chain(tensor.int32_data.iter().map(|number| f64::from(*number))))
        }
        Ok(DataType::Float) => {
            let raw = raw.as_chunks().0.iter().map(|bytes| f64::from(f32::from_le_bytes(*bytes)));
            Box::new(raw.chain(tensor.float_data.iter().map(|number| f64::from(*number))))
        }
        Ok(DataType::Double) => {
            let raw = raw.as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes));
            Box::new(raw.chain(tensor.double_data.iter().copied()))
        }
        // The other types are too small for a size, or no runtime takes one of them.
        _ => Box::new(std::iter::empty()),
    }
}

fn of_numbers(numbers: impl Iterator<Item = f64>) -> f64 {
    numbers.map(size).product()
}

/// Returns how much a number can add to a size. A small fraction can too, as a step.
fn size(number: f64) -> f64 {
    let number = number.abs();
    if number == 0.0 { 1.0 } else { number.max(number.recip()) }
}
