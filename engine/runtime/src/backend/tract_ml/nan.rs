//! Operators that keep NaN, as ONNX Runtime's do. tract's own return a number like any other, and a row that has no answer
//! would get one.

use tract_onnx::Onnx;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::broadcast::multi_broadcast;
use tract_onnx::tract_core::ops::cast::wire_cast;
use tract_onnx::tract_core::ops::change_axes::wire_with_rank_broadcast;
use tract_onnx::tract_core::ops::math;
use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::tract_num_traits::Float;

use super::numbers;
use super::operator::{Operator, Read, TensorType, typed_node};

/// Registers the operators.
pub fn register(onnx: &mut Onnx) {
    let operators = &mut onnx.op_register;
    operators.insert("Clip", read_clip);
    operators.insert("Max", |_, _| Ok((expand(Extreme(Pair::Max)), vec![])));
    operators.insert("Min", |_, _| Ok((expand(Extreme(Pair::Min)), vec![])));
    operators.insert("Relu", |_, _| {
        Ok((expand(Clip { name: "Relu", min: Some(Bound::Number(0.0)), max: None }), vec![]))
    });
}

/// Puts back what is NaN in `source` into `result`, which is computed of it element by element.
pub fn keep_nan(
    prefix: &str,
    model: &mut TypedModel,
    source: OutletId,
    result: OutletId,
) -> TractResult<OutletId> {
    wire_pair(prefix, model, Pair::KeepNan, [source, result])
}

/// Computes one value of two, element by element. What is no number of single or double precision has no NaN, and tract's own
/// operators do.
fn wire_pair(
    prefix: &str,
    model: &mut TypedModel,
    pair: Pair,
    inputs: [OutletId; 2],
) -> TractResult<OutletId> {
    let is_own = [DatumType::F32, DatumType::F64].contains(&model.outlet_fact(inputs[0])?.datum_type);
    let operator: Box<dyn TypedOp> = match pair {
        pair if is_own => typed_node(pair),
        Pair::Max => math::max().into(),
        Pair::Min => math::min().into(),
        Pair::KeepNan => return Ok(inputs[1]),
    };
    Ok(wire_with_rank_broadcast(prefix, model, operator, &inputs)?[0])
}

/// What is computed of two values.
#[derive(Debug, Clone, Copy)]
enum Pair {
    /// The larger one, or NaN.
    Max,
    /// The smaller one, or NaN.
    Min,
    /// The second one, unless the first one is NaN.
    KeepNan,
}

impl Pair {
    fn of<T: Float>(self, one: T, other: T) -> T {
        match self {
            _ if one.is_nan() => one,
            Self::KeepNan => other,
            _ if other.is_nan() => other,
            Self::Max => one.max(other),
            Self::Min => one.min(other),
        }
    }

    fn run_on<T: Float + Datum>(self, inputs: &[TValue]) -> TractResult<Tensor> {
        let (one, other) = (&inputs[0], &inputs[1]);
        if one.shape() == other.shape() {
            let pairs = numbers::values::<T>(one)?.iter().zip(numbers::values::<T>(other)?);
            return numbers::tensor(one.shape(), pairs.map(|(one, other)| self.of(*one, *other)).collect());
        }
        let shape = multi_broadcast(&[one.shape(), other.shape()])?;
        let (one, other) = (one.to_plain_array_view::<T>()?, other.to_plain_array_view::<T>()?);
        let (one, other) = (one.broadcast(&*shape), other.broadcast(&*shape));
        let (one, other) = (one.context("the shapes differ")?, other.context("the shapes differ")?);
        let values = one.iter().zip(&other).map(|(one, other)| self.of(*one, *other)).collect();
        numbers::tensor(&shape, values)
    }
}

impl Operator for Pair {
    fn name(&self) -> &'static str {
        match self {
            Self::Max => "Max",
            Self::Min => "Min",
            Self::KeepNan => "KeepNan",
        }
    }

    fn outputs(&self, inputs: &[TensorType]) -> TractResult<TVec<TensorType>> {
        let [one, other] = inputs else { bail!("it has {} inputs, not two", inputs.len()) };
        let shape = multi_broadcast(&[&one.shape, &other.shape])?;
        Ok(tvec!(TensorType { datum: one.datum, shape }))
    }

    fn run(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        Ok(tvec!(match inputs[0].datum_type() {
            DatumType::F64 => self.run_on::<f64>(inputs)?,
            _ => self.run_on::<f32>(inputs)?,
        }))
    }
}

/// The largest or the smallest of all inputs.
#[derive(Debug, Clone)]
struct Extreme(Pair);

impl Expansion for Extreme {
    fn name(&self) -> StaticName {
        Operator::name(&self.0).into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_output_arity(outputs, 1)?;
        solver.given_all(inputs.iter().map(|input| &input.datum_type), move |solver, types| {
            solver.equals(&outputs[0].datum_type, common_type(&types)?)
        })?;
        solver.given_all(inputs.iter().map(|input| &input.shape), move |solver, shapes| {
            solver.equals(&outputs[0].shape, multi_broadcast(&shapes)?)
        })
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let types = inputs.iter().map(|input| Ok(model.outlet_fact(*input)?.datum_type));
        let common = common_type(&types.collect::<TractResult<Vec<_>>>()?)?;
        let inputs = wire_cast(prefix, model, inputs, common)?;
        let (first, others) = inputs.split_first().context("it has no input")?;
        let mut found = *first;
        for (index, other) in others.iter().enumerate() {
            let name = format!("{prefix}.extreme_{index}");
            found = wire_pair(&name, model, self.0, [found, *other])?;
        }
        Ok(tvec!(found))
    }
}

fn common_type(types: &[DatumType]) -> TractResult<DatumType> {
    DatumType::super_type_for(types).with_context(|| format!("its inputs are of the types {types:?}"))
}

/// A bound of a clip.
#[derive(Debug, Clone, Copy)]
enum Bound {
    /// An input.
    Input(usize),
    /// A number of the file.
    Number(f32),
}

/// A clip between two bounds.
#[derive(Debug, Clone)]
struct Clip {
    name: &'static str,
    min: Option<Bound>,
    max: Option<Bound>,
}

fn read_clip(context: &ParsingContext, node: &NodeProto) -> TractResult<Read> {
    let (min, max) = if context.onnx_operator_set_version < 11 {
        let bound = |name| Ok::<_, TractError>(node.get_attr_opt::<f32>(name)?.map(Bound::Number));
        (bound("min")?, bound("max")?)
    } else {
        // tract passes only the inputs that are there.
        let has = |at: usize| node.input.get(at).is_some_and(|name| !name.is_empty());
        let min = has(1).then_some(Bound::Input(1));
        (min, has(2).then_some(Bound::Input(1 + usize::from(has(1)))))
    };
    Ok((expand(Clip { name: "Clip", min, max }), vec![]))
}

impl Expansion for Clip {
    fn name(&self) -> StaticName {
        self.name.into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_output_arity(outputs, 1)?;
        solver.equals(&inputs[0].datum_type, &outputs[0].datum_type)?;
        solver.equals(&inputs[0].shape, &outputs[0].shape)
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let datum = model.outlet_fact(inputs[0])?.datum_type;
        let mut clipped = inputs[0];
        for (name, bound, pair) in [("min", self.min, Pair::Max), ("max", self.max, Pair::Min)] {
            let name = format!("{prefix}.{name}");
            let bound = match bound {
                None => continue,
                Some(Bound::Input(at)) => *inputs.get(at).context("a bound is missing")?,
                Some(Bound::Number(number)) => model.add_const(format!("{name}.bound"), tensor0(number))?,
            };
            let bound = wire_cast(&name, model, &[bound], datum)?[0];
            clipped = wire_pair(&format!("{name}.applied"), model, pair, [clipped, bound])?;
        }
        Ok(tvec!(clipped))
    }
}
