//! The memory that a graph's values take, as far as it can be told without running the graph.
//!
//! Shapes are inferred for the operators of the exporter and of common converters. A shape is an upper bound:
//! the number of rows is taken as [`ROWS`], and no rule here makes a smaller input lead to a larger output.
//! Whoever opens a graph with an operator that has no rule must measure what it takes. That is enough as long
//! as no size depends on the values of a row.

mod division;

use std::collections::{HashMap, HashSet};

use super::sizes::{BY_ALL_INPUTS, BY_OTHER_INPUTS};
use crate::attributes::{attribute, integer};
use crate::proto::tensor_proto::DataType;
use crate::proto::tensor_shape_proto::dimension;
use crate::proto::{AttributeProto, GraphProto, NodeProto, TensorProto, ValueInfoProto, type_proto};

/// The rows of the batch whose values are added up; the engine's largest by default.
const ROWS: u64 = 1024;
/// The largest sum of the values of such a batch, in bytes.
const MAX_BYTES: u64 = 256 << 20;
/// The bytes of an element: of a number of double precision. Strings are longer, see [`longest_string`].
const ELEMENT_BYTES: u64 = 8;
/// The bytes of a string beside its text.
const STRING_BYTES: u64 = 32;

/// How the memory of a graph's values is bounded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemoryDemand {
    /// By the file: the values of a large batch take at most 256 MiB.
    Bounded,
    /// By the file and the number of rows. How much it is shows when the graph is run.
    Measurable,
    /// Not at all: this operator makes a value whose size depends on the values of a row, or can end the process by
    /// one.
    DependsOnValues {
        /// The operator.
        operator: String,
    },
}

/// Operators that make longer strings of strings.
const BUILDING_STRINGS: [&str; 4] = ["RegexReplace", "StringConcat", "StringSplit", "Tokenizer"];

impl MemoryDemand {
    /// Returns how the memory of a graph's values is bounded.
    pub fn of(graph: &GraphProto) -> Self {
        if let Some(operator) = sized_by_values(graph, &HashSet::new())
            .or_else(|| copying_strings(graph))
            .or_else(|| division::dividing_integers(graph, &HashSet::new()))
        {
            return Self::DependsOnValues { operator };
        }
        match Shapes::infer(graph) {
            Some(bytes) if bytes <= MAX_BYTES => Self::Bounded,
            _ => Self::Measurable,
        }
    }
}

/// Returns an operator that takes a size from a value that depends on the graph's inputs, or on one of
/// `outer`.
fn sized_by_values(graph: &GraphProto, outer: &HashSet<&str>) -> Option<String> {
    let constants: HashSet<&str> = graph.initializer.iter().map(|tensor| tensor.name()).collect();
    let inputs = graph.input.iter().map(|input| input.name()).filter(|name| !constants.contains(name));
    let mut dependent: HashSet<&str> = outer.iter().copied().chain(inputs).collect();
    for node in &graph.node {
        let depends = |name: &String| dependent.contains(name.as_str());
        let operator = node.op_type();
        let graphs = || node.attribute.iter().flat_map(|one| one.g.iter().chain(&one.graphs));
        let is_sized = if BY_ALL_INPUTS.contains(&operator) || BUILDING_STRINGS.contains(&operator) {
            node.input.iter().any(depends)
        } else if BY_OTHER_INPUTS.contains(&operator) {
            node.input.iter().skip(1).any(depends)
        } else {
            // Which branch is taken depends on a value.
            graphs().next().is_some() && operator == "If" && node.input.iter().any(depends)
        };
        if is_sized {
            return Some(operator.to_owned());
        }
        if let Some(found) = graphs().find_map(|inner| sized_by_values(inner, &dependent)) {
            return Some(found);
        }
        // A graph inside may read any value around it.
        let reads = node.input.iter().any(depends) || (graphs().next().is_some() && !dependent.is_empty());
        if reads && !matches!(operator, "Shape" | "Size") {
            dependent.extend(node.output.iter().map(String::as_str));
        }
    }
    None
}

fn element_type(value: &ValueInfoProto) -> i32 {
    match value.r#type.as_ref().and_then(|one| one.value.as_ref()) {
        Some(type_proto::Value::TensorType(tensor)) => tensor.elem_type(),
        _ => DataType::Undefined as i32,
    }
}

/// The most copies of a string of a row that a value may hold: a string can be as long as a request.
const MAX_COPIES: u64 = 64;

/// Returns an operator that copies a row's strings more often than that.
fn copying_strings(graph: &GraphProto) -> Option<String> {
    let is_text = |input: &&ValueInfoProto| element_type(input) == DataType::String as i32;
    let mut copies: HashMap<&str, u64> =
        graph.input.iter().filter(is_text).map(|input| (input.name(), 1)).collect();
    let indices: HashMap<&str, Option<u64>> = graph
        .initializer
        .iter()
        .map(|tensor| {
            (tensor.name(), elements(&tensor.dims.iter().map(|size| *size as u64).collect::<Vec<_>>()))
        })
        .collect();
    for node in &graph.node {
        let read: u64 = node.input.iter().filter_map(|name| copies.get(name.as_str())).sum();
        if read == 0 {
            continue;
        }
        let made = match node.op_type() {
            "Concat" | "Flatten" | "Identity" | "Reshape" | "Slice" | "Split" | "Squeeze"
            | "StringNormalizer" | "Transpose" | "Unsqueeze" => read,
            "ArrayFeatureExtractor" | "Gather" => {
                let selected =
                    node.input.get(1).and_then(|name| indices.get(name.as_str()).copied().flatten());
                read.saturating_mul(selected.unwrap_or(u64::MAX))
            }
            "Expand" | "GatherElements" | "GatherND" | "Pad" | "Resize" | "Tile" | "Where" => u64::MAX,
            // It makes no strings of strings.
            _ => continue,
        };
        if made > MAX_COPIES {
            return Some(node.op_type().to_owned());
        }
        copies.extend(node.output.iter().map(|output| (output.as_str(), made)));
    }
    None
}

/// Returns the length of the longest string that a graph writes into values.
fn longest_string(graph: &GraphProto) -> u64 {
    let of_tensor = |tensor: &TensorProto| tensor.string_data.iter().map(|text| text.len()).max();
    let of_attribute = |one: &AttributeProto| {
        let texts = one.s.iter().chain(&one.strings).map(|text| text.len()).max();
        texts.max(one.t.iter().chain(&one.tensors).filter_map(of_tensor).max())
    };
    let attributes = graph.node.iter().flat_map(|node| &node.attribute).filter_map(of_attribute);
    attributes.chain(graph.initializer.iter().filter_map(of_tensor)).max().unwrap_or_default() as u64
}

/// An upper bound for each dimension of a value.
type Shape = Vec<u64>;

/// The shapes of known values, by name.
struct Shapes<'g> {
    known: HashMap<&'g str, Shape>,
    constants: HashMap<&'g str, &'g TensorProto>,
}

impl<'g> Shapes<'g> {
    /// Returns the bytes of all values of a graph together. `None` if a shape cannot be told.
    fn infer(graph: &'g GraphProto) -> Option<u64> {
        let mut shapes = Self { known: HashMap::new(), constants: HashMap::new() };
        for tensor in &graph.initializer {
            let dims = tensor.dims.iter().map(|size| u64::try_from(*size).ok());
            shapes.known.insert(tensor.name(), dims.collect::<Option<_>>()?);
            shapes.constants.insert(tensor.name(), tensor);
        }
        for input in &graph.input {
            if !shapes.known.contains_key(input.name()) {
                shapes.known.insert(input.name(), of_input(input)?);
            }
        }
        let longest = longest_string(graph);
        // A string that is not short lies behind a header.
        let element_bytes = if longest == 0 { ELEMENT_BYTES } else { longest.checked_add(STRING_BYTES)? };
        let mut bytes = 0_u64;
        for node in &graph.node {
            let made = shapes.of_node(node)?;
            for (name, shape) in node.output.iter().zip(made) {
                let elements = elements(&shape)?;
                bytes = bytes.checked_add(elements.checked_mul(element_bytes)?)?;
                if bytes > MAX_BYTES {
                    return None;
                }
                shapes.known.insert(name, shape);
            }
        }
        Some(bytes)
    }

    /// Returns the shapes of a node's outputs. `None` if there is no rule for it.
    fn of_node(&mut self, node: &'g NodeProto) -> Option<Vec<Shape>> {
        let input = |at: usize| self.known.get(node.input.get(at)?.as_str());
        let all = || node.input.iter().map(|name| self.known.get(name.as_str()));
        let one = |shape: Shape| Some(vec![shape]);
        match node.op_type() {
            "Abs" | "Binarizer" | "Cast" | "CategoryMapper" | "Ceil" | "Clip" | "Elu" | "Erf" | "Exp"
            | "Floor" | "Identity" | "Imputer" | "IsInf" | "IsNaN" | "LabelEncoder" | "LeakyRelu" | "Log"
            | "Neg" | "Normalizer" | "Not" | "Reciprocal" | "Relu" | "Round" | "Scaler" | "Selu"
            | "Sigmoid" | "Sign" | "Softmax" | "Softplus" | "Sqrt" | "Tanh" => one(input(0)?.clone()),
            "Add" | "And" | "Div" | "Equal" | "Greater" | "GreaterOrEqual" | "Less" | "LessOrEqual"
            | "Max" | "Min" | "Mul" | "Or" | "PRelu" | "Pow" | "Sub" | "Sum" | "Where" | "Xor" => {
                all().try_fold(Shape::new(), |shape, other| broadcast(&shape, other?)).and_then(one)
            }
            "Concat" => {
                let (mut shapes, axis) = (all(), integer(node, "axis")?);
                let mut joined = shapes.next()??.clone();
                let axis = at_axis(axis, joined.len())?;
                for shape in shapes {
                    let shape = shape?;
                    for (place, size) in joined.iter_mut().enumerate() {
                        let other = *shape.get(place)?;
                        *size = if place == axis { size.checked_add(other)? } else { other.max(*size) };
                    }
                }
                one(joined)
            }
            "Gather" => {
                let (data, indices) = (input(0)?, input(1)?);
                let axis = at_axis(integer(node, "axis").unwrap_or(0), data.len())?;
                one([&data[..axis], indices.as_slice(), &data[axis + 1..]].concat())
            }
            "MatMul" => match (input(0)?.as_slice(), input(1)?.as_slice()) {
                ([rows, _], [_, columns]) => one(vec![*rows, *columns]),
                ([rows, _], [_]) => one(vec![*rows]),
                _ => None,
            },
            "Gemm" => {
                let side = |at: usize, transposed: &str, kept: usize| {
                    let flips = integer(node, transposed).unwrap_or(0) != 0;
                    input(at)?.get(if flips { 1 - kept } else { kept }).copied()
                };
                one(vec![side(0, "transA", 0)?, side(1, "transB", 1)?])
            }
            "Transpose" => {
                let shape = input(0)?;
                match attribute(node, "perm").map(|perm| perm.ints.as_slice()).unwrap_or_default() {
                    [] => one(shape.iter().rev().copied().collect()),
                    perm => {
                        let moved = perm.iter().map(|from| shape.get(usize::try_from(*from).ok()?).copied());
                        one(moved.collect::<Option<_>>()?)
                    }
                }
            }
            _ => self.of_other_node(node),
        }
    }

    /// Returns the shapes of the outputs of nodes that rearrange values, create them, or are models.
    fn of_other_node(&mut self, node: &'g NodeProto) -> Option<Vec<Shape>> {
        let input = |at: usize| self.known.get(node.input.get(at)?.as_str());
        let rows = || input(0)?.first().copied();
        let one = |shape: Shape| Some(vec![shape]);
        match node.op_type() {
            "ArrayFeatureExtractor" => {
                let mut shape = input(0)?.clone();
                *shape.last_mut()? = elements(input(1)?)?;
                one(shape)
            }
            "Flatten" => {
                let shape = input(0)?;
                let axis = at_axis(integer(node, "axis").unwrap_or(1), shape.len() + 1)?;
                one(vec![elements(&shape[..axis])?, elements(&shape[axis..])?])
            }
            "Reshape" => {
                let count = elements(input(0)?)?;
                let target = self.numbers(node.input.get(1)?)?;
                one(reshaped(input(0)?, count, &target)?)
            }
            "Constant" => {
                let tensor = attribute(node, "value")?.t.as_ref()?;
                let dims = tensor.dims.iter().map(|size| u64::try_from(*size).ok()).collect::<Option<_>>()?;
                if let Some(name) = node.output.first() {
                    self.constants.insert(name, tensor);
                }
                one(dims)
            }
            "LinearRegressor" => one(vec![rows()?, targets(node, "targets")?]),
            "TreeEnsemble" | "TreeEnsembleRegressor" => one(vec![rows()?, targets(node, "n_targets")?]),
            "LinearClassifier" | "TreeEnsembleClassifier" => {
                let classes = ["classlabels_int64s", "classlabels_strings", "classlabels_ints"];
                let count =
                    |name: &str| attribute(node, name).map_or(0, |one| one.ints.len() + one.strings.len());
                let classes = classes.map(count).into_iter().max()? as u64;
                Some(vec![vec![rows()?], vec![rows()?, classes.max(2)]])
            }
            "ZipMap" => one(input(0)?.clone()),
            _ => None,
        }
    }

    /// Returns the whole numbers of a constant.
    fn numbers(&self, name: &str) -> Option<Vec<i64>> {
        let tensor = self.constants.get(name)?;
        let raw = tensor.raw_data.as_deref().unwrap_or_default().as_chunks().0;
        Some(
            raw.iter()
                .map(|bytes| i64::from_le_bytes(*bytes))
                .chain(tensor.int64_data.iter().copied())
                .collect(),
        )
    }
}

/// Returns the shape of an input of the graph. Its first dimension is the rows; any other must be known.
fn of_input(input: &ValueInfoProto) -> Option<Shape> {
    let Some(type_proto::Value::TensorType(tensor)) = input.r#type.as_ref()?.value.as_ref() else {
        return None;
    };
    let sizes = tensor.shape.as_ref()?.dim.iter().enumerate().map(|(place, size)| match &size.value {
        Some(dimension::Value::DimValue(size)) if place > 0 => u64::try_from(*size).ok(),
        _ if place == 0 => Some(ROWS),
        _ => None,
    });
    sizes.collect()
}

fn elements(shape: &[u64]) -> Option<u64> {
    shape.iter().try_fold(1_u64, |product, size| product.checked_mul(*size))
}

/// Returns the shape of a result that is computed element by element.
fn broadcast(one: &[u64], other: &[u64]) -> Option<Shape> {
    let rank = one.len().max(other.len());
    let size = |shape: &[u64], from_end: usize| shape.iter().rev().nth(from_end).copied().unwrap_or(1);
    Some((0..rank).rev().map(|from_end| size(one, from_end).max(size(other, from_end))).collect())
}

fn reshaped(from: &[u64], count: u64, target: &[i64]) -> Option<Shape> {
    let given = target.iter().enumerate().map(|(place, size)| match size {
        // 0 keeps a dimension, and the one that is -1 is what is left.
        0 => from.get(place).copied(),
        -1 => Some(1),
        size => u64::try_from(*size).ok(),
    });
    let mut shape: Shape = given.collect::<Option<_>>()?;
    let left = count / elements(&shape)?.max(1);
    if let Some(place) = target.iter().position(|size| *size == -1) {
        // Bounds of dimensions that are kept cancel out.
        shape[place] = left;
    }
    (elements(&shape)? <= count).then_some(shape)
}

/// Returns the number of targets in an attribute; 1 by default.
fn targets(node: &NodeProto, name: &str) -> Option<u64> {
    u64::try_from(integer(node, name).unwrap_or(1)).ok()
}

/// Returns an axis counted from the front.
fn at_axis(axis: i64, rank: usize) -> Option<usize> {
    let axis = if axis < 0 { axis + i64::try_from(rank).ok()? } else { axis };
    usize::try_from(axis).ok().filter(|axis| *axis < rank)
}

#[cfg(test)]
mod tests;
