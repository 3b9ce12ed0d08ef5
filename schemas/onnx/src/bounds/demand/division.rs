//! Divisions of whole numbers, which can end the process.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use super::element_type;
use crate::attributes::attribute;
use crate::proto::tensor_proto::DataType;
use crate::proto::{GraphProto, NodeProto, TensorProto};

/// Functions of numbers with fractions alone, and models that score.
const MAKING_FRACTIONS: [&str; 53] = [
    "Acos",
    "Acosh",
    "Asin",
    "Asinh",
    "Atan",
    "Atanh",
    "AveragePool",
    "BatchNormalization",
    "Celu",
    "Ceil",
    "Conv",
    "Cos",
    "Cosh",
    "DequantizeLinear",
    "Elu",
    "Erf",
    "Exp",
    "FeatureVectorizer",
    "Floor",
    "Gelu",
    "GlobalAveragePool",
    "HardSigmoid",
    "HardSwish",
    "InstanceNormalization",
    "LayerNormalization",
    "LeakyRelu",
    "LinearRegressor",
    "Log",
    "LogSoftmax",
    "LpNormalization",
    "Mish",
    "Normalizer",
    "OneHotEncoder",
    "RMSNormalization",
    "Reciprocal",
    "Round",
    "SVMRegressor",
    "Scaler",
    "Selu",
    "Sigmoid",
    "Sin",
    "Sinh",
    "Softmax",
    "Softplus",
    "Softsign",
    "Sqrt",
    "Swish",
    "Tan",
    "Tanh",
    "TfIdfVectorizer",
    "ThresholdedRelu",
    "TreeEnsemble",
    "TreeEnsembleRegressor",
];

/// Operators that make numbers of the type of their first input.
const KEEPING_FRACTIONS: [&str; 56] = [
    "Abs",
    "Add",
    "ArrayFeatureExtractor",
    "Binarizer",
    "Clip",
    "Compress",
    "Concat",
    "CumSum",
    "DepthToSpace",
    "Det",
    "Div",
    "Einsum",
    "Expand",
    "Flatten",
    "Gather",
    "GatherElements",
    "GatherND",
    "Gemm",
    "Identity",
    "Imputer",
    "MatMul",
    "Max",
    "MaxPool",
    "Mean",
    "Min",
    "Mod",
    "Mul",
    "Neg",
    "PRelu",
    "Pad",
    "Pow",
    "ReduceL1",
    "ReduceL2",
    "ReduceLogSum",
    "ReduceLogSumExp",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceProd",
    "ReduceSum",
    "ReduceSumSquare",
    "Relu",
    "Reshape",
    "ScatterElements",
    "ScatterND",
    "Sign",
    "Slice",
    "SpaceToDepth",
    "Squeeze",
    "Sub",
    "Sum",
    "Tile",
    "TopK",
    "Transpose",
    "Trilu",
    "Unsqueeze",
];

/// Returns an operator that may divide whole numbers by what may be 0 or −1, in a graph or one inside it. Division by 0 ends
/// the process, and so does that of the smallest number by −1.
///
/// Only numbers that are known to have fractions are safe: `outer` names those around the graph. An operator without a rule
/// makes what may be whole.
pub fn dividing_integers<'g>(graph: &'g GraphProto, outer: &HashSet<&'g str>) -> Option<String> {
    let with_fractions = |tensor: &&TensorProto| has_fractions(tensor.data_type());
    let mut fractions = outer.clone();
    fractions.extend(
        graph.input.iter().filter(|input| has_fractions(element_type(input))).map(|input| input.name()),
    );
    fractions.extend(graph.initializer.iter().filter(with_fractions).map(|tensor| tensor.name()));
    let mut constants: HashMap<&str, &TensorProto> =
        graph.initializer.iter().map(|tensor| (tensor.name(), tensor)).collect();
    for node in &graph.node {
        let has_fractions =
            |at: usize| node.input.get(at).is_some_and(|name| fractions.contains(name.as_str()));
        let divisor = node.input.get(1).and_then(|name| constants.get(name.as_str()));
        let is_division = matches!(node.op_type(), "Div" | "Mod");
        // Both numbers of a division are of one type.
        if is_division
            && !(has_fractions(0)
                || has_fractions(1)
                || divisor.is_some_and(|tensor| is_safe_divisor(tensor)))
        {
            return Some(node.op_type().to_owned());
        }
        let inner = node.attribute.iter().flat_map(|one| one.g.iter().chain(&one.graphs));
        if let Some(found) = inner.into_iter().find_map(|inner| dividing_integers(inner, &fractions)) {
            return Some(found);
        }
        if let Some(tensor) = tensor_of(node, "value") {
            constants.extend(node.output.first().map(|output| (output.as_str(), tensor)));
        }
        let made = outputs_with_fractions(node, has_fractions);
        fractions.extend(
            node.output.iter().enumerate().filter(|(at, _)| made.contains(at)).map(|(_, name)| name.as_str()),
        );
    }
    None
}

/// Returns which outputs of a node are known to have fractions, given which inputs have.
fn outputs_with_fractions(node: &NodeProto, input: impl Fn(usize) -> bool) -> Range<usize> {
    let all = 0..node.output.len();
    let first_if = |known: bool| 0..usize::from(known);
    let has = |name: &str| attribute(node, name).is_some();
    let holds_fractions = |name: &str| tensor_of(node, name).map(|tensor| has_fractions(tensor.data_type()));
    match node.op_type() {
        "Cast" => {
            first_if(attribute(node, "to").is_some_and(|to| i32::try_from(to.i()).is_ok_and(has_fractions)))
        }
        "CastLike" => first_if(input(1)),
        "Constant" => {
            first_if(has("value_float") || has("value_floats") || holds_fractions("value") == Some(true))
        }
        "ConstantOfShape" => first_if(holds_fractions("value") != Some(false)),
        "LabelEncoder" => first_if(has("values_floats") || holds_fractions("values_tensor") == Some(true)),
        operator if MAKING_FRACTIONS.contains(&operator) => all,
        // Their labels may be whole numbers.
        "LinearClassifier" | "SVMClassifier" | "TreeEnsembleClassifier" => 1..2,
        operator if KEEPING_FRACTIONS.contains(&operator) => first_if(input(0)),
        "Split" if input(0) => all,
        "Where" => first_if(input(1) || input(2)),
        _ => 0..0,
    }
}

/// Returns the tensor in an attribute.
fn tensor_of<'n>(node: &'n NodeProto, name: &str) -> Option<&'n TensorProto> {
    attribute(node, name)?.t.as_ref()
}

/// Returns whether numbers of an element type have fractions.
fn has_fractions(element: i32) -> bool {
    matches!(
        DataType::try_from(element),
        Ok(DataType::Float | DataType::Double | DataType::Float16 | DataType::Bfloat16)
    )
}

/// Returns whether whole numbers can be divided by each of a tensor's.
fn is_safe_divisor(tensor: &TensorProto) -> bool {
    let numbers: Vec<i64> = match DataType::try_from(tensor.data_type()) {
        Ok(DataType::Int64) if tensor.int64_data.is_empty() => {
            tensor.raw_data().as_chunks().0.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect()
        }
        Ok(DataType::Int64) => tensor.int64_data.clone(),
        Ok(DataType::Int32) if tensor.int32_data.is_empty() => {
            tensor.raw_data().as_chunks().0.iter().map(|bytes| i32::from_le_bytes(*bytes).into()).collect()
        }
        Ok(_) => tensor.int32_data.iter().copied().map(i64::from).collect(),
        Err(_) => Vec::new(),
    };
    !numbers.is_empty() && numbers.iter().all(|number| !matches!(number, 0 | -1))
}
