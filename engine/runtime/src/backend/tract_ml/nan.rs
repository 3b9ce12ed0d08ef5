//! Operators that keep NaN, as ONNX Runtime's do. tract's own return a number like any other, and a row that has no answer
//! would get one.

use tract_onnx::Onnx;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::broadcast::multi_broadcast;
use tract_onnx::tract_core::ops::cast::wire_cast;
use tract_onnx::tract_core::ops::change_axes::{wire_rank_broadcast, wire_with_rank_broadcast};
use tract_onnx::tract_core::ops::logic::Iff;
use tract_onnx::tract_core::ops::math;
use tract_onnx::tract_hir::internal::*;

use super::doubles::is_nan;
use super::operator::Read;

/// Registers the operators.
pub fn register(onnx: &mut Onnx) {
    let operators = &mut onnx.op_register;
    operators.insert("Clip", read_clip);
    operators.insert("Max", |_, _| Ok((expand(Extreme { largest: true }), vec![])));
    operators.insert("Min", |_, _| Ok((expand(Extreme { largest: false }), vec![])));
    operators.insert("Relu", |_, _| {
        Ok((expand(Clip { name: "Relu", min: Some(Bound::Number(0.0)), max: None }), vec![]))
    });
}

/// Puts back what is NaN in `sources` into `result`, which is computed of them element by element.
pub fn keep_nan(
    prefix: &str,
    model: &mut TypedModel,
    result: OutletId,
    sources: &[OutletId],
) -> TractResult<OutletId> {
    let mut kept = result;
    if !model.outlet_fact(result)?.datum_type.is_float() {
        return Ok(kept);
    }
    for (index, source) in sources.iter().enumerate() {
        let fact = model.outlet_fact(*source)?;
        if let Some(constant) = &fact.konst
            && !constant.cast_to::<f64>()?.to_plain_array_view::<f64>()?.iter().any(|value| value.is_nan())
        {
            continue;
        }
        let test = is_nan(fact.datum_type);
        let found = model.wire_node(format!("{prefix}.nan_{index}"), test, &[*source])?[0];
        let choice = [found, *source, kept];
        let choice = wire_rank_broadcast(format!("{prefix}.ranks_{index}"), model, &choice)?;
        kept = model.wire_node(format!("{prefix}.kept_{index}"), Iff, &choice)?[0];
    }
    Ok(kept)
}

/// Computes the larger or the smaller of two values.
fn wire_extreme(
    prefix: &str,
    model: &mut TypedModel,
    largest: bool,
    inputs: [OutletId; 2],
) -> TractResult<OutletId> {
    let operator = if largest { math::max() } else { math::min() };
    let result = wire_with_rank_broadcast(prefix, model, operator, &inputs)?[0];
    keep_nan(prefix, model, result, &inputs)
}

/// The largest or the smallest of all inputs.
#[derive(Debug, Clone)]
struct Extreme {
    largest: bool,
}

impl Expansion for Extreme {
    fn name(&self) -> StaticName {
        if self.largest { "Max".into() } else { "Min".into() }
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
            found = wire_extreme(&name, model, self.largest, [found, *other])?;
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
        for (name, bound, largest) in [("min", self.min, true), ("max", self.max, false)] {
            let name = format!("{prefix}.{name}");
            let bound = match bound {
                None => continue,
                Some(Bound::Input(at)) => *inputs.get(at).context("a bound is missing")?,
                Some(Bound::Number(number)) => model.add_const(format!("{name}.bound"), tensor0(number))?,
            };
            let bound = wire_cast(&name, model, &[bound], datum)?[0];
            clipped = wire_extreme(&format!("{name}.applied"), model, largest, [clipped, bound])?;
        }
        Ok(tvec!(clipped))
    }
}
