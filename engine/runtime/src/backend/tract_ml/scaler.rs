//! Scaler: subtracts an offset and multiplies by a factor.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::operator::{Operator, Read, TensorType, node};
use super::{attributes, numbers};

const NAME: &str = "Scaler";

#[derive(Debug)]
struct Scaler {
    offset: Vec<f32>,
    scale: Vec<f32>,
}

/// Reads a Scaler.
pub fn read(_: &ParsingContext, proto: &NodeProto) -> TractResult<Read> {
    let [offset, scale] = ["offset", "scale"].map(|name| attributes::floats(proto, name));
    let scaler = Scaler { offset: offset?, scale: scale? };
    if scaler.scale.is_empty() || scaler.scale.len() != scaler.offset.len() {
        bail!("{NAME} needs an offset for each of its {} scales", scaler.scale.len());
    }
    Ok(node(scaler, proto))
}

impl Operator for Scaler {
    fn name(&self) -> &'static str {
        NAME
    }

    fn outputs(&self, inputs: &[TensorType]) -> TractResult<TVec<TensorType>> {
        let input = numbers::only_input(inputs, &numbers::NUMBERS)?;
        if input.shape.is_empty() {
            bail!("{NAME} does not take a scalar");
        }
        Ok(tvec!(TensorType { datum: DatumType::F32, ..input.clone() }))
    }

    fn run(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let input = &*inputs[0];
        let columns = input.shape().get(1).or(input.shape().first()).copied().unwrap_or(1);
        if self.scale.len() != 1 && self.scale.len() != columns {
            bail!("{NAME} has {} scales for {columns} columns", self.scale.len());
        }
        let factors = || self.offset.iter().zip(&self.scale).cycle();
        // Double precision is kept until the end.
        let scaled: Vec<f32> = if input.datum_type() == DatumType::F64 {
            let values = numbers::values::<f64>(input)?.iter().zip(factors());
            let scaled = |(value, (offset, scale)): (&f64, (&f32, &f32))| {
                (value - f64::from(*offset)) * f64::from(*scale)
            };
            values.map(|pair| scaled(pair) as f32).collect()
        } else {
            let values = numbers::floats(input)?;
            values.iter().zip(factors()).map(|(value, (offset, scale))| (value - offset) * scale).collect()
        };
        Ok(tvec!(numbers::tensor(input.shape(), scaled)?))
    }
}
