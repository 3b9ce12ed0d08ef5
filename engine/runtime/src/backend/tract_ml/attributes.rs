//! Reads the attributes of nodes.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::{NodeProto, TensorProto};
use tract_onnx::tract_hir::internal::*;

use super::numbers;

/// Returns a list of numbers. An attribute that is missing is an empty list.
pub fn floats(node: &NodeProto, name: &str) -> TractResult<Vec<f32>> {
    Ok(node.get_attr_opt_slice::<f32>(name)?.unwrap_or_default().to_vec())
}

/// Returns a list of whole numbers. An attribute that is missing is an empty list.
pub fn integers(node: &NodeProto, name: &str) -> TractResult<Vec<i64>> {
    Ok(node.get_attr_opt_slice::<i64>(name)?.unwrap_or_default().to_vec())
}

/// Returns a list of strings. An attribute that is missing is an empty list.
pub fn strings(node: &NodeProto, name: &str) -> TractResult<Vec<String>> {
    Ok(node.get_attr_opt_vec::<String>(name)?.unwrap_or_default())
}

/// Returns a list of indices. An attribute that is missing is an empty list.
pub fn indices(node: &NodeProto, name: &str) -> TractResult<Vec<usize>> {
    let index = |value: i64| {
        usize::try_from(value).map_err(|_| format_err!("{name} of {} holds {value}", node.op_type))
    };
    integers(node, name)?.into_iter().map(index).collect()
}

/// Returns the tensor in an attribute. `None` if the attribute is missing or says nothing.
pub fn tensor(context: &ParsingContext, node: &NodeProto, name: &str) -> TractResult<Option<Tensor>> {
    let Some(tensor) = node.get_attr_opt::<&TensorProto>(name)? else { return Ok(None) };
    if tensor.data_type == 0 {
        return Ok(None);
    }
    context.load_tensor(tensor).map(Some)
}

/// Returns the numbers of the tensor in an attribute in double precision. `None` if the attribute is missing.
pub fn doubles(context: &ParsingContext, node: &NodeProto, name: &str) -> TractResult<Option<Vec<f64>>> {
    let Some(tensor) = tensor(context, node, name)? else { return Ok(None) };
    Ok(Some(numbers::values::<f64>(&*tensor.cast_to::<f64>()?)?.to_vec()))
}
