use memchr::arch::all::is_equal;

use crate::feature::{Feature, FeatureKind, UnknownPolicy};
use crate::kept::Scalar;
use crate::violation::Mismatch;

/// The code of a category that the schema does not list, as the graph's `CategoryMapper` returns it.
pub const UNKNOWN_CATEGORY: f32 = -1.0;

/// One raw value of a row, before it is encoded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// Nothing was given.
    Missing,
    /// A number.
    Number(f64),
    /// A string.
    Text(&'a str),
    /// A Boolean, for a category that is written `true` or `false`.
    Boolean(bool),
    /// A JSON array; no feature takes one.
    Array,
    /// A JSON object; no feature takes one.
    Object,
}

/// Numbers from here on are described in powers of ten, and not by up to 300 digits.
const LONG_NUMBER: f64 = 1e16;

impl Value<'_> {
    /// Returns the value as a scalar. `None` for a list and an object.
    fn as_scalar(&self) -> Option<Scalar<'_>> {
        match self {
            Self::Missing => Some(Scalar::Null),
            Self::Number(number) => Some(Scalar::Float(*number)),
            Self::Text(text) => Some(Scalar::Text(text)),
            Self::Boolean(value) => Some(Scalar::Boolean(*value)),
            Self::Array | Self::Object => None,
        }
    }

    /// Describes the value, for the `got` of a violation. Long strings are shortened.
    pub fn describe(&self) -> String {
        match self {
            Self::Missing => "nothing".to_owned(),
            Self::Number(number) if number.abs() >= LONG_NUMBER => format!("{number:e}"),
            Self::Number(number) => number.to_string(),
            Self::Text(text) => format!("\"{}\"", shorten(text)),
            Self::Boolean(value) => value.to_string(),
            Self::Array => "an array".to_owned(),
            Self::Object => "an object".to_owned(),
        }
    }
}

/// Shortens a string that a client made up to what a message can carry: 60 characters.
pub fn shorten(text: &str) -> String {
    const LONGEST: usize = 60;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Returns whether a cell of a text table means that there is no value: blank, or one of the usual words for
/// it.
pub fn is_missing_text(text: &str) -> bool {
    const WORDS: [&str; 9] = ["na", "n/a", "#n/a", "nan", "null", "none", "nil", "?", "-"];
    let text = text.trim();
    text.is_empty() || WORDS.iter().any(|word| text.eq_ignore_ascii_case(word))
}

impl Feature {
    /// Encodes a raw value as the model's `features` matrix holds it: a number as itself, a category as its
    /// index, an ignored unknown category as [`UNKNOWN_CATEGORY`], a missing optional value as NaN. A string
    /// that is kept has no code and is NaN too.
    ///
    /// # Errors
    /// The expected value and the actual one, if the schema does not accept the value.
    ///
    /// ```
    /// use onnward_schemas::{Feature, FeatureKind, UnknownPolicy, Value};
    ///
    /// let values = vec!["basic".to_owned(), "full".to_owned()];
    /// let plan = Feature {
    ///     name: "plan".to_owned(),
    ///     description: String::new(),
    ///     required: true,
    ///     nullable: false,
    ///     kind: FeatureKind::Categorical { values, unknown: UnknownPolicy::Reject },
    /// };
    /// assert_eq!(plan.encode(Value::Text("full")), Ok(1.0));
    /// let Err(mismatch) = plan.encode(Value::Text("none")) else { unreachable!() };
    /// assert_eq!(mismatch.expected, "one of \"basic\", \"full\"");
    /// assert_eq!(mismatch.got, "\"none\"");
    /// ```
    #[inline]
    pub fn encode(&self, value: Value<'_>) -> Result<f32, Mismatch> {
        self.accept(value).ok_or_else(|| self.mismatch(value))
    }

    /// Encodes a raw value as [`Feature::encode`] does; `None`, without a message, when the schema does not
    /// accept the value.
    #[inline]
    pub fn accept(&self, value: Value<'_>) -> Option<f32> {
        if value == Value::Missing {
            return self.may_be_missing().then_some(f32::NAN);
        }
        match (&self.kind, value) {
            (kind @ FeatureKind::Numeric { .. }, Value::Number(number)) => {
                (kind.has(number) && number.abs() <= f64::from(f32::MAX)).then_some(number as f32)
            }
            (FeatureKind::Categorical { unknown: UnknownPolicy::Keep, .. }, Value::Text(_)) => Some(f32::NAN),
            (FeatureKind::Categorical { unknown: UnknownPolicy::Keep, .. }, _) => None,
            (FeatureKind::Kept(kept), value) => kept.keep(value.as_scalar()?).map(|_| f32::NAN),
            (
                FeatureKind::Categorical { unknown, .. },
                Value::Number(_) | Value::Text(_) | Value::Boolean(_),
            ) => {
                let code = self.code(value);
                if code == UNKNOWN_CATEGORY { unlisted(*unknown, value) } else { Some(code) }
            }
            _ => None,
        }
    }

    /// Encodes a raw value that is not among a categorical feature's values, as [`Feature::accept`] does once
    /// it has searched for it. `None` for a numeric feature.
    pub fn accept_unlisted(&self, value: Value<'_>) -> Option<f32> {
        match &self.kind {
            FeatureKind::Categorical { unknown, .. } => unlisted(*unknown, value),
            FeatureKind::Numeric { .. } | FeatureKind::Kept(_) => None,
        }
    }

    /// Says why a value is not accepted.
    #[cold]
    pub fn mismatch(&self, value: Value<'_>) -> Mismatch {
        let is_too_large = matches!(value, Value::Number(number) if self.kind.has(number));
        let bound = if is_too_large { " within the range of single precision, up to 3.4e38" } else { "" };
        Mismatch { expected: self.expected() + bound, got: value.describe() }
    }

    /// Encodes a cell of a text table, where blank and `NA`-like cells are missing unless the schema lists
    /// them.
    ///
    /// # Errors
    /// As [`Feature::encode`].
    pub fn encode_text(&self, text: &str) -> Result<f32, Mismatch> {
        self.encode(self.read_text(text))
    }

    /// Reads a cell of a text table as the raw value that a request would carry.
    pub fn read_text<'a>(&self, text: &'a str) -> Value<'a> {
        let trimmed = text.trim();
        match &self.kind {
            FeatureKind::Categorical { values, .. } if values.iter().any(|known| known == trimmed) => {
                Value::Text(trimmed)
            }
            _ if is_missing_text(trimmed) => Value::Missing,
            FeatureKind::Categorical { .. } | FeatureKind::Kept(_) => Value::Text(trimmed),
            FeatureKind::Numeric { .. } => trimmed.parse().map_or(Value::Text(trimmed), Value::Number),
        }
    }

    /// Returns the number that the graph's encoder computes from a raw value, also from one that the schema
    /// would reject. Golden rows are encoded so: they hold unknown and missing values on purpose.
    #[inline]
    pub fn code(&self, value: Value<'_>) -> f32 {
        match (&self.kind, value) {
            (FeatureKind::Categorical { unknown: UnknownPolicy::Keep, .. } | FeatureKind::Kept(_), _) => {
                f32::NAN
            }
            (FeatureKind::Numeric { .. }, Value::Number(number)) => number as f32,
            (FeatureKind::Categorical { values, .. }, Value::Text(text)) => index_of(values, text),
            (FeatureKind::Categorical { values, .. }, Value::Number(number)) => {
                index_of(values, &number.to_string())
            }
            (FeatureKind::Categorical { values, .. }, Value::Boolean(truth)) => {
                index_of(values, if truth { "true" } else { "false" })
            }
            (FeatureKind::Categorical { .. }, Value::Array | Value::Object) => UNKNOWN_CATEGORY,
            _ => f32::NAN,
        }
    }
}

/// Encodes a value that is not listed. Only a string can be a category that is new: neither a blank nor a
/// value of another type.
#[inline]
fn unlisted(policy: UnknownPolicy, value: Value<'_>) -> Option<f32> {
    let may_be_new = || matches!(value, Value::Text(text) if !text.trim().is_empty());
    (policy == UnknownPolicy::Ignore && may_be_new()).then_some(UNKNOWN_CATEGORY)
}

/// Compares two strings of few bytes, as names and categories are. The standard library's comparison is a
/// call, which takes longer.
#[inline]
fn same(one: &str, other: &str) -> bool {
    is_equal(one.as_bytes(), other.as_bytes())
}

/// Searches from the front: for the few values that a feature has, a hash map takes five times as long.
#[inline]
fn index_of(values: &[String], text: &str) -> f32 {
    values.iter().position(|known| same(known, text)).map_or(UNKNOWN_CATEGORY, |index| index as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numeric(min: Option<f64>, max: Option<f64>, integer: bool, required: bool) -> Feature {
        let kind = FeatureKind::Numeric { min, max, integer };
        Feature { name: "n".into(), description: String::new(), required, nullable: false, kind }
    }

    fn categorical(values: &[&str], unknown: UnknownPolicy) -> Feature {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        let kind = FeatureKind::Categorical { values, unknown };
        Feature { name: "c".into(), description: String::new(), required: false, nullable: false, kind }
    }

    #[test]
    fn numbers_obey_range_wholeness_and_single_precision() {
        let feature = numeric(Some(0.0), Some(72.0), true, true);
        assert_eq!(feature.encode(Value::Number(12.0)), Ok(12.0));
        for bad in [-1.0, 73.0, 1.5] {
            let mismatch = feature.encode(Value::Number(bad)).unwrap_err();
            assert_eq!(mismatch.expected, "a whole number from 0 to 72");
        }
        let too_large = numeric(None, None, false, true).encode(Value::Number(1e39)).unwrap_err();
        assert!(too_large.expected.contains("3.4e38") && too_large.got == "1e39", "{too_large:?}");
        assert!(feature.encode(Value::Text("12")).is_err());
        assert_eq!(feature.encode(Value::Missing).unwrap_err().got, "nothing");
    }

    #[test]
    fn a_category_that_looks_like_a_number_takes_the_number_or_the_string() {
        let feature = categorical(&["0", "1"], UnknownPolicy::Reject);
        assert_eq!(feature.encode(Value::Number(1.0)), Ok(1.0));
        assert_eq!(feature.encode(Value::Text("1")), Ok(1.0));
        assert!(feature.encode(Value::Number(2.0)).is_err());
        assert!(feature.encode(Value::Boolean(true)).is_err());
    }

    #[test]
    fn a_category_that_looks_like_a_boolean_takes_the_boolean_or_the_string() {
        let feature = categorical(&["false", "true"], UnknownPolicy::Reject);
        assert_eq!(feature.encode(Value::Boolean(true)), Ok(1.0));
        assert_eq!(feature.encode(Value::Text("false")), Ok(0.0));
        assert!(feature.encode(Value::Number(1.0)).is_err());
        let open = categorical(&["a", "b"], UnknownPolicy::Ignore);
        assert!(open.encode(Value::Boolean(true)).is_err());
    }

    #[test]
    fn a_text_that_is_kept_is_any_string_and_nothing_else() {
        let feature = categorical(&["a"], UnknownPolicy::Keep);
        for text in ["a", "b", "", " "] {
            assert!(feature.encode(Value::Text(text)).is_ok_and(f32::is_nan), "{text:?}");
        }
        for other in [Value::Number(1.0), Value::Boolean(true), Value::Array] {
            assert_eq!(feature.encode(other).unwrap_err().expected, "a string");
        }
    }

    #[test]
    fn unknown_categories_follow_the_policy() {
        assert!(categorical(&["a", "b"], UnknownPolicy::Reject).encode(Value::Text("z")).is_err());
        let open = categorical(&["a", "b"], UnknownPolicy::Ignore);
        assert_eq!(open.encode(Value::Text("z")), Ok(-1.0));
        for never_seen_as in [Value::Text(" "), Value::Number(0.0)] {
            assert!(open.encode(never_seen_as).is_err(), "{never_seen_as:?}");
        }
    }

    #[test]
    fn blank_and_na_like_cells_are_missing_unless_listed() {
        for cell in ["", " ", "NA", "n/a", "#N/A", "NaN", "null", "?", "-"] {
            assert!(numeric(None, None, false, false).encode_text(cell).is_ok_and(f32::is_nan), "{cell:?}");
        }
        assert_eq!(categorical(&["None", "Fibre"], UnknownPolicy::Reject).encode_text("None"), Ok(0.0));
        assert!(numeric(None, None, false, false).encode_text("inf").is_err());
        assert_eq!(numeric(None, None, false, false).encode_text("-1"), Ok(-1.0));
    }
}
