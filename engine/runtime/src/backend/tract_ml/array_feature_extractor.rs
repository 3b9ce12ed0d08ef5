//! ArrayFeatureExtractor: chooses columns by their indices.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::numbers;
use super::operator::{Operator, Read, TensorType, node};

const NAME: &str = "ArrayFeatureExtractor";

#[derive(Debug)]
struct ArrayFeatureExtractor;

/// Reads an ArrayFeatureExtractor.
pub fn read(_: &ParsingContext, proto: &NodeProto) -> TractResult<Read> {
    Ok(node(ArrayFeatureExtractor, proto))
}

impl Operator for ArrayFeatureExtractor {
    fn name(&self) -> &'static str {
        NAME
    }

    fn outputs(&self, inputs: &[TensorType]) -> TractResult<TVec<TensorType>> {
        let [data, indices] = inputs else { bail!("{NAME} has {} inputs, not two", inputs.len()) };
        if indices.datum != DatumType::I64 {
            bail!("{NAME} takes indices of type I64, not {:?}", indices.datum);
        }
        let chosen: TDim = indices.shape.iter().product();
        let shape: TVec<TDim> = match &*data.shape {
            [] => bail!("{NAME} does not take a scalar"),
            [_] => tvec!(1.to_dim(), chosen),
            [before @ .., _] => before.iter().cloned().chain([chosen]).collect(),
        };
        Ok(tvec!(TensorType { datum: data.datum, shape }))
    }

    fn run(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let (data, indices) = (&*inputs[0], numbers::values::<i64>(&inputs[1])?);
        let columns = data.shape().last().copied().unwrap_or(0);
        let index = |index: &i64| usize::try_from(*index).ok().filter(|index| *index < columns);
        let chosen: Option<Vec<usize>> = indices.iter().map(index).collect();
        let Some(chosen) = chosen.filter(|chosen| !chosen.is_empty()) else {
            bail!("{NAME} needs indices from 0 to {}, not {indices:?}", columns.saturating_sub(1));
        };
        Ok(tvec!(dispatch_datum!(extract(data.datum_type())(data, columns, &chosen))?))
    }
}

fn extract<T: Datum>(data: &Tensor, columns: usize, chosen: &[usize]) -> TractResult<Tensor> {
    let rows = numbers::values::<T>(data)?.chunks(columns);
    let output = rows.flat_map(|row| chosen.iter().map(|index| row[*index].clone())).collect();
    let shape: Vec<usize> = match data.shape() {
        [before @ .., _] if !before.is_empty() => before.iter().copied().chain([chosen.len()]).collect(),
        _ => vec![1, chosen.len()],
    };
    numbers::tensor(&shape, output)
}
