//! OneHotEncoder: a column for each category.

use std::collections::HashMap;

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::operator::{Operator, Read, TensorType, node};
use super::{attributes, numbers};

const NAME: &str = "OneHotEncoder";

#[derive(Debug)]
struct OneHotEncoder {
    strings: HashMap<String, usize>,
    int64s: HashMap<i64, usize>,
    categories: usize,
    /// Whether an unknown category is a row of zeros. Otherwise it is an error.
    accepts_unknown: bool,
}

/// Reads a OneHotEncoder.
pub fn read(_: &ParsingContext, proto: &NodeProto) -> TractResult<Read> {
    let strings = attributes::strings(proto, "cats_strings")?;
    let int64s = attributes::integers(proto, "cats_int64s")?;
    if strings.is_empty() == int64s.is_empty() {
        bail!("{NAME} needs one of cats_strings and cats_int64s");
    }
    let encoder = OneHotEncoder {
        categories: strings.len() + int64s.len(),
        // The last of equal categories counts.
        strings: strings.into_iter().enumerate().map(|(index, category)| (category, index)).collect(),
        int64s: int64s.into_iter().enumerate().map(|(index, category)| (category, index)).collect(),
        accepts_unknown: proto.get_attr_opt::<i64>("zeros")?.unwrap_or(1) != 0,
    };
    Ok(node(encoder, proto))
}

impl Operator for OneHotEncoder {
    fn name(&self) -> &'static str {
        NAME
    }

    fn outputs(&self, inputs: &[TensorType]) -> TractResult<TVec<TensorType>> {
        let datums: &[_] = if self.int64s.is_empty() { &[DatumType::String] } else { &numbers::NUMBERS };
        let input = numbers::only_input(inputs, datums)?;
        let shape = input.shape.iter().cloned().chain([self.categories.to_dim()]);
        Ok(tvec!(TensorType::new(DatumType::F32, shape)))
    }

    fn run(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let input = &*inputs[0];
        let number = |category: i64| self.int64s.get(&category).copied();
        let places: Vec<Option<usize>> = match input.datum_type() {
            DatumType::String => {
                numbers::values::<String>(input)?.iter().map(|text| self.strings.get(text).copied()).collect()
            }
            DatumType::I64 => numbers::values::<i64>(input)?.iter().map(|value| number(*value)).collect(),
            DatumType::I32 => {
                numbers::values::<i32>(input)?.iter().map(|value| number(i64::from(*value))).collect()
            }
            DatumType::F64 => {
                numbers::values::<f64>(input)?.iter().map(|value| number(numbers::truncate(*value))).collect()
            }
            _ => {
                let values = numbers::values::<f32>(input)?.iter();
                values.map(|value| number(numbers::truncate(f64::from(*value)))).collect()
            }
        };
        if !self.accepts_unknown && places.contains(&None) {
            bail!("{NAME} found an unknown category, and its attribute zeros is 0");
        }
        let mut output = vec![0f32; places.len() * self.categories];
        for (index, place) in places.into_iter().enumerate() {
            if let Some(place) = place {
                output[index * self.categories + place] = 1.0;
            }
        }
        let shape: Vec<usize> = input.shape().iter().copied().chain([self.categories]).collect();
        Ok(tvec!(numbers::tensor(&shape, output)?))
    }
}
