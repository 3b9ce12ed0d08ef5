//! LabelEncoder and CategoryMapper: replace each value by the one that a list pairs it with.

use std::collections::HashMap;

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::operator::{Operator, Read, TensorType, node};
use super::{attributes, numbers};

const ENCODER: &str = "LabelEncoder";
const MAPPER: &str = "CategoryMapper";
const DEFAULT_STRING: &str = "_Unused";
const DEFAULT_INT64: i64 = -1;
const DEFAULT_FLOAT: f32 = -0.0;
/// The version of ai.onnx.ml since which NaN is a key like any other.
const NAN_IS_A_KEY: i64 = 4;

/// Pairs of keys and values, of one type each.
#[derive(Debug)]
struct Pairs {
    name: &'static str,
    keys: Keys,
    /// One value for each key.
    values: Tensor,
    /// The value for all other keys, of shape `[1]`.
    default: Tensor,
}

/// The index of each key.
#[derive(Debug)]
enum Keys {
    Strings(HashMap<String, usize>),
    Int64s(HashMap<i64, usize>),
    Floats(HashMap<u32, usize>),
    Doubles(HashMap<u64, usize>),
    Int16s(HashMap<i16, usize>),
}

/// What is done with an input of either type.
#[derive(Debug)]
struct TwoWays {
    name: &'static str,
    of_strings: Pairs,
    of_int64s: Pairs,
}

/// Reads a LabelEncoder of any version.
pub fn read(context: &ParsingContext, proto: &NodeProto) -> TractResult<Read> {
    let classes = attributes::strings(proto, "classes_strings")?;
    if !classes.is_empty() {
        let indices = (0..classes.len() as i64).collect();
        return Ok(node(two_ways(ENCODER, proto, classes, indices)?, proto));
    }
    let Some(keys) = list(context, proto, "keys")? else { bail!("{ENCODER} has no keys") };
    let Some(values) = list(context, proto, "values")? else { bail!("{ENCODER} has no values") };
    let nan_is_a_key = ml_version(context) >= NAN_IS_A_KEY;
    let default = match attributes::tensor(context, proto, "default_tensor")? {
        Some(default) if default.len() == 1 => default.cast_to_dt(values.datum_type())?.into_owned(),
        Some(default) => bail!("{ENCODER} has {} values in default_tensor, not one", default.len()),
        None => default_of(proto, values.datum_type())?,
    };
    let default = default.into_shape(&[1])?;
    Ok(node(Pairs::new(ENCODER, &keys, values, default, nan_is_a_key)?, proto))
}

/// Reads a CategoryMapper.
pub fn read_category_mapper(_: &ParsingContext, proto: &NodeProto) -> TractResult<Read> {
    let strings = attributes::strings(proto, "cats_strings")?;
    let int64s = attributes::integers(proto, "cats_int64s")?;
    Ok(node(two_ways(MAPPER, proto, strings, int64s)?, proto))
}

fn two_ways(
    name: &'static str,
    proto: &NodeProto,
    strings: Vec<String>,
    int64s: Vec<i64>,
) -> TractResult<TwoWays> {
    // The last of equal keys counts here, and the first elsewhere.
    let strings: Vec<String> = strings.into_iter().rev().collect();
    let int64s: Vec<i64> = int64s.into_iter().rev().collect();
    let (strings, int64s) = (tensor1(&strings), tensor1(&int64s));
    let pairs = |keys: &Tensor, values: &Tensor| {
        let default = default_of(proto, values.datum_type())?.into_shape(&[1])?;
        Pairs::new(name, keys, values.clone(), default, false)
    };
    Ok(TwoWays { name, of_strings: pairs(&strings, &int64s)?, of_int64s: pairs(&int64s, &strings)? })
}

/// Reads the list of keys or of values, which is in one of four attributes.
fn list(context: &ParsingContext, proto: &NodeProto, kind: &str) -> TractResult<Option<Tensor>> {
    let name = |datums: &str| format!("{kind}_{datums}");
    if let Some(strings) = proto.get_attr_opt_vec::<String>(&name("strings"))? {
        return Ok(Some(tensor1(&strings)));
    }
    if let Some(int64s) = proto.get_attr_opt_slice::<i64>(&name("int64s"))? {
        return Ok(Some(tensor1(int64s)));
    }
    if let Some(floats) = proto.get_attr_opt_slice::<f32>(&name("floats"))? {
        return Ok(Some(tensor1(floats)));
    }
    let Some(tensor) = attributes::tensor(context, proto, &name("tensor"))? else { return Ok(None) };
    let length = tensor.len();
    Ok(Some(tensor.into_shape(&[length])?))
}

/// Returns the value for unknown keys that the attributes state, or ONNX's.
fn default_of(proto: &NodeProto, datum: DatumType) -> TractResult<Tensor> {
    Ok(match datum {
        DatumType::String => {
            let default: Option<String> = proto.get_attr_opt("default_string")?;
            tensor0(default.unwrap_or_else(|| DEFAULT_STRING.to_owned()))
        }
        DatumType::F32 => tensor0(proto.get_attr_opt::<f32>("default_float")?.unwrap_or(DEFAULT_FLOAT)),
        DatumType::F64 => {
            tensor0(f64::from(proto.get_attr_opt::<f32>("default_float")?.unwrap_or(DEFAULT_FLOAT)))
        }
        _ => {
            let default = proto.get_attr_opt::<i64>("default_int64")?.unwrap_or(DEFAULT_INT64);
            tensor0(default).cast_to_dt(datum)?.into_owned()
        }
    })
}

/// Returns the version of ai.onnx.ml that the file states.
fn ml_version(context: &ParsingContext) -> i64 {
    let imported = context.model.opset_import.iter().find(|import| import.domain == "ai.onnx.ml");
    imported.map_or(1, |import| import.version)
}

impl Pairs {
    fn new(
        name: &'static str,
        keys: &Tensor,
        values: Tensor,
        default: Tensor,
        nan_is_a_key: bool,
    ) -> TractResult<Self> {
        if keys.len() != values.len() {
            bail!("{name} has {} keys and {} values", keys.len(), values.len());
        }
        let keys = match keys.datum_type() {
            DatumType::String => Keys::Strings(first_of(numbers::values::<String>(keys)?.iter().cloned())),
            DatumType::I64 => Keys::Int64s(first_of(numbers::values::<i64>(keys)?.iter().copied())),
            DatumType::I16 => Keys::Int16s(first_of(numbers::values::<i16>(keys)?.iter().copied())),
            DatumType::F32 => {
                let mut keys = first_of(numbers::values::<f32>(keys)?.iter().map(|key| float_key(*key)));
                keys.retain(|key, _| nan_is_a_key || !f32::from_bits(*key).is_nan());
                Keys::Floats(keys)
            }
            DatumType::F64 => {
                let mut keys = first_of(numbers::values::<f64>(keys)?.iter().map(|key| double_key(*key)));
                keys.retain(|key, _| nan_is_a_key || !f64::from_bits(*key).is_nan());
                Keys::Doubles(keys)
            }
            other => bail!("{name} does not take keys of type {other:?}"),
        };
        Ok(Self { name, keys, values, default })
    }

    fn key_datum(&self) -> DatumType {
        match self.keys {
            Keys::Strings(_) => DatumType::String,
            Keys::Int64s(_) => DatumType::I64,
            Keys::Floats(_) => DatumType::F32,
            Keys::Doubles(_) => DatumType::F64,
            Keys::Int16s(_) => DatumType::I16,
        }
    }

    fn find(&self, input: &Tensor) -> TractResult<Vec<Option<usize>>> {
        Ok(match &self.keys {
            Keys::Strings(keys) => {
                numbers::values::<String>(input)?.iter().map(|key| keys.get(key).copied()).collect()
            }
            Keys::Int64s(keys) => {
                numbers::values::<i64>(input)?.iter().map(|key| keys.get(key).copied()).collect()
            }
            Keys::Floats(keys) => {
                let values = numbers::values::<f32>(input)?.iter();
                values.map(|key| keys.get(&float_key(*key)).copied()).collect()
            }
            Keys::Doubles(keys) => {
                let values = numbers::values::<f64>(input)?.iter();
                values.map(|key| keys.get(&double_key(*key)).copied()).collect()
            }
            Keys::Int16s(keys) => {
                numbers::values::<i16>(input)?.iter().map(|key| keys.get(key).copied()).collect()
            }
        })
    }
}

/// Returns the index of the first of equal keys.
fn first_of<K: Eq + std::hash::Hash>(keys: impl Iterator<Item = K>) -> HashMap<K, usize> {
    let mut first = HashMap::new();
    for (index, key) in keys.enumerate() {
        first.entry(key).or_insert(index);
    }
    first
}

/// Returns bits that are equal if the numbers are, or if both are NaN.
fn float_key(key: f32) -> u32 {
    if key.is_nan() { f32::NAN.to_bits() } else { (key + 0.0).to_bits() }
}

/// Returns bits that are equal if the numbers are, or if both are NaN.
fn double_key(key: f64) -> u64 {
    if key.is_nan() { f64::NAN.to_bits() } else { (key + 0.0).to_bits() }
}

impl Operator for Pairs {
    fn name(&self) -> &'static str {
        self.name
    }

    fn outputs(&self, inputs: &[TensorType]) -> TractResult<TVec<TensorType>> {
        let input = numbers::only_input(inputs, &[self.key_datum()])?;
        Ok(tvec!(TensorType { datum: self.values.datum_type(), ..input.clone() }))
    }

    fn run(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let found = self.find(&inputs[0])?;
        let values = dispatch_datum!(choose(self.values.datum_type())(
            &self.values,
            &self.default,
            &found,
            inputs[0].shape()
        ));
        Ok(tvec!(values?))
    }
}

fn choose<T: Datum>(
    values: &Tensor,
    default: &Tensor,
    found: &[Option<usize>],
    shape: &[usize],
) -> TractResult<Tensor> {
    let (values, [default]) = (numbers::values::<T>(values)?, numbers::values::<T>(default)?) else {
        bail!("there is no value for unknown keys");
    };
    let chosen = found.iter().map(|index| index.map_or(default, |index| &values[index]).clone());
    numbers::tensor(shape, chosen.collect())
}

impl TwoWays {
    fn of(&self, datum: DatumType) -> &Pairs {
        if datum == DatumType::String { &self.of_strings } else { &self.of_int64s }
    }
}

impl Operator for TwoWays {
    fn name(&self) -> &'static str {
        self.name
    }

    fn outputs(&self, inputs: &[TensorType]) -> TractResult<TVec<TensorType>> {
        let input = numbers::only_input(inputs, &[DatumType::String, DatumType::I64])?;
        self.of(input.datum).outputs(inputs)
    }

    fn run(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        self.of(inputs[0].datum_type()).run(inputs)
    }
}
