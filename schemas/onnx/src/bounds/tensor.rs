//! Tensors: what they say of themselves and what they hold.

use super::BoundsError;
use crate::proto::TensorProto;
use crate::proto::tensor_proto::{DataLocation, DataType};

/// Refuses a tensor whose content is missing or does not fit its description.
pub fn check(tensor: &TensorProto) -> Result<(), BoundsError> {
    if tensor.data_location() == DataLocation::External || !tensor.external_data.is_empty() {
        let location = tensor.external_data.iter().find(|entry| entry.key() == "location");
        let file = location.map(|entry| entry.value().to_owned()).unwrap_or_default();
        return Err(BoundsError::ExternalData { tensor: tensor.name().to_owned(), file });
    }
    let contradicts = |problem: String| BoundsError::Tensor { tensor: tensor.name().to_owned(), problem };
    if tensor.segment.is_some() {
        return Err(contradicts("it is a part of another".to_owned()));
    }
    let elements = elements(&tensor.dims)
        .ok_or_else(|| contradicts(format!("its dimensions {:?} are no size", tensor.dims)))?;
    let Some(layout) = DataType::try_from(tensor.data_type()).ok().and_then(Layout::of) else {
        return Err(contradicts(format!("its elements are of the unknown type {}", tensor.data_type())));
    };
    let lists = [
        (List::Float, tensor.float_data.len()),
        (List::Int32, tensor.int32_data.len()),
        (List::Text, tensor.string_data.len()),
        (List::Int64, tensor.int64_data.len()),
        (List::Double, tensor.double_data.len()),
        (List::Uint64, tensor.uint64_data.len()),
    ];
    let raw = tensor.raw_data.as_ref().filter(|raw| !raw.is_empty());
    let is_whole = match raw {
        Some(raw) => {
            let bits = layout.bits.filter(|_| lists.iter().all(|(_, length)| *length == 0));
            bits.is_some_and(|bits| raw.len() as u64 == elements.saturating_mul(bits).div_ceil(8))
        }
        None => lists.iter().all(|(list, length)| {
            let expected = if *list == layout.list {
                elements.saturating_mul(layout.numbers).div_ceil(layout.packed)
            } else {
                0
            };
            *length as u64 == expected
        }),
    };
    if is_whole { Ok(()) } else { Err(contradicts(format!("it does not hold its {elements} elements"))) }
}

/// Returns how many elements a tensor of these dimensions has; `None` if there is no such tensor.
pub fn elements(dims: &[i64]) -> Option<u64> {
    dims.iter().try_fold(1_u64, |elements, dim| elements.checked_mul(u64::try_from(*dim).ok()?))
}

/// The list that holds a tensor's elements.
#[derive(PartialEq, Eq)]
enum List {
    Float,
    Int32,
    Text,
    Int64,
    Double,
    Uint64,
}

/// The storage layout of a type's elements.
struct Layout {
    /// The bits of an element in raw data; `None` where there can be no raw data.
    bits: Option<u64>,
    /// The list for elements that are not in raw data.
    list: List,
    /// The numbers of the list that make an element.
    numbers: u64,
    /// The elements that a number of the list holds.
    packed: u64,
}

impl Layout {
    fn of(data_type: DataType) -> Option<Self> {
        let layout = |bits, list| Self { bits: Some(bits), list, numbers: 1, packed: 1 };
        Some(match data_type {
            // ONNX 1.23 lists the last two, but does not specify their encoding yet.
            DataType::Undefined | DataType::Float6e2m3 | DataType::Float6e3m2 => return None,
            DataType::Float => layout(32, List::Float),
            DataType::Double => layout(64, List::Double),
            DataType::Complex64 => Self { numbers: 2, ..layout(64, List::Float) },
            DataType::Complex128 => Self { numbers: 2, ..layout(128, List::Double) },
            DataType::Int64 => layout(64, List::Int64),
            DataType::Uint64 => layout(64, List::Uint64),
            DataType::Uint32 => layout(32, List::Uint64),
            DataType::Int32 => layout(32, List::Int32),
            DataType::Int16 | DataType::Uint16 | DataType::Float16 | DataType::Bfloat16 => {
                layout(16, List::Int32)
            }
            DataType::Int4 | DataType::Uint4 | DataType::Float4e2m1 => {
                Self { packed: 2, ..layout(4, List::Int32) }
            }
            DataType::Int2 | DataType::Uint2 => Self { packed: 4, ..layout(2, List::Int32) },
            DataType::String => Self { bits: None, ..layout(0, List::Text) },
            // Booleans, whole numbers and floats of 8 bits.
            _ => layout(8, List::Int32),
        })
    }
}
