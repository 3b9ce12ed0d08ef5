use std::sync::OnceLock;

use onnward_onnx::proto::attribute_proto::AttributeType;
use onnward_onnx::proto::tensor_proto::DataType;
use onnward_onnx::proto::tensor_shape_proto::{Dimension, dimension};
use onnward_onnx::proto::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto,
    TypeProto, ValueInfoProto, type_proto,
};
use ort::session::{Session, SessionInputValue};
use ort::value::{DynValue, Tensor as OrtTensor};
use prost::Message;
use tract_onnx::tract_hir::internal::*;

use super::super::super::onnxruntime::OnnxRuntime;
use super::super::super::{find_library, tract_forest};
use crate::backend::tract_ml;

/// A graph of one node, and its inputs.
pub struct Graph {
    node: NodeProto,
    inputs: Vec<Value>,
    pub outputs: Vec<&'static str>,
    ml_version: i64,
    /// Whether the first size of the inputs is left open, as for rows.
    has_open_rows: bool,
    /// How much numbers may differ, relative to those above 1.
    tolerance: f64,
    /// The inputs that are in the file.
    constants: Vec<usize>,
}

/// The greatest difference of numbers that are rounded alike.
const TOLERANCE: f64 = 1e-6;
/// The greatest difference of numbers that depend steeply on sums, which are rounded in another order.
const STEEP_TOLERANCE: f64 = 1e-4;

/// A tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct Value {
    pub shape: Vec<usize>,
    pub values: Values,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    Floats(Vec<f32>),
    Doubles(Vec<f64>),
    Int64s(Vec<i64>),
    Int32s(Vec<i32>),
    Strings(Vec<String>),
    Booleans(Vec<bool>),
}

impl Values {
    fn data_type(&self) -> i32 {
        let data_type = match self {
            Self::Floats(_) => DataType::Float,
            Self::Doubles(_) => DataType::Double,
            Self::Int64s(_) => DataType::Int64,
            Self::Int32s(_) => DataType::Int32,
            Self::Strings(_) => DataType::String,
            Self::Booleans(_) => DataType::Bool,
        };
        data_type as i32
    }

    /// Returns the numbers in another type: 0 for floats, 1 for doubles, 2 and 3 for whole numbers.
    pub fn of_numbers(numbers: Vec<f32>, datum: usize) -> Self {
        let finite = |number: &f32| if number.is_finite() { *number } else { 5.0 };
        match datum {
            0 => Self::Floats(numbers),
            1 => Self::Doubles(numbers.iter().map(|number| f64::from(*number)).collect()),
            2 => Self::Int64s(numbers.iter().map(|number| finite(number) as i64).collect()),
            _ => Self::Int32s(numbers.iter().map(|number| finite(number).min(1e4) as i32).collect()),
        }
    }

    fn tensor(&self, shape: &[usize]) -> Tensor {
        let tensor = match self {
            Self::Floats(values) => tensor1(values),
            Self::Doubles(values) => tensor1(values),
            Self::Int64s(values) => tensor1(values),
            Self::Int32s(values) => tensor1(values),
            Self::Strings(values) => tensor1(values),
            Self::Booleans(values) => tensor1(values),
        };
        tensor.into_shape(shape).unwrap()
    }

    /// Returns the tensor of an attribute.
    pub fn proto(&self) -> TensorProto {
        let mut proto = TensorProto { data_type: Some(self.data_type()), ..TensorProto::default() };
        match self {
            Self::Floats(values) => proto.float_data.clone_from(values),
            Self::Doubles(values) => proto.double_data.clone_from(values),
            Self::Int64s(values) => proto.int64_data.clone_from(values),
            Self::Int32s(values) => proto.int32_data.clone_from(values),
            Self::Strings(values) => {
                proto.string_data = values.iter().map(|value| value.clone().into_bytes().into()).collect();
            }
            Self::Booleans(values) => {
                proto.int32_data = values.iter().map(|value| i32::from(*value)).collect()
            }
        }
        let count = proto.float_data.len().max(proto.double_data.len()).max(proto.int64_data.len());
        proto.dims = vec![count.max(proto.int32_data.len()).max(proto.string_data.len()) as i64];
        proto
    }
}

impl Value {
    pub fn new(shape: &[usize], values: Values) -> Self {
        Self { shape: shape.to_vec(), values }
    }

    fn described(&self, name: &str, has_open_rows: bool) -> ValueInfoProto {
        let size = |(index, size): (usize, &usize)| {
            let open = dimension::Value::DimParam("N".to_owned());
            let fixed = dimension::Value::DimValue(*size as i64);
            Dimension {
                value: Some(if index == 0 && has_open_rows { open } else { fixed }),
                ..Dimension::default()
            }
        };
        let shape = TensorShapeProto { dim: self.shape.iter().enumerate().map(size).collect() };
        typed(name, self.values.data_type(), Some(shape))
    }

    fn of_onnxruntime(value: &DynValue) -> Self {
        if let Ok(strings) = value.try_extract_string_array() {
            return Self::new(strings.shape(), Values::Strings(strings.iter().cloned().collect()));
        }
        macro_rules! extract {
            ($($datum:ty => $values:path),*) => {
                $(if let Ok((shape, values)) = value.try_extract_tensor::<$datum>() {
                    let shape: Vec<usize> = shape.iter().map(|size| *size as usize).collect();
                    return Self::new(&shape, $values(values.to_vec()));
                })*
            };
        }
        extract!(f32 => Values::Floats, f64 => Values::Doubles, i64 => Values::Int64s, i32 => Values::Int32s,
            bool => Values::Booleans);
        panic!("an output of an unknown type")
    }

    fn of_tract(tensor: &Tensor) -> Self {
        // tract's own whole numbers, which may hold symbols.
        if tensor.datum_type() == DatumType::TDim {
            return Self::of_tract(&tensor.cast_to::<i64>().unwrap());
        }
        macro_rules! extract {
            ($($datum:ty => $values:path),*) => {
                $(if let Ok(values) = tensor.to_plain_array_view::<$datum>() {
                    return Self::new(tensor.shape(), $values(values.iter().cloned().collect()));
                })*
            };
        }
        extract!(f32 => Values::Floats, f64 => Values::Doubles, i64 => Values::Int64s, i32 => Values::Int32s,
            String => Values::Strings, bool => Values::Booleans);
        panic!("an output of an unknown type")
    }
}

fn typed(name: &str, data_type: i32, shape: Option<TensorShapeProto>) -> ValueInfoProto {
    let tensor = type_proto::Tensor { elem_type: Some(data_type), shape };
    let value = Some(type_proto::Value::TensorType(tensor));
    let r#type = Some(TypeProto { value, ..TypeProto::default() });
    ValueInfoProto { name: Some(name.to_owned()), r#type, ..ValueInfoProto::default() }
}

impl Graph {
    pub fn new(op_type: &str, ml_version: i64, attributes: Vec<AttributeProto>, inputs: Vec<Value>) -> Self {
        let node = NodeProto {
            op_type: Some(op_type.to_owned()),
            domain: Some("ai.onnx.ml".to_owned()),
            attribute: attributes,
            ..NodeProto::default()
        };
        Self {
            node,
            inputs,
            outputs: vec!["out"],
            ml_version,
            has_open_rows: true,
            tolerance: TOLERANCE,
            constants: vec![],
        }
    }

    /// Creates a graph of a node of ONNX itself.
    pub fn core(op_type: &str, attributes: Vec<AttributeProto>, inputs: Vec<Value>) -> Self {
        let mut graph = Self::new(op_type, 1, attributes, inputs);
        graph.node.domain = None;
        graph
    }

    pub fn with_outputs(mut self, outputs: &[&'static str]) -> Self {
        self.outputs = outputs.to_vec();
        self
    }

    /// States that the operator adds in an order of its own, which `PROBIT` and powers magnify.
    pub fn rounded(mut self) -> Self {
        let is_steep = |attribute: &AttributeProto| {
            attribute.s.as_deref().is_some_and(|text| text == b"PROBIT" || text == b"POLY")
        };
        if self.node.attribute.iter().any(is_steep) {
            self.tolerance = STEEP_TOLERANCE;
        }
        self
    }

    /// Returns whether two values have equal labels, and numbers that differ by rounding alone.
    pub fn agree(&self, expected: &Value, found: &Value) -> bool {
        let close = |left: f64, right: f64| {
            let tolerance = self.tolerance * left.abs().max(1.0);
            left == right || left.is_nan() && right.is_nan() || (left - right).abs() <= tolerance
        };
        let floats_close = |left: &[f32], right: &[f32]| {
            left.iter().zip(right).all(|(left, right)| close(f64::from(*left), f64::from(*right)))
        };
        expected.shape == found.shape
            && match (&expected.values, &found.values) {
                (Values::Floats(left), Values::Floats(right)) => floats_close(left, right),
                (Values::Doubles(left), Values::Doubles(right)) => {
                    left.iter().zip(right).all(|(left, right)| close(*left, *right))
                }
                (left, right) => left == right,
            }
    }

    /// States that an input is in the file.
    pub fn with_constant(mut self, index: usize) -> Self {
        self.constants.push(index);
        self
    }

    /// Returns the inputs that a run is given, with their indices.
    fn given(&self) -> impl Iterator<Item = (usize, &Value)> {
        self.inputs.iter().enumerate().filter(|(index, _)| !self.constants.contains(index))
    }

    pub fn with_fixed_rows(mut self) -> Self {
        self.has_open_rows = false;
        self
    }

    /// Returns a line that names the attributes and the inputs.
    pub fn describe(&self) -> String {
        let attributes = self.node.attribute.iter().map(|attribute| {
            let AttributeProto { f, i, s, t, floats, ints, strings, .. } = attribute;
            let tensor = t
                .as_ref()
                .map(|t| (&t.float_data, &t.double_data, &t.int64_data, &t.int32_data, &t.string_data));
            format!("{}={f:?}{i:?}{s:?}{tensor:?}{floats:?}{ints:?}{strings:?}", attribute.name())
                .replace("None", "")
                .replace("[]", "")
        });
        let text =
            format!("{} {} {:?}", self.node.op_type(), attributes.collect::<Vec<_>>().join(" "), self.inputs);
        text.chars().take(2500).collect()
    }

    fn encode(&self) -> Vec<u8> {
        let names: Vec<String> = (0..self.inputs.len()).map(|index| format!("in{index}")).collect();
        let described = |(index, value): (usize, &Value)| value.described(&names[index], self.has_open_rows);
        let constant = |index: &usize| {
            let value = &self.inputs[*index];
            TensorProto {
                name: Some(names[*index].clone()),
                dims: value.shape.iter().map(|size| *size as i64).collect(),
                ..value.values.proto()
            }
        };
        let node = NodeProto {
            input: names.clone(),
            output: self.outputs.iter().map(|name| (*name).to_owned()).collect(),
            ..self.node.clone()
        };
        let graph = GraphProto {
            name: Some("g".to_owned()),
            node: vec![node],
            input: self.given().map(described).collect(),
            initializer: self.constants.iter().map(constant).collect(),
            // The runtime infers their types.
            output: self
                .outputs
                .iter()
                .map(|name| ValueInfoProto { name: Some((*name).to_owned()), ..ValueInfoProto::default() })
                .collect(),
            ..GraphProto::default()
        };
        let import = |domain: &str, version| OperatorSetIdProto {
            domain: Some(domain.to_owned()),
            version: Some(version),
        };
        let model = ModelProto {
            ir_version: Some(8),
            opset_import: vec![import("", 15), import("ai.onnx.ml", self.ml_version)],
            graph: Some(graph),
            ..ModelProto::default()
        };
        model.encode_to_vec()
    }

    pub fn run_on_onnxruntime(&self) -> Result<Vec<Value>, String> {
        static LOADED: OnceLock<OnnxRuntime> = OnceLock::new();
        let runtime = LOADED.get_or_init(|| OnnxRuntime::load(&find_library(None).unwrap()).unwrap());
        let run = || -> Result<Vec<Value>, ort::Error> {
            let mut session = Session::builder(runtime.environment())?
                .with_log_level(ort::logging::LogLevel::Fatal)?
                .with_intra_threads(1)?
                .commit_from_memory(&self.encode())?;
            let named = |(index, value): (usize, &Value)| Ok((format!("in{index}"), ort_input(value)?));
            let inputs = self.given().map(named).collect::<Result<Vec<_>, ort::Error>>()?;
            let outputs = session.run(inputs)?;
            Ok(self.outputs.iter().map(|name| Value::of_onnxruntime(&outputs[*name])).collect())
        };
        run().map_err(|error| error.to_string())
    }

    pub fn run_on_tract(&self) -> Result<Vec<Value>, String> {
        let run = || -> TractResult<Vec<Value>> {
            let mut reader = tract_onnx::onnx();
            tract_forest::register(&mut reader);
            tract_ml::register(&mut reader);
            let graph = reader.model_for_read(&mut self.encode().as_slice())?;
            tract_ml::check_operators(&graph)?;
            let plan = graph.into_optimized()?.into_runnable()?;
            let inputs = self.given().map(|(_, value)| value.values.tensor(&value.shape).into_tvalue());
            let outputs = plan.run(inputs.collect())?;
            Ok(outputs.iter().map(|output| Value::of_tract(output)).collect())
        };
        let run = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
        run.unwrap_or_else(|_| bail!("tract panicked")).map_err(|error| format!("{error:#}"))
    }
}

fn ort_input(value: &Value) -> Result<SessionInputValue<'static>, ort::Error> {
    let shape = value.shape.clone();
    Ok(match &value.values {
        Values::Floats(values) => OrtTensor::from_array((shape, values.clone()))?.into(),
        Values::Doubles(values) => OrtTensor::from_array((shape, values.clone()))?.into(),
        Values::Int64s(values) => OrtTensor::from_array((shape, values.clone()))?.into(),
        Values::Int32s(values) => OrtTensor::from_array((shape, values.clone()))?.into(),
        Values::Strings(values) => OrtTensor::from_string_array((shape, values.as_slice()))?.into(),
        Values::Booleans(values) => OrtTensor::from_array((shape, values.clone()))?.into(),
    })
}

fn attribute(name: &str, r#type: AttributeType) -> AttributeProto {
    AttributeProto { name: Some(name.to_owned()), r#type: Some(r#type as i32), ..AttributeProto::default() }
}

pub fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto { f: Some(value), ..attribute(name, AttributeType::Float) }
}

pub fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { i: Some(value), ..attribute(name, AttributeType::Int) }
}

pub fn text(name: &str, value: &str) -> AttributeProto {
    AttributeProto { s: Some(value.to_owned().into()), ..attribute(name, AttributeType::String) }
}

pub fn floats(name: &str, values: Vec<f32>) -> AttributeProto {
    AttributeProto { floats: values, ..attribute(name, AttributeType::Floats) }
}

pub fn ints(name: &str, values: Vec<i64>) -> AttributeProto {
    AttributeProto { ints: values, ..attribute(name, AttributeType::Ints) }
}

pub fn texts(name: &str, values: &[String]) -> AttributeProto {
    let strings = values.iter().map(|value| value.clone().into()).collect();
    AttributeProto { strings, ..attribute(name, AttributeType::Strings) }
}

pub fn tensor(name: &str, values: &Values) -> AttributeProto {
    AttributeProto { t: Some(values.proto()), ..attribute(name, AttributeType::Tensor) }
}

pub fn tensor_of_bytes(name: &str, bytes: &[u8]) -> AttributeProto {
    let proto = TensorProto {
        data_type: Some(DataType::Uint8 as i32),
        dims: vec![bytes.len() as i64],
        int32_data: bytes.iter().map(|byte| i32::from(*byte)).collect(),
        ..TensorProto::default()
    };
    AttributeProto { t: Some(proto), ..attribute(name, AttributeType::Tensor) }
}
