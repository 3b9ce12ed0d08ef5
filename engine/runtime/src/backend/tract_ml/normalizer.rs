//! Normalizer: divides each row by its norm.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::numbers;
use super::operator::{Operator, Read, TensorType, node};

const NAME: &str = "Normalizer";

#[derive(Debug, Clone, Copy)]
enum Normalizer {
    Max,
    L1,
    L2,
}

/// Reads a Normalizer.
pub fn read(_: &ParsingContext, proto: &NodeProto) -> TractResult<Read> {
    let normalizer = match proto.get_attr_opt::<&str>("norm")?.unwrap_or("MAX") {
        "MAX" => Normalizer::Max,
        "L1" => Normalizer::L1,
        "L2" => Normalizer::L2,
        other => bail!("{NAME} has no norm {other:?}"),
    };
    Ok(node(normalizer, proto))
}

impl Operator for Normalizer {
    fn name(&self) -> &'static str {
        NAME
    }

    fn outputs(&self, inputs: &[TensorType]) -> TractResult<TVec<TensorType>> {
        let input = numbers::only_input(inputs, &numbers::NUMBERS)?;
        input.matrix()?;
        Ok(tvec!(TensorType { datum: DatumType::F32, ..input.clone() }))
    }

    fn run(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let input = &*inputs[0];
        let (_, columns) = numbers::matrix_shape(input)?;
        let values = numbers::floats(input)?;
        // Squares of doubles and of whole numbers are not rounded before they are added.
        let squares: Vec<f32> = match input.datum_type() {
            DatumType::F64 => numbers::values::<f64>(input)?.iter().map(|x| (x * x) as f32).collect(),
            DatumType::I64 => {
                numbers::values::<i64>(input)?.iter().map(|x| x.wrapping_mul(*x) as f32).collect()
            }
            DatumType::I32 => {
                numbers::values::<i32>(input)?.iter().map(|x| x.wrapping_mul(*x) as f32).collect()
            }
            _ => values.iter().map(|x| x * x).collect(),
        };
        let rows = values.chunks(columns.max(1)).zip(squares.chunks(columns.max(1)));
        let normalized = rows.flat_map(|(row, squares)| self.normalize(row, squares));
        Ok(tvec!(numbers::tensor(input.shape(), normalized.collect())?))
    }
}

impl Normalizer {
    /// Divides a row by its norm. A row whose norm is 0 stays as it is.
    fn normalize(self, row: &[f32], squares: &[f32]) -> Vec<f32> {
        // A comparison with NaN is false, so that a NaN is never the greatest.
        let max = || row.iter().fold(f32::MIN, |max, value| if max < *value { *value } else { max });
        let norm: f32 = match self {
            Self::Max => max(),
            Self::L1 => row.iter().fold(0.0, |sum, value| sum + value.abs()),
            Self::L2 => squares.iter().fold(0.0, |sum, square| sum + square),
        };
        if norm == 0.0 {
            return row.to_vec();
        }
        match self {
            Self::Max | Self::L1 => row.iter().map(|value| value / norm).collect(),
            Self::L2 => {
                let root = |(value, square): (&f32, &f32)| {
                    let root = (square / norm).sqrt();
                    if *value < 0.0 { -root } else { root }
                };
                row.iter().zip(squares).map(root).collect()
            }
        }
    }
}
