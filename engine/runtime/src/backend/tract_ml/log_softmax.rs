//! LogSoftmax. tract's own takes the logarithm of a probability, which is 0 where numbers are far apart.

use tract_onnx::Onnx;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::numbers;
use super::operator::{Operator, Read, TensorType, node};

/// The version from which on the sum is over one axis, and not over all from it on.
const ONE_AXIS: i64 = 13;

/// Registers the operator.
pub fn register(onnx: &mut Onnx) {
    onnx.op_register.insert("LogSoftmax", read);
}

#[derive(Debug)]
struct LogSoftmax {
    axis: i64,
    is_of_one_axis: bool,
}

fn read(context: &ParsingContext, proto: &NodeProto) -> TractResult<Read> {
    let is_of_one_axis = context.onnx_operator_set_version >= ONE_AXIS;
    let axis = proto.get_attr_opt("axis")?.unwrap_or(if is_of_one_axis { -1 } else { 1 });
    Ok(node(LogSoftmax { axis, is_of_one_axis }, proto))
}

impl Operator for LogSoftmax {
    fn name(&self) -> &'static str {
        "LogSoftmax"
    }

    fn outputs(&self, inputs: &[TensorType]) -> TractResult<TVec<TensorType>> {
        Ok(tvec!(numbers::only_input(inputs, &[DatumType::F32, DatumType::F64])?.clone()))
    }

    fn run(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let input = &inputs[0];
        let shape = input.shape();
        let rank = shape.len() as i64;
        let axis = if self.axis < 0 { self.axis + rank } else { self.axis };
        if !(0..rank).contains(&axis) {
            bail!("its input has {rank} dimensions, and its axis is {}", self.axis);
        }
        let axis = axis as usize;
        // What lies behind the axis is beside each other, unless it belongs to one sum.
        let (length, stride) = match self.is_of_one_axis {
            true => (shape[axis], shape[axis + 1..].iter().product()),
            false => (shape[axis..].iter().product(), 1),
        };
        let doubles = input.cast_to::<f64>()?;
        let mut values = numbers::values::<f64>(&doubles)?.to_vec();
        log_softmax(&mut values, length, stride);
        let result = numbers::tensor(shape, values)?;
        Ok(tvec!(result.cast_to_dt(input.datum_type())?.into_owned()))
    }
}

/// Computes x − max − ln(Σ exp(x − max)) over `length` values, which are `stride` apart.
fn log_softmax(values: &mut [f64], length: usize, stride: usize) {
    let block = length * stride;
    for block in values.chunks_mut(block.max(1)) {
        for first in 0..stride {
            let places = || (0..length).map(|at| first + at * stride);
            let max =
                places().fold(f64::NEG_INFINITY, |max, at| if block[at] > max { block[at] } else { max });
            let sum: f64 = places().map(|at| (block[at] - max).exp()).sum();
            places().for_each(|at| block[at] -= max + sum.ln());
        }
    }
}
