//! A builder of ONNX graphs.

use bytes::Bytes;
use onnward_onnx::proto::attribute_proto::AttributeType;
use onnward_onnx::proto::tensor_proto::DataType;
use onnward_onnx::proto::tensor_shape_proto::{Dimension, dimension};
use onnward_onnx::proto::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto,
    TypeProto, ValueInfoProto, type_proto,
};
use onnward_onnx::{LABEL, PREDICTION, PROBABILITIES};
use onnward_schemas::{Schema, Task};

/// The domain of the classical machine learning operators.
pub const ML: &str = "ai.onnx.ml";

// The newest versions that both runtimes read. ARCHITECTURE.md lists the operators that are avoided.
const IR_VERSION: i64 = 10;
const OPSET: i64 = 21;
const ML_OPSET: i64 = 3;

/// An ONNX graph while it is being built.
pub struct GraphBuilder {
    inputs: Vec<ValueInfoProto>,
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
    /// The version of the classical machine learning operators.
    ml_opset: i64,
}

impl Default for GraphBuilder {
    fn default() -> Self {
        Self { inputs: Vec::new(), nodes: Vec::new(), constants: Vec::new(), ml_opset: ML_OPSET }
    }
}

impl GraphBuilder {
    /// Requires at least this version of the classical machine learning operators.
    pub fn require_ml(&mut self, version: i64) {
        self.ml_opset = self.ml_opset.max(version);
    }

    /// Adds an input of shape `[rows, 1]`.
    pub fn input(&mut self, name: &str, data_type: DataType) {
        self.inputs.push(describe(name, data_type, &[None, Some(1)]));
    }

    /// Adds a node with one output, and returns the name of the output.
    pub fn node(
        &mut self,
        op: &str,
        inputs: &[&str],
        output: &str,
        attributes: Vec<AttributeProto>,
    ) -> String {
        self.push("", op, inputs, &[output], attributes);
        output.to_owned()
    }

    /// Adds a node of a classical machine learning operator, with any number of outputs.
    pub fn ml_node(&mut self, op: &str, inputs: &[&str], outputs: &[&str], attributes: Vec<AttributeProto>) {
        self.push(ML, op, inputs, outputs, attributes);
    }

    fn push(
        &mut self,
        domain: &str,
        op: &str,
        inputs: &[&str],
        outputs: &[&str],
        attribute: Vec<AttributeProto>,
    ) {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        self.nodes.push(NodeProto {
            name: outputs.first().map(|output| format!("{op} {output}")),
            op_type: Some(op.to_owned()),
            domain: (!domain.is_empty()).then(|| domain.to_owned()),
            input: owned(inputs),
            output: owned(outputs),
            attribute,
            ..NodeProto::default()
        });
    }

    /// Adds a float32 constant.
    pub fn floats(&mut self, name: &str, shape: &[i64], values: &[f32]) -> String {
        self.constant(name, float_tensor(shape, values))
    }

    /// Adds an int64 constant.
    pub fn integers(&mut self, name: &str, shape: &[i64], values: &[i64]) -> String {
        let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(name, raw_tensor(DataType::Int64, shape, Bytes::from(raw)))
    }

    fn constant(&mut self, name: &str, tensor: TensorProto) -> String {
        self.constants.push(TensorProto { name: Some(name.to_owned()), ..tensor });
        name.to_owned()
    }

    /// Finishes the graph.
    pub fn into_model(self, schema: &Schema) -> ModelProto {
        let graph = GraphProto {
            name: Some(schema.name.clone()),
            node: self.nodes,
            initializer: self.constants,
            input: self.inputs,
            output: outputs(&schema.label.task),
            ..GraphProto::default()
        };
        let opset = |domain: &str, version| OperatorSetIdProto {
            domain: Some(domain.to_owned()),
            version: Some(version),
        };
        ModelProto {
            ir_version: Some(IR_VERSION),
            opset_import: vec![opset("", OPSET), opset(ML, self.ml_opset)],
            producer_name: Some("onnward".to_owned()),
            producer_version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            graph: Some(graph),
            ..ModelProto::default()
        }
    }
}

/// Describes the outputs of a graph for a task.
fn outputs(task: &Task) -> Vec<ValueInfoProto> {
    let probabilities = |classes| {
        vec![
            describe(PROBABILITIES, DataType::Float, &[None, Some(classes)]),
            describe(LABEL, DataType::Int64, &[None]),
        ]
    };
    match task {
        Task::Binary(_) => probabilities(2),
        Task::Classes(classes) => probabilities(classes.values.len() as i64),
        Task::Number => vec![describe(PREDICTION, DataType::Float, &[None, Some(1)])],
        // No such model is trained.
        Task::Raw(_) => Vec::new(),
    }
}

/// Describes a value. A dimension without a size is the number of rows.
fn describe(name: &str, data_type: DataType, shape: &[Option<i64>]) -> ValueInfoProto {
    let dimension = |size: &Option<i64>| {
        let rows = || dimension::Value::DimParam("rows".to_owned());
        Dimension { value: Some(size.map_or_else(rows, dimension::Value::DimValue)), ..Dimension::default() }
    };
    let tensor = type_proto::Tensor {
        elem_type: Some(data_type as i32),
        shape: Some(TensorShapeProto { dim: shape.iter().map(dimension).collect() }),
    };
    let value = Some(type_proto::Value::TensorType(tensor));
    ValueInfoProto {
        name: Some(name.to_owned()),
        r#type: Some(TypeProto { value, ..TypeProto::default() }),
        ..ValueInfoProto::default()
    }
}

/// Makes a tensor of float32 numbers, without a name.
pub fn float_tensor(shape: &[i64], values: &[f32]) -> TensorProto {
    let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    raw_tensor(DataType::Float, shape, Bytes::from(raw))
}

/// Makes a tensor without a name. `raw` holds its values, little-endian.
pub fn raw_tensor(data_type: DataType, shape: &[i64], raw: Bytes) -> TensorProto {
    TensorProto {
        data_type: Some(data_type as i32),
        dims: shape.to_vec(),
        raw_data: Some(raw),
        ..TensorProto::default()
    }
}

fn attribute(name: &str, r#type: AttributeType) -> AttributeProto {
    AttributeProto { name: Some(name.to_owned()), r#type: Some(r#type as i32), ..AttributeProto::default() }
}

/// Makes an integer attribute.
pub fn integer(name: &str, value: i64) -> AttributeProto {
    AttributeProto { i: Some(value), ..attribute(name, AttributeType::Int) }
}

/// Makes an attribute of integers.
pub fn integers(name: &str, values: Vec<i64>) -> AttributeProto {
    AttributeProto { ints: values, ..attribute(name, AttributeType::Ints) }
}

/// Makes an attribute of numbers.
pub fn float_list(name: &str, values: Vec<f32>) -> AttributeProto {
    AttributeProto { floats: values, ..attribute(name, AttributeType::Floats) }
}

/// Makes an attribute of strings.
pub fn strings(name: &str, values: Vec<Bytes>) -> AttributeProto {
    AttributeProto { strings: values, ..attribute(name, AttributeType::Strings) }
}
