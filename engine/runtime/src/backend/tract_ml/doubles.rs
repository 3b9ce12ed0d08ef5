//! Operators on each number by itself in double precision, which tract has in single precision alone, and with NaN for NaN.

use tract_onnx::Onnx;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::{math, nn};
use tract_onnx::tract_hir::internal::*;

use super::nan::keep_nan;
use super::numbers;
use super::operator::{Operator, Read, TensorType, typed_node};

/// Registers the operators.
pub fn register(onnx: &mut Onnx) {
    onnx.op_register.insert("IsInf", read_is_inf);
    onnx.op_register.insert("IsNaN", read_is_nan);
    onnx.op_register.insert("Sigmoid", read_sigmoid);
    onnx.op_register.insert("Tanh", read_tanh);
}

/// What is computed of each number.
#[derive(Debug, Clone, Copy)]
enum Function {
    Number(fn(f64) -> f64),
    Test(fn(f64) -> bool),
}

#[derive(Debug, Clone)]
struct Elementwise {
    name: &'static str,
    function: Function,
    /// tract's own operator, for all other types.
    others: Box<dyn TypedOp>,
}

fn read_sigmoid(_: &ParsingContext, _: &NodeProto) -> TractResult<Read> {
    let function = Function::Number(|value| 1.0 / (1.0 + (-value).exp()));
    Ok((expand(Elementwise { name: "Sigmoid", function, others: nn::sigmoid().into() }), vec![]))
}

fn read_tanh(_: &ParsingContext, _: &NodeProto) -> TractResult<Read> {
    let function = Function::Number(f64::tanh);
    Ok((expand(Elementwise { name: "Tanh", function, others: math::tanh().into() }), vec![]))
}

fn read_is_nan(_: &ParsingContext, _: &NodeProto) -> TractResult<Read> {
    let function = Function::Test(f64::is_nan);
    Ok((expand(Elementwise { name: "IsNaN", function, others: math::is_nan().into() }), vec![]))
}

fn read_is_inf(_: &ParsingContext, node: &NodeProto) -> TractResult<Read> {
    let detects = |name: &str| Ok::<_, TractError>(node.get_attr_opt::<i64>(name)?.unwrap_or(1) != 0);
    let (positive, negative) = (detects("detect_positive")?, detects("detect_negative")?);
    let function: fn(f64) -> bool = match (positive, negative) {
        (true, true) => f64::is_infinite,
        (true, false) => |value| value == f64::INFINITY,
        (false, true) => |value| value == f64::NEG_INFINITY,
        (false, false) => |_| false,
    };
    let others = math::is_inf(positive, negative).into();
    Ok((expand(Elementwise { name: "IsInf", function: Function::Test(function), others }), vec![]))
}

impl Expansion for Elementwise {
    fn name(&self) -> StaticName {
        self.name.into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 1)?;
        check_output_arity(outputs, 1)?;
        solver.equals(&outputs[0].shape, &inputs[0].shape)?;
        match self.function {
            Function::Number(_) => solver.equals(&outputs[0].datum_type, &inputs[0].datum_type),
            Function::Test(_) => solver.equals(&outputs[0].datum_type, DatumType::Bool),
        }
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let is_double = model.outlet_fact(inputs[0])?.datum_type == DatumType::F64;
        if is_double {
            return model.wire_node(prefix, typed_node(self.clone()), inputs);
        }
        let computed = model.wire_node(prefix, self.others.clone(), inputs)?;
        match self.function {
            Function::Number(_) => {
                let name = format!("{prefix}.with_nan");
                Ok(tvec!(keep_nan(&name, model, inputs[0], computed[0])?))
            }
            Function::Test(_) => Ok(computed),
        }
    }
}

impl Operator for Elementwise {
    fn name(&self) -> &'static str {
        self.name
    }

    fn outputs(&self, inputs: &[TensorType]) -> TractResult<TVec<TensorType>> {
        let input = numbers::only_input(inputs, &[DatumType::F64])?;
        let datum = match self.function {
            Function::Number(_) => DatumType::F64,
            Function::Test(_) => DatumType::Bool,
        };
        Ok(tvec!(TensorType { datum, ..input.clone() }))
    }

    fn run(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let (values, shape) = (numbers::values::<f64>(&inputs[0])?.iter().copied(), inputs[0].shape());
        Ok(tvec!(match self.function {
            Function::Number(function) => numbers::tensor(shape, values.map(function).collect())?,
            Function::Test(function) => numbers::tensor(shape, values.map(function).collect())?,
        }))
    }
}
