//! Binarizer: 1 for values above a threshold.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::numbers;
use super::operator::{Operator, Read, TensorType, node};

const NAME: &str = "Binarizer";

#[derive(Debug)]
struct Binarizer {
    threshold: f32,
}

/// Reads a Binarizer.
pub fn read(_: &ParsingContext, proto: &NodeProto) -> TractResult<Read> {
    Ok(node(Binarizer { threshold: proto.get_attr_opt("threshold")?.unwrap_or(0.0) }, proto))
}

impl Operator for Binarizer {
    fn name(&self) -> &'static str {
        NAME
    }

    fn outputs(&self, inputs: &[TensorType]) -> TractResult<TVec<TensorType>> {
        Ok(tvec!(numbers::only_input(inputs, &[DatumType::F32])?.clone()))
    }

    fn run(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let values = numbers::values::<f32>(&inputs[0])?;
        if values.iter().any(|value| value.is_nan()) {
            bail!("{NAME} does not take missing values: impute them before it");
        }
        let values = values.iter().map(|value| if *value > self.threshold { 1f32 } else { 0.0 });
        Ok(tvec!(numbers::tensor(inputs[0].shape(), values.collect())?))
    }
}
