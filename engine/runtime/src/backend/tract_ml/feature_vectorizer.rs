//! FeatureVectorizer: puts columns beside one another.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::operator::{Operator, Read, TensorType, node};
use super::{attributes, numbers};

const NAME: &str = "FeatureVectorizer";

#[derive(Debug)]
struct FeatureVectorizer {
    /// The number of columns that each input has in the output.
    widths: Vec<usize>,
}

/// Reads a FeatureVectorizer.
pub fn read(_: &ParsingContext, proto: &NodeProto) -> TractResult<Read> {
    Ok(node(FeatureVectorizer { widths: attributes::indices(proto, "inputdimensions")? }, proto))
}

impl Operator for FeatureVectorizer {
    fn name(&self) -> &'static str {
        NAME
    }

    fn outputs(&self, inputs: &[TensorType]) -> TractResult<TVec<TensorType>> {
        if inputs.is_empty() || inputs.len() != self.widths.len() {
            bail!("{NAME} has {} inputs and {} inputdimensions", inputs.len(), self.widths.len());
        }
        for input in inputs {
            numbers::only_input(std::slice::from_ref(input), &numbers::NUMBERS)?.matrix()?;
        }
        let (rows, _) = inputs[0].matrix()?;
        let columns: usize = self.widths.iter().sum();
        Ok(tvec!(TensorType::new(DatumType::F32, [rows, columns.to_dim()])))
    }

    fn run(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let (rows, _) = numbers::matrix_shape(&inputs[0])?;
        let columns: usize = self.widths.iter().sum();
        let mut output = vec![0f32; rows * columns];
        let mut start = 0;
        for (input, width) in inputs.iter().zip(&self.widths) {
            let (input_rows, input_columns) = numbers::matrix_shape(input)?;
            if input_rows != rows {
                bail!("{NAME} has inputs of {rows} and of {input_rows} rows");
            }
            // Further columns are ignored, and missing ones are zeros.
            let copied = input_columns.min(*width);
            let values = numbers::floats(input)?;
            let rows = output.chunks_mut(columns.max(1)).zip(values.chunks(input_columns.max(1)));
            for (row, values) in rows {
                row[start..start + copied].copy_from_slice(&values[..copied]);
            }
            start += width;
        }
        Ok(tvec!(numbers::tensor(&[rows, columns], output)?))
    }
}
