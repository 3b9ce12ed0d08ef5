//! Values that go to an external graph as they are, because the matrix of single precision cannot hold them.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use crate::golden::GoldenValue;
use crate::predictions::{Numbers, TypedArray, TypedValues};

/// A value that goes to an external graph as it is.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub enum Kept {
    /// Nothing was given.
    #[default]
    Missing,
    /// A string.
    Text(String),
    /// Any other value or list of values. A single value has no dimensions.
    Array(TypedArray),
}

/// The type of a value that goes to an external graph as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeptType {
    /// The type of its elements.
    pub element: KeptElement,
    /// The shape of the value in a row: empty for a single value, and `null` for a size that may vary.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shape: Vec<Option<usize>>,
}

/// The type of the elements of a value that goes to an external graph as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeptElement {
    /// A number of single precision; missing is NaN.
    Single,
    /// A number of double precision; missing is NaN.
    Double,
    /// A whole number.
    Integer {
        /// The smallest one.
        min: i64,
        /// The largest one.
        max: i64,
    },
    /// A whole number of 64 bits without a sign.
    Unsigned,
    /// A Boolean.
    Boolean,
    /// A string.
    Text,
}

/// A scalar as a request holds it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scalar<'a> {
    /// `null`.
    Null,
    /// A number that is written without a fraction and an exponent.
    Integer(i128),
    /// Any other number.
    Float(f64),
    /// A Boolean.
    Boolean(bool),
    /// A string.
    Text(&'a str),
}

impl KeptElement {
    /// Returns whether a missing value can be represented.
    pub fn has_missing(self) -> bool {
        matches!(self, Self::Single | Self::Double)
    }

    /// Returns a list without elements.
    pub fn empty(self) -> TypedValues {
        match self {
            Self::Single => TypedValues::Numbers(Numbers::Single(Vec::new())),
            Self::Double => TypedValues::Numbers(Numbers::Double(Vec::new())),
            Self::Integer { .. } => TypedValues::Integers(Vec::new()),
            Self::Unsigned => TypedValues::Unsigned(Vec::new()),
            Self::Boolean => TypedValues::Booleans(Vec::new()),
            Self::Text => TypedValues::Texts(Vec::new()),
        }
    }

    /// Adds a scalar to a list of this type. Returns whether the type holds it without changing it. Decimal fractions
    /// are rounded to the nearest number of the type.
    #[must_use]
    pub fn push(self, values: &mut TypedValues, scalar: Scalar<'_>) -> bool {
        match (self, values) {
            (Self::Single, TypedValues::Numbers(Numbers::Single(list))) => {
                add(list, real(scalar).map(|number| number as f32).filter(|number| !number.is_infinite()))
            }
            (Self::Double, TypedValues::Numbers(Numbers::Double(list))) => add(list, exact_real(scalar)),
            (Self::Integer { min, max }, TypedValues::Integers(list)) => {
                let integer = whole(scalar).and_then(|number| i64::try_from(number).ok());
                add(list, integer.filter(|number| (min..=max).contains(number)))
            }
            (Self::Unsigned, TypedValues::Unsigned(list)) => {
                add(list, whole(scalar).and_then(|number| u64::try_from(number).ok()))
            }
            (Self::Boolean, TypedValues::Booleans(list)) => add(list, truth(scalar)),
            (Self::Text, TypedValues::Texts(list)) => match scalar {
                Scalar::Text(text) => add(list, Some(text.to_owned())),
                _ => false,
            },
            _ => false,
        }
    }

    /// Describes an element.
    fn expected(self) -> String {
        match self {
            Self::Single | Self::Double => "a number".to_owned(),
            Self::Integer { min: i64::MIN, max: i64::MAX } => "a whole number of 64 bits".to_owned(),
            Self::Integer { min, max } => format!("a whole number from {min} to {max}"),
            Self::Unsigned => format!("a whole number from 0 to {}", u64::MAX),
            Self::Boolean => "true or false, or 1 or 0".to_owned(),
            Self::Text => "a string".to_owned(),
        }
    }
}

fn add<T>(list: &mut Vec<T>, value: Option<T>) -> bool {
    let is_held = value.is_some();
    list.extend(value);
    is_held
}

/// The whole numbers of which each has a number of double precision of its own are below this: 2^53.
const EXACT: f64 = 9_007_199_254_740_992.0;

fn real(scalar: Scalar<'_>) -> Option<f64> {
    match scalar {
        Scalar::Null => Some(f64::NAN),
        Scalar::Integer(number) => Some(number as f64),
        Scalar::Float(number) => Some(number),
        Scalar::Boolean(_) | Scalar::Text(_) => None,
    }
}

/// Returns a number in double precision. `None` for a whole number that double precision would change.
fn exact_real(scalar: Scalar<'_>) -> Option<f64> {
    let number = real(scalar)?;
    match scalar {
        Scalar::Integer(whole) if number as i128 != whole => None,
        _ => Some(number),
    }
}

fn whole(scalar: Scalar<'_>) -> Option<i128> {
    match scalar {
        Scalar::Integer(number) => Some(number),
        // Beyond this, several whole numbers are one number of double precision.
        Scalar::Float(number) if number.fract() == 0.0 && number.abs() < EXACT => Some(number as i128),
        Scalar::Null | Scalar::Float(_) | Scalar::Boolean(_) | Scalar::Text(_) => None,
    }
}

fn truth(scalar: Scalar<'_>) -> Option<bool> {
    match scalar {
        Scalar::Boolean(value) => Some(value),
        Scalar::Text("true") | Scalar::Integer(1) => Some(true),
        Scalar::Text("false") | Scalar::Integer(0) => Some(false),
        Scalar::Float(number) => [0.0, 1.0].contains(&number).then_some(number == 1.0),
        Scalar::Null | Scalar::Integer(_) | Scalar::Text(_) => None,
    }
}

impl KeptType {
    /// Creates the type of a single value.
    pub fn single(element: KeptElement) -> Self {
        Self { element, shape: Vec::new() }
    }

    /// Keeps a single value. `None` if the type does not hold it, or holds lists.
    pub fn keep(&self, scalar: Scalar<'_>) -> Option<Kept> {
        if !self.shape.is_empty() {
            return None;
        }
        let mut values = self.element.empty();
        let is_held = self.element.push(&mut values, scalar);
        is_held.then(|| Kept::Array(TypedArray { shape: Vec::new(), values }))
    }

    /// Keeps a value of a golden row or an example. `None` if the type does not hold it.
    pub fn keep_golden(&self, value: &GoldenValue) -> Option<Kept> {
        let mut array = ArrayBuilder::new(self);
        array.add_golden(value, 0).then(|| array.finish())
    }

    /// Returns whether this type holds every value that another one holds.
    pub(crate) fn holds_all_of(&self, other: &Self) -> bool {
        let element = match (self.element, other.element) {
            (KeptElement::Integer { min, max }, KeptElement::Integer { min: least, max: most }) => {
                min <= least && most <= max
            }
            (one, other) => one == other,
        };
        let sizes = self.shape.iter().zip(&other.shape);
        let fits = |(size, other): (&Option<usize>, &Option<usize>)| size.is_none() || size == other;
        element && self.shape.len() == other.shape.len() && sizes.into_iter().all(fits)
    }

    /// Describes the value: the `expected` of a violation.
    pub fn expected(&self) -> String {
        let mut text = String::new();
        for size in &self.shape {
            let count = size.map_or_else(|| "some".to_owned(), |size| size.to_string());
            // Writing to a String cannot fail.
            let _ = write!(text, "a list of {count}, each ");
        }
        text + &self.element.expected()
    }
}

/// Collects the elements of nested lists, and holds their lengths against a type.
#[derive(Debug)]
pub struct ArrayBuilder<'a> {
    kept: &'a KeptType,
    /// The length of the lists at each depth, once one has ended.
    shape: Vec<Option<usize>>,
    values: TypedValues,
}

impl<'a> ArrayBuilder<'a> {
    /// Begins an array of this type.
    pub fn new(kept: &'a KeptType) -> Self {
        Self { kept, shape: vec![None; kept.shape.len()], values: kept.element.empty() }
    }

    /// Adds a scalar that lies in this many lists. Returns whether the type has it there.
    #[must_use]
    pub fn add(&mut self, scalar: Scalar<'_>, depth: usize) -> bool {
        depth == self.shape.len() && self.kept.element.push(&mut self.values, scalar)
    }

    /// Ends a list that lies in this many others. Returns whether it may have this length: the declared one, or else
    /// that of the lists beside it.
    #[must_use]
    pub fn end_list(&mut self, len: usize, depth: usize) -> bool {
        let Some((declared, seen)) = self.kept.shape.get(depth).zip(self.shape.get_mut(depth)) else {
            return false;
        };
        declared.is_none_or(|declared| declared == len) && *seen.get_or_insert(len) == len
    }

    /// Returns the array.
    pub fn finish(self) -> Kept {
        // Of a list without items, the lists in it have the declared lengths.
        let sizes = self.shape.into_iter().zip(&self.kept.shape);
        let shape = sizes.map(|(seen, declared)| seen.or(*declared).unwrap_or_default()).collect();
        Kept::Array(TypedArray { shape, values: self.values })
    }

    fn add_golden(&mut self, value: &GoldenValue, depth: usize) -> bool {
        match value {
            GoldenValue::Array(items) => {
                items.iter().all(|item| self.add_golden(item, depth + 1)) && self.end_list(items.len(), depth)
            }
            scalar => self.add(scalar.as_scalar(), depth),
        }
    }
}
