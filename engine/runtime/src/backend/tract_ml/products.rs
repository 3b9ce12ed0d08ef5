//! Gemm in any precision, and MatMul with a vector.
//!
//! tract's Gemm multiplies numbers of double precision by factors of single precision, which it then rejects. Its
//! optimizer leaves some products of a column and a row in an inconsistent state.

use tract_onnx::Onnx;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::change_axes::AxisOp;
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::ops::math;
use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::ops::matmul::MatMulInference;

use super::linear::dot;
use super::numbers;
use super::operator::{Operator, Read, TensorType, typed_node};

/// Registers the operators.
pub fn register(onnx: &mut Onnx) {
    onnx.op_register.insert("Gemm", read_gemm);
    onnx.op_register.insert("MatMul", read_matmul);
}

/// `alpha * a * b + beta * c`.
#[derive(Debug, Clone)]
struct Gemm {
    transposes: [bool; 2],
    alpha: f32,
    beta: f32,
}

fn read_gemm(_: &ParsingContext, node: &NodeProto) -> TractResult<Read> {
    let transposes = |name: &str| Ok::<_, TractError>(node.get_attr_opt::<i64>(name)?.unwrap_or(0) != 0);
    let gemm = Gemm {
        transposes: [transposes("transA")?, transposes("transB")?],
        alpha: node.get_attr_opt("alpha")?.unwrap_or(1.0),
        beta: node.get_attr_opt("beta")?.unwrap_or(1.0),
    };
    Ok((expand(gemm), vec![]))
}

impl Gemm {
    /// Multiplies by a factor in the precision of the numbers.
    fn scale(prefix: &str, model: &mut TypedModel, numbers: OutletId, factor: f32) -> TractResult<OutletId> {
        if factor == 1.0 {
            return Ok(numbers);
        }
        let fact = model.outlet_fact(numbers)?.clone();
        let factor =
            tensor0(factor).cast_to_dt(fact.datum_type)?.into_owned().broadcast_into_rank(fact.rank())?;
        let factor = model.add_const(format!("{prefix}.factor"), factor)?;
        Ok(model.wire_node(prefix, math::mul(), &[numbers, factor])?[0])
    }
}

impl Expansion for Gemm {
    fn name(&self) -> StaticName {
        "Gemm".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_output_arity(outputs, 1)?;
        for input in inputs {
            solver.equals(&input.datum_type, &outputs[0].datum_type)?;
        }
        let [first, second] = self.transposes.map(usize::from);
        solver.equals(&inputs[0].rank, 2)?;
        solver.equals(&inputs[1].rank, 2)?;
        solver.equals(&outputs[0].rank, 2)?;
        solver.equals(&inputs[0].shape[first], &outputs[0].shape[0])?;
        solver.equals(&inputs[0].shape[1 - first], &inputs[1].shape[second])?;
        solver.equals(&inputs[1].shape[1 - second], &outputs[0].shape[1])
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let [first, second] = self.transposes;
        let axes = AxesMapping::for_numpy_matmul(2, first, second, false)?;
        let product = EinSum::new(axes, model.outlet_fact(inputs[0])?.datum_type);
        let product = model.wire_node(format!("{prefix}.product"), product, &inputs[..2])?[0];
        let product = Self::scale(&format!("{prefix}.alpha"), model, product, self.alpha)?;
        let added = inputs.get(2).filter(|_| self.beta != 0.0);
        let Some(mut added) = added.copied() else { return Ok(tvec!(product)) };
        while model.outlet_fact(added)?.rank() < 2 {
            let name = format!("{prefix}.row_{}", model.outlet_fact(added)?.rank());
            added = model.wire_node(name, AxisOp::Add(0), &[added])?[0];
        }
        let added = Self::scale(&format!("{prefix}.beta"), model, added, self.beta)?;
        model.wire_node(prefix, math::add(), &[product, added])
    }
}

/// A product of matrices, or of a matrix and a vector.
#[derive(Debug, Clone)]
struct MatMul;

fn read_matmul(_: &ParsingContext, _: &NodeProto) -> TractResult<Read> {
    Ok((expand(MatMul), vec![]))
}

impl Expansion for MatMul {
    fn name(&self) -> StaticName {
        "MatMul".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 2)?;
        check_output_arity(outputs, 1)?;
        solver.equals(&inputs[0].datum_type, &inputs[1].datum_type)?;
        solver.equals(&inputs[0].datum_type, &outputs[0].datum_type)?;
        solver.given_2(&inputs[0].shape, &inputs[1].shape, move |solver, first, second| {
            use tract_onnx::tract_hir::ops::matmul::compute_shapes;
            let (.., product) = compute_shapes(first, second, false, false, false)?;
            solver.equals(&outputs[0].shape, product)
        })
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let (first, second) = (model.outlet_fact(inputs[0])?, model.outlet_fact(inputs[1])?);
        let is_float = matches!(first.datum_type, DatumType::F32 | DatumType::F64);
        if is_float && second.rank() == 1 {
            return model.wire_node(prefix, typed_node(TimesVector), inputs);
        }
        // A column times a row.
        if first.rank() == second.rank() && first.shape.last().is_some_and(|columns| columns.is_one()) {
            return model.wire_node(prefix, math::mul(), inputs);
        }
        MatMulInference::default().wire(prefix, model, inputs)
    }
}

/// The product of rows and a vector.
#[derive(Debug)]
struct TimesVector;

impl Operator for TimesVector {
    fn name(&self) -> &'static str {
        "MatMul"
    }

    fn outputs(&self, inputs: &[TensorType]) -> TractResult<TVec<TensorType>> {
        let [rows, vector] = inputs else { bail!("MatMul has {} inputs, not two", inputs.len()) };
        let ([before @ .., columns], [length]) = (&*rows.shape, &*vector.shape) else {
            bail!("MatMul does not take inputs of these shapes");
        };
        if columns != length {
            bail!("MatMul has rows of {columns} and a vector of {length}");
        }
        Ok(tvec!(TensorType::new(rows.datum, before.iter().cloned())))
    }

    fn run(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let (rows, vector) = (&*inputs[0], &*inputs[1]);
        let (Some((columns, shape)), length) = (rows.shape().split_last(), vector.len()) else {
            bail!("MatMul does not take a scalar");
        };
        if *columns != length || length == 0 {
            bail!("MatMul has rows of {columns} and a vector of {length}");
        }
        Ok(tvec!(if rows.datum_type() == DatumType::F32 {
            let (rows, vector) = (numbers::values::<f32>(rows)?, numbers::values::<f32>(vector)?);
            numbers::tensor(shape, rows.chunks(length).map(|row| dot(row, vector) as f32).collect())?
        } else {
            let (rows, vector) = (numbers::values::<f64>(rows)?, numbers::values::<f64>(vector)?);
            let product = |row: &[f64]| row.iter().zip(vector).map(|(left, right)| left * right).sum::<f64>();
            numbers::tensor(shape, rows.chunks(length).map(product).collect())?
        }))
    }
}
