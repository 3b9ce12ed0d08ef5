//! Reads tensors, and converts numbers as ONNX Runtime does.

use std::borrow::Cow;

use tract_onnx::tract_hir::internal::*;

use super::operator::TensorType;

/// The types of numbers that most operators take.
pub const NUMBERS: [DatumType; 4] = [DatumType::F32, DatumType::F64, DatumType::I64, DatumType::I32];

/// Returns the only input. Rejects it unless it is of one of these types.
pub fn only_input<'a>(inputs: &'a [TensorType], datums: &[DatumType]) -> TractResult<&'a TensorType> {
    let [input] = inputs else { bail!("it has {} inputs, not one", inputs.len()) };
    if !datums.contains(&input.datum) {
        bail!("it does not take an input of type {:?}", input.datum);
    }
    Ok(input)
}

/// Returns the values of a tensor, row after row.
pub fn values<T: Datum>(tensor: &Tensor) -> TractResult<&[T]> {
    tensor.as_plain_ram().context("the tensor is not in memory")?.as_slice::<T>()
}

/// Returns a tensor with these values.
pub fn tensor<T: Datum>(shape: &[usize], values: Vec<T>) -> TractResult<Tensor> {
    Ok(tract_ndarray::ArrayD::from_shape_vec(shape, values)?.into_tensor())
}

/// Returns numbers in single precision.
pub fn floats(tensor: &Tensor) -> TractResult<Cow<'_, [f32]>> {
    Ok(match tensor.datum_type() {
        DatumType::F32 => Cow::Borrowed(values::<f32>(tensor)?),
        DatumType::F64 => values::<f64>(tensor)?.iter().map(|value| *value as f32).collect(),
        DatumType::I64 => values::<i64>(tensor)?.iter().map(|value| *value as f32).collect(),
        DatumType::I32 => values::<i32>(tensor)?.iter().map(|value| *value as f32).collect(),
        other => bail!("it does not take an input of type {other:?}"),
    })
}

/// Returns the number of rows and of columns of a tensor. A vector is one row.
pub fn matrix_shape(tensor: &Tensor) -> TractResult<(usize, usize)> {
    match tensor.shape() {
        [columns] => Ok((1, *columns)),
        [rows, columns] => Ok((*rows, *columns)),
        shape => bail!("the input has {} dimensions, not rows and columns", shape.len()),
    }
}

/// Converts to a whole number as the processor does, which has one number for all that do not fit. Rust's `as`
/// has three.
pub fn truncate(value: f64) -> i64 {
    let fits = (-(2f64.powi(63))..2f64.powi(63)).contains(&value);
    if fits { value as i64 } else { i64::MIN }
}
