//! The predictions of a batch of rows, as they go from a runtime to an answer.

use std::borrow::Cow;
use std::ops::Range;

use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde::{Deserialize, Deserializer, Serialize as SerializeDerive};

use crate::task::{Classes, Outputs, Task};

/// The predictions of rows, in their order.
#[derive(Debug, Clone, PartialEq, SerializeDerive, Deserialize)]
pub struct Predictions {
    /// What was predicted. It holds a place for every row, also for one that failed.
    pub values: PredictedValues,
    /// The rows that have no prediction, ascending.
    pub failures: Vec<RowFailure>,
}

/// What was predicted for rows, by the model's [`Task`].
#[derive(Debug, Clone, PartialEq, SerializeDerive, Deserialize)]
pub enum PredictedValues {
    /// The probability of the positive label: `[rows]`.
    Probabilities(Numbers),
    /// The class.
    Classes(ClassPredictions),
    /// A number: `[rows]`.
    Numbers(Numbers),
    /// The outputs of the graph, for each row. A row that failed has none.
    Outputs(Vec<Vec<TypedArray>>),
}

/// The classes of rows.
#[derive(Debug, Clone, PartialEq, SerializeDerive, Deserialize)]
pub struct ClassPredictions {
    /// The index of each row's class in the label's values: `[rows]`. A row that failed has [`ClassPredictions::NONE`].
    pub indices: Vec<u32>,
    /// The probability of each class: `[rows, classes]`. `None` if the model has none.
    pub probabilities: Option<Numbers>,
}

/// Numbers in the precision in which a graph returns them, and an answer prints them.
#[derive(Debug, Clone, PartialEq)]
pub enum Numbers {
    /// Numbers of single precision.
    Single(Vec<f32>),
    /// Numbers of double precision.
    Double(Vec<f64>),
}

/// Values of one type and their shape: an output of a graph for one row, or a value that goes to a graph as it is.
#[derive(Debug, Clone, PartialEq, SerializeDerive, Deserialize)]
pub struct TypedArray {
    /// The shape: empty for a single value.
    pub shape: Vec<usize>,
    /// The values, the last dimension first to change.
    pub values: TypedValues,
}

/// Values by their type.
#[derive(Debug, Clone, PartialEq, SerializeDerive, Deserialize)]
pub enum TypedValues {
    /// Numbers.
    Numbers(Numbers),
    /// Whole numbers.
    Integers(Vec<i64>),
    /// Whole numbers that need not fit into 63 bits.
    Unsigned(Vec<u64>),
    /// Booleans.
    Booleans(Vec<bool>),
    /// Strings.
    Texts(Vec<String>),
}

/// A row without a prediction.
#[derive(Debug, Clone, PartialEq, Eq, SerializeDerive, Deserialize)]
pub struct RowFailure {
    /// The row, from 0.
    pub row: usize,
    /// The runtime's reason, in one line.
    pub reason: String,
}

/// A number in the precision in which a graph returns it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// A number of single precision.
    Single(f32),
    /// A number of double precision.
    Double(f64),
}

/// The prediction of one row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Prediction<'a> {
    /// The probability of the positive label.
    Probability(Number),
    /// The index of a class, and the probabilities of all classes if the model has them.
    Class(usize, Option<NumberSlice<'a>>),
    /// A number.
    Number(Number),
    /// The outputs of the graph.
    Outputs(&'a [TypedArray]),
}

/// A part of [`Numbers`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum NumberSlice<'a> {
    /// Numbers of single precision.
    Single(&'a [f32]),
    /// Numbers of double precision.
    Double(&'a [f64]),
}

impl ClassPredictions {
    /// The index of a row that failed.
    pub const NONE: u32 = u32::MAX;

    /// Returns the number of probabilities of a row; 0 where there are none.
    pub fn width(&self) -> usize {
        let cells = self.probabilities.as_ref().map_or(0, Numbers::len);
        cells / self.indices.len().max(1)
    }
}

impl From<Vec<f32>> for Predictions {
    /// Creates the predictions of a binary model, of which no row failed.
    fn from(probabilities: Vec<f32>) -> Self {
        PredictedValues::Probabilities(Numbers::Single(probabilities)).into()
    }
}

impl From<PredictedValues> for Predictions {
    fn from(values: PredictedValues) -> Self {
        Self { values, failures: Vec::new() }
    }
}

impl Predictions {
    /// Returns the number of rows.
    #[inline]
    pub fn len(&self) -> usize {
        match &self.values {
            PredictedValues::Probabilities(numbers) | PredictedValues::Numbers(numbers) => numbers.len(),
            PredictedValues::Classes(classes) => classes.indices.len(),
            PredictedValues::Outputs(rows) => rows.len(),
        }
    }

    /// Returns whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the prediction of a row. `None` beyond the last row.
    pub fn row(&self, row: usize) -> Option<Prediction<'_>> {
        Some(match &self.values {
            PredictedValues::Probabilities(numbers) => Prediction::Probability(numbers.get(row)?),
            PredictedValues::Numbers(numbers) => Prediction::Number(numbers.get(row)?),
            PredictedValues::Classes(classes) => {
                let index = *classes.indices.get(row)? as usize;
                let width = classes.width();
                let cells = row * width..(row + 1) * width;
                Prediction::Class(index, classes.probabilities.as_ref().and_then(|all| all.slice(cells)))
            }
            PredictedValues::Outputs(rows) => Prediction::Outputs(rows.get(row)?),
        })
    }

    /// Returns the probabilities of a binary model in single precision: `[rows]`. `None` for any other task.
    pub fn probabilities(&self) -> Option<Cow<'_, [f32]>> {
        match &self.values {
            PredictedValues::Probabilities(numbers) => Some(numbers.to_single()),
            PredictedValues::Classes(_) | PredictedValues::Numbers(_) | PredictedValues::Outputs(_) => None,
        }
    }

    /// Returns the predictions of some of the rows, counted from the first of them.
    ///
    /// # Panics
    /// Never: rows beyond the last are left out.
    #[must_use]
    pub fn slice(&self, rows: Range<usize>) -> Self {
        let values = match &self.values {
            PredictedValues::Probabilities(numbers) => PredictedValues::Probabilities(numbers.part(&rows, 1)),
            PredictedValues::Numbers(numbers) => PredictedValues::Numbers(numbers.part(&rows, 1)),
            PredictedValues::Classes(classes) => PredictedValues::Classes(ClassPredictions {
                indices: part(&classes.indices, &rows, 1),
                probabilities: classes.probabilities.as_ref().map(|all| all.part(&rows, classes.width())),
            }),
            PredictedValues::Outputs(all) => PredictedValues::Outputs(part(all, &rows, 1)),
        };
        let failures = self.failures.iter().filter(|failure| rows.contains(&failure.row));
        let moved = |failure: &RowFailure| RowFailure { row: failure.row - rows.start, ..failure.clone() };
        Self { values, failures: failures.map(moved).collect() }
    }

    /// Adds the predictions of the rows that follow, from the same model. Returns whether they are of the same
    /// form; if not, nothing is added.
    #[must_use]
    pub fn append(&mut self, other: Self) -> bool {
        let before = self.len();
        let is_added = match (&mut self.values, other.values) {
            (PredictedValues::Probabilities(all), PredictedValues::Probabilities(more))
            | (PredictedValues::Numbers(all), PredictedValues::Numbers(more)) => all.append(more),
            (PredictedValues::Classes(all), PredictedValues::Classes(more)) => {
                let is_added = match (&mut all.probabilities, more.probabilities) {
                    (Some(all), Some(more)) => all.append(more),
                    (None, None) => true,
                    (Some(_), None) | (None, Some(_)) => false,
                };
                if is_added {
                    all.indices.extend(more.indices);
                }
                is_added
            }
            (PredictedValues::Outputs(all), PredictedValues::Outputs(more)) => {
                all.extend(more);
                true
            }
            _ => false,
        };
        if is_added {
            let moved = |failure: RowFailure| RowFailure { row: failure.row + before, ..failure };
            self.failures.extend(other.failures.into_iter().map(moved));
        }
        is_added
    }

    /// Returns the row with the largest difference from other predictions of the same rows, and that difference:
    /// of probabilities as it is, of numbers relative to them, or to `unit` where that is larger. It is infinite where
    /// one of two numbers is not a number, and where classes or outputs differ in anything but numbers.
    pub fn largest_difference(&self, other: &Self, unit: f64) -> (usize, f64) {
        let mut largest = (0, 0.0);
        for row in 0..self.len().max(other.len()) {
            let difference = match (self.row(row), other.row(row)) {
                (Some(one), Some(other)) => one.difference(other, unit),
                _ => f64::INFINITY,
            };
            if difference > largest.1 {
                largest = (row, difference);
            }
        }
        largest
    }
}

impl Prediction<'_> {
    /// Returns whether all of its numbers are finite.
    pub fn is_finite(&self) -> bool {
        match self {
            Self::Probability(number) | Self::Number(number) => number.to_f64().is_finite(),
            Self::Class(index, probabilities) => {
                let is_class = u32::try_from(*index).is_ok_and(|index| index != ClassPredictions::NONE);
                is_class && probabilities.is_none_or(|all| all.iter().all(f64::is_finite))
            }
            Self::Outputs(outputs) => !outputs.is_empty(),
        }
    }

    /// Returns the largest difference of two predictions of a row.
    fn difference(self, other: Prediction<'_>, unit: f64) -> f64 {
        match (self, other) {
            (Prediction::Probability(one), Prediction::Probability(other)) => {
                difference(one.to_f64(), other.to_f64(), 1.0)
            }
            (Prediction::Number(one), Prediction::Number(other)) => {
                difference(one.to_f64(), other.to_f64(), unit)
            }
            // Where two classes are nearly as probable, rounding decides.
            (Prediction::Class(_, Some(one)), Prediction::Class(_, Some(other))) => differences(one, other),
            (Prediction::Class(one, None), Prediction::Class(other, None)) => unless_equal(one == other),
            (Prediction::Outputs(one), Prediction::Outputs(other)) if one.len() == other.len() => {
                one.iter().zip(other).map(|(one, other)| one.difference(other)).fold(0.0, f64::max)
            }
            _ => f64::INFINITY,
        }
    }
}

impl TypedArray {
    fn difference(&self, other: &Self) -> f64 {
        if self.shape != other.shape {
            return f64::INFINITY;
        }
        match (&self.values, &other.values) {
            // An output may hold NaN: what it means is not known.
            (TypedValues::Numbers(one), TypedValues::Numbers(other)) if one.len() == other.len() => {
                let pairs = one.as_slice().iter().zip(other.as_slice().iter());
                let apart = |(one, other): (f64, f64)| {
                    if one == other || (one.is_nan() && other.is_nan()) {
                        0.0
                    } else {
                        difference(one, other, 1.0)
                    }
                };
                pairs.map(apart).fold(0.0, f64::max)
            }
            (one, other) => unless_equal(one == other),
        }
    }
}

fn unless_equal(are_equal: bool) -> f64 {
    if are_equal { 0.0 } else { f64::INFINITY }
}

/// Returns the difference of two numbers, relative to the larger one, or to `unit` where that is larger. It is infinite where one of
/// them is not a number, so that no tolerance covers it.
fn difference(one: f64, other: f64, unit: f64) -> f64 {
    let difference = (one - other).abs() / one.abs().max(other.abs()).max(unit);
    if difference.is_nan() { f64::INFINITY } else { difference }
}

fn differences(one: NumberSlice<'_>, other: NumberSlice<'_>) -> f64 {
    if one.len() != other.len() {
        return f64::INFINITY;
    }
    one.iter().zip(other.iter()).map(|(one, other)| difference(one, other, 1.0)).fold(0.0, f64::max)
}

fn part<T: Clone>(all: &[T], rows: &Range<usize>, width: usize) -> Vec<T> {
    let end = (rows.end * width).min(all.len());
    all.get(rows.start * width..end).unwrap_or_default().to_vec()
}

impl Numbers {
    /// Returns how many there are.
    #[inline]
    pub fn len(&self) -> usize {
        match self {
            Self::Single(numbers) => numbers.len(),
            Self::Double(numbers) => numbers.len(),
        }
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns one of them.
    #[inline]
    pub fn get(&self, index: usize) -> Option<Number> {
        match self {
            Self::Single(numbers) => numbers.get(index).copied().map(Number::Single),
            Self::Double(numbers) => numbers.get(index).copied().map(Number::Double),
        }
    }

    /// Returns all of them.
    pub fn as_slice(&self) -> NumberSlice<'_> {
        match self {
            Self::Single(numbers) => NumberSlice::Single(numbers),
            Self::Double(numbers) => NumberSlice::Double(numbers),
        }
    }

    /// Returns them in single precision.
    pub fn to_single(&self) -> Cow<'_, [f32]> {
        match self {
            Self::Single(numbers) => numbers.as_slice().into(),
            Self::Double(numbers) => numbers.iter().map(|number| *number as f32).collect::<Vec<_>>().into(),
        }
    }

    /// Applies a function to each, in its precision.
    #[must_use]
    pub fn map(self, single: impl Fn(f32) -> f32, double: impl Fn(f64) -> f64) -> Self {
        match self {
            Self::Single(numbers) => Self::Single(numbers.into_iter().map(single).collect()),
            Self::Double(numbers) => Self::Double(numbers.into_iter().map(double).collect()),
        }
    }

    /// Returns every `width`th number from `column` on: a column of `[rows, width]`.
    #[must_use]
    pub fn column(&self, column: usize, width: usize) -> Self {
        match self {
            Self::Single(numbers) => {
                Self::Single(numbers.iter().skip(column).step_by(width.max(1)).copied().collect())
            }
            Self::Double(numbers) => {
                Self::Double(numbers.iter().skip(column).step_by(width.max(1)).copied().collect())
            }
        }
    }

    fn slice(&self, range: Range<usize>) -> Option<NumberSlice<'_>> {
        match self {
            Self::Single(numbers) => numbers.get(range).map(NumberSlice::Single),
            Self::Double(numbers) => numbers.get(range).map(NumberSlice::Double),
        }
    }

    fn part(&self, rows: &Range<usize>, width: usize) -> Self {
        match self {
            Self::Single(numbers) => Self::Single(part(numbers, rows, width)),
            Self::Double(numbers) => Self::Double(part(numbers, rows, width)),
        }
    }

    fn append(&mut self, more: Self) -> bool {
        match (self, more) {
            (Self::Single(all), Self::Single(more)) => all.extend(more),
            (Self::Double(all), Self::Double(more)) => all.extend(more),
            (Self::Single(_), Self::Double(_)) | (Self::Double(_), Self::Single(_)) => return false,
        }
        true
    }
}

impl<'a> NumberSlice<'a> {
    /// Returns how many there are.
    pub fn len(self) -> usize {
        match self {
            Self::Single(numbers) => numbers.len(),
            Self::Double(numbers) => numbers.len(),
        }
    }

    /// Returns whether there are none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Returns one of them.
    pub fn get(self, index: usize) -> Option<Number> {
        match self {
            Self::Single(numbers) => numbers.get(index).copied().map(Number::Single),
            Self::Double(numbers) => numbers.get(index).copied().map(Number::Double),
        }
    }

    /// Returns them in double precision, which changes none of them.
    pub fn iter(self) -> impl Iterator<Item = f64> + use<'a> {
        (0..self.len()).filter_map(move |index| self.get(index)).map(Number::to_f64)
    }
}

impl Number {
    /// Returns it in double precision.
    pub fn to_f64(self) -> f64 {
        match self {
            Self::Single(number) => f64::from(number),
            Self::Double(number) => number,
        }
    }

    /// Returns it in single precision.
    pub fn to_f32(self) -> f32 {
        match self {
            Self::Single(number) => number,
            Self::Double(number) => number as f32,
        }
    }
}

impl std::fmt::Display for Prediction<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Probability(number) | Self::Number(number) => number.fmt(f),
            Self::Class(index, None) => write!(f, "class {index}"),
            Self::Class(_, Some(probabilities)) => {
                write!(f, "{:?}", probabilities.iter().collect::<Vec<_>>())
            }
            Self::Outputs(outputs) => {
                let written =
                    |output: &TypedArray| serde_json::to_string(&Keyed(&[], output)).unwrap_or_default();
                f.write_str(&outputs.iter().map(written).collect::<Vec<_>>().join("  "))
            }
        }
    }
}

/// The bits of numbers: JSON has no NaN.
#[derive(SerializeDerive, Deserialize)]
enum Bits {
    Single(Vec<u32>),
    Double(Vec<u64>),
}

/// Writes the bits, so that NaN and infinity survive.
impl Serialize for Numbers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let bits = match self {
            Self::Single(numbers) => Bits::Single(numbers.iter().map(|number| number.to_bits()).collect()),
            Self::Double(numbers) => Bits::Double(numbers.iter().map(|number| number.to_bits()).collect()),
        };
        bits.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Numbers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Bits::deserialize(deserializer)? {
            Bits::Single(bits) => Self::Single(bits.into_iter().map(f32::from_bits).collect()),
            Bits::Double(bits) => Self::Double(bits.into_iter().map(f64::from_bits).collect()),
        })
    }
}

impl std::fmt::Display for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Single(number) => number.fmt(f),
            Self::Double(number) => number.fmt(f),
        }
    }
}

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Single(number) => serializer.serialize_f32(*number),
            Self::Double(number) => serializer.serialize_f64(*number),
        }
    }
}

/// The prediction of a row in its label's own terms, as answers and captured rows have it.
#[derive(Debug, Clone, Copy)]
pub struct LabelledPrediction<'a> {
    /// What is predicted.
    pub task: &'a Task,
    /// The key of the prediction.
    pub key: &'a str,
    /// The prediction.
    pub prediction: Prediction<'a>,
}

impl LabelledPrediction<'_> {
    /// The key of the probability of the positive label.
    pub const PROBABILITY: &'static str = "probability";
    /// The key of the probabilities of all classes.
    pub const PROBABILITIES: &'static str = "probabilities";
    /// The key of a graph's outputs.
    pub const OUTPUTS: &'static str = "outputs";

    /// Writes the prediction's keys into an object.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn write<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        match (self.task, self.prediction) {
            (Task::Binary(binary), Prediction::Probability(probability)) => {
                map.serialize_entry(Self::PROBABILITY, &probability)?;
                map.serialize_entry(self.key, &binary.is_positive(probability.to_f32()))
            }
            (Task::Classes(classes), Prediction::Class(index, probabilities)) => {
                map.serialize_entry(self.key, &classes.values.get(index))?;
                match probabilities {
                    Some(all) => map.serialize_entry(Self::PROBABILITIES, &ByClass(classes, all)),
                    None => Ok(()),
                }
            }
            (Task::Number, Prediction::Number(number)) => map.serialize_entry(self.key, &number),
            (Task::Raw(outputs), Prediction::Outputs(values)) => {
                map.serialize_entry(Self::OUTPUTS, &ByName(outputs, values))
            }
            // A session of another task than its description is refused before it is served.
            _ => map.serialize_entry(self.key, &()),
        }
    }
}

/// Writes the prediction's keys as an object.
impl Serialize for LabelledPrediction<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.write(&mut map)?;
        map.end()
    }
}

/// The probabilities of all classes.
struct ByClass<'a>(&'a Classes, NumberSlice<'a>);

impl Serialize for ByClass<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(classes, probabilities) = self;
        let each = classes.values.iter().enumerate();
        serializer.collect_map(each.filter_map(|(index, class)| Some((class, probabilities.get(index)?))))
    }
}

/// The outputs of a graph for one row.
struct ByName<'a>(&'a Outputs, &'a [TypedArray]);

impl Serialize for ByName<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(outputs, values) = self;
        let pairs = outputs.fields.iter().zip(values.iter());
        serializer.collect_map(pairs.map(|(field, output)| (&field.name, Keyed(&field.keys, output))))
    }
}

/// The values of one output: an object where they have keys, else as nested lists.
struct Keyed<'a>(&'a [String], &'a TypedArray);

impl Serialize for Keyed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(keys, output) = self;
        let len = output.shape.iter().product();
        let nested = Nested { shape: &output.shape, values: &output.values, at: 0..len };
        if keys.is_empty() || keys.len() != len {
            return nested.serialize(serializer);
        }
        let values = (0..len).map(|at| Nested { shape: &[], values: &output.values, at: at..at + 1 });
        serializer.collect_map(keys.iter().zip(values))
    }
}

struct Nested<'a> {
    shape: &'a [usize],
    values: &'a TypedValues,
    at: Range<usize>,
}

impl Serialize for Nested<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { shape, values, at } = self;
        match shape {
            [] => values.serialize_one(at.start, serializer),
            [count, inner @ ..] => {
                let step = inner.iter().product::<usize>();
                let mut items = serializer.serialize_seq(Some(*count))?;
                for item in 0..*count {
                    let start = at.start + item * step;
                    items.serialize_element(&Self { shape: inner, values, at: start..start + step })?;
                }
                items.end()
            }
        }
    }
}

impl TypedValues {
    /// Returns the size of the values in memory, in bytes.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Numbers(Numbers::Single(values)) => size_of_val(values.as_slice()),
            Self::Numbers(Numbers::Double(values)) => size_of_val(values.as_slice()),
            Self::Integers(values) => size_of_val(values.as_slice()),
            Self::Unsigned(values) => size_of_val(values.as_slice()),
            Self::Booleans(values) => size_of_val(values.as_slice()),
            Self::Texts(values) => {
                let texts: usize = values.iter().map(String::len).sum();
                size_of_val(values.as_slice()) + texts
            }
        }
    }

    /// Returns the number of values.
    pub fn len(&self) -> usize {
        match self {
            Self::Numbers(values) => values.len(),
            Self::Integers(values) => values.len(),
            Self::Unsigned(values) => values.len(),
            Self::Booleans(values) => values.len(),
            Self::Texts(values) => values.len(),
        }
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns some of the values.
    #[must_use]
    pub fn part(&self, range: Range<usize>) -> Self {
        match self {
            Self::Numbers(values) => Self::Numbers(values.part(&range, 1)),
            Self::Integers(values) => Self::Integers(part(values, &range, 1)),
            Self::Unsigned(values) => Self::Unsigned(part(values, &range, 1)),
            Self::Booleans(values) => Self::Booleans(part(values, &range, 1)),
            Self::Texts(values) => Self::Texts(part(values, &range, 1)),
        }
    }

    /// Returns numbers and whole numbers as numbers. `None` for any other type.
    pub fn numbers(&self) -> Option<Cow<'_, Numbers>> {
        let whole = |numbers: Vec<f64>| Some(Cow::Owned(Numbers::Double(numbers)));
        match self {
            Self::Numbers(numbers) => Some(Cow::Borrowed(numbers)),
            Self::Integers(values) => whole(values.iter().map(|value| *value as f64).collect()),
            Self::Unsigned(values) => whole(values.iter().map(|value| *value as f64).collect()),
            Self::Booleans(_) | Self::Texts(_) => None,
        }
    }

    fn serialize_one<S: Serializer>(&self, index: usize, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Numbers(numbers) => numbers.get(index).serialize(serializer),
            Self::Integers(values) => values.get(index).serialize(serializer),
            Self::Unsigned(values) => values.get(index).serialize(serializer),
            Self::Booleans(values) => values.get(index).serialize(serializer),
            Self::Texts(values) => values.get(index).serialize(serializer),
        }
    }
}

#[cfg(test)]
mod tests;
