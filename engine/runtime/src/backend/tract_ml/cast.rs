//! Casts to whole numbers, with the result of ONNX Runtime for numbers that do not fit.

use tract_onnx::Onnx;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::cast::cast;
use tract_onnx::tract_hir::internal::*;

use super::numbers::{self, truncate};
use super::operator::{Operator, Read, TensorType, typed_node};

/// Registers the operator.
pub fn register(onnx: &mut Onnx) {
    onnx.op_register.insert("Cast", read);
}

/// A cast of any type. tract's own takes whole numbers of 64 bits for sizes of tensors, and holds numbers with fractions
/// within 32 bits.
#[derive(Debug, Clone)]
struct Cast {
    to: DatumType,
}

fn read(_: &ParsingContext, node: &NodeProto) -> TractResult<Read> {
    Ok((expand(Cast { to: node.get_attr::<DatumType>("to")? }), vec![]))
}

impl Cast {
    /// Returns the type of the result. What may be a size of a tensor stays one.
    fn result(&self, from: DatumType) -> DatumType {
        let is_size = self.to == DatumType::I64 && !from.is_float();
        if is_size { DatumType::TDim } else { self.to }
    }
}

impl Expansion for Cast {
    fn name(&self) -> StaticName {
        "Cast".into()
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
        solver.given(&inputs[0].datum_type, move |solver, from| {
            solver.equals(&outputs[0].datum_type, self.result(from))
        })
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let from = model.outlet_fact(inputs[0])?.datum_type;
        let is_own = (from.is_float() && self.to.is_integer())
            || (from == DatumType::String && self.to == DatumType::F32);
        let operator = if is_own { typed_node(self.clone()) } else { Box::new(cast(self.result(from))) };
        model.wire_node(prefix, operator, inputs)
    }
}

impl Operator for Cast {
    fn name(&self) -> &'static str {
        "Cast"
    }

    fn outputs(&self, inputs: &[TensorType]) -> TractResult<TVec<TensorType>> {
        let types = [DatumType::F16, DatumType::F32, DatumType::F64, DatumType::String];
        let input = numbers::only_input(inputs, &types)?;
        Ok(tvec!(TensorType { datum: self.to, ..input.clone() }))
    }

    fn run(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let (input, shape) = (&inputs[0], inputs[0].shape());
        if input.datum_type() == DatumType::String {
            let parsed = numbers::values::<String>(input)?
                .iter()
                .map(|text| text.trim().parse().with_context(|| format!("{text:?} is not a number")));
            return Ok(tvec!(numbers::tensor(shape, parsed.collect::<TractResult<Vec<f32>>>()?)?));
        }
        let input = input.cast_to::<f64>()?;
        let values = numbers::values::<f64>(&input)?.iter().copied();
        // Narrow numbers are cut off from wider ones.
        Ok(tvec!(match self.to {
            DatumType::I64 => numbers::tensor(shape, values.map(truncate).collect()),
            DatumType::I32 => numbers::tensor(shape, values.map(truncate_to_32).collect()),
            DatumType::I16 =>
                numbers::tensor(shape, values.map(|value| truncate_to_32(value) as i16).collect()),
            DatumType::I8 =>
                numbers::tensor(shape, values.map(|value| truncate_to_32(value) as i8).collect()),
            DatumType::U64 => numbers::tensor(shape, values.map(truncate_unsigned).collect()),
            DatumType::U32 => numbers::tensor(shape, values.map(|value| truncate(value) as u32).collect()),
            DatumType::U16 =>
                numbers::tensor(shape, values.map(|value| truncate_to_32(value) as u16).collect()),
            DatumType::U8 =>
                numbers::tensor(shape, values.map(|value| truncate_to_32(value) as u8).collect()),
            other => bail!("it does not cast to {other:?}"),
        }?))
    }
}

/// Converts to a whole number of 32 bits as the processor does.
fn truncate_to_32(value: f64) -> i32 {
    let fits = (f64::from(i32::MIN) - 1.0 < value) && (value < -f64::from(i32::MIN));
    if fits { value as i32 } else { i32::MIN }
}

/// Converts to a whole number without a sign as compilers do it: of large numbers, the upper half is taken apart.
fn truncate_unsigned(value: f64) -> u64 {
    let half = 2f64.powi(63);
    if value < half { truncate(value) as u64 } else { truncate(value - half) as u64 ^ (1 << 63) }
}
