//! Imputer: replaces a value that stands for a missing one.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::operator::{Operator, Read, TensorType, node};
use super::{attributes, numbers};

const NAME: &str = "Imputer";

#[derive(Debug)]
enum Imputer {
    Floats { replaced: f32, imputed: Vec<f32> },
    Int64s { replaced: i64, imputed: Vec<i64> },
}

/// Reads an Imputer.
pub fn read(_: &ParsingContext, proto: &NodeProto) -> TractResult<Read> {
    let floats = attributes::floats(proto, "imputed_value_floats")?;
    let int64s = attributes::integers(proto, "imputed_value_int64s")?;
    let imputer = match (floats.is_empty(), int64s.is_empty()) {
        (false, true) => Imputer::Floats {
            replaced: proto.get_attr_opt("replaced_value_float")?.unwrap_or(0.0),
            imputed: floats,
        },
        (true, false) => Imputer::Int64s {
            replaced: proto.get_attr_opt("replaced_value_int64")?.unwrap_or(0),
            imputed: int64s,
        },
        _ => bail!("{NAME} needs one of imputed_value_floats and imputed_value_int64s"),
    };
    Ok(node(imputer, proto))
}

impl Operator for Imputer {
    fn name(&self) -> &'static str {
        NAME
    }

    fn outputs(&self, inputs: &[TensorType]) -> TractResult<TVec<TensorType>> {
        let datum = match self {
            Self::Floats { .. } => DatumType::F32,
            Self::Int64s { .. } => DatumType::I64,
        };
        let input = numbers::only_input(inputs, &[datum])?;
        if input.shape.is_empty() {
            bail!("{NAME} does not take a scalar");
        }
        Ok(tvec!(input.clone()))
    }

    fn run(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let output = match self {
            Self::Floats { replaced, imputed } => {
                let is_missing = |value: f32| value == *replaced || value.is_nan() && replaced.is_nan();
                impute(&inputs[0], imputed, is_missing)?
            }
            Self::Int64s { replaced, imputed } => impute(&inputs[0], imputed, |value| value == *replaced)?,
        };
        Ok(tvec!(output))
    }
}

/// Replaces missing values by the one for their column, or by the first if there is not one for each column.
fn impute<T: Datum + Copy>(
    input: &Tensor,
    imputed: &[T],
    is_missing: impl Fn(T) -> bool,
) -> TractResult<Tensor> {
    let columns = input.shape().get(1).or(input.shape().first()).copied().unwrap_or(1);
    let imputed = if imputed.len() == columns { imputed } else { &imputed[..1] };
    let values = numbers::values::<T>(input)?.iter().zip(imputed.iter().cycle());
    let values = values.map(|(value, imputed)| if is_missing(*value) { *imputed } else { *value });
    numbers::tensor(input.shape(), values.collect())
}
