use serde::{Deserialize, Serialize};

use crate::encode::shorten;
use crate::kept::KeptType;

/// One input column of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Feature {
    /// The column's name: in the table, in a request, and of the graph's input.
    pub name: String,
    /// The meaning of the column, for people; may be empty.
    pub description: String,
    /// Whether a row without the field is rejected. A missing optional value is imputed by the model.
    pub required: bool,
    /// Whether `null` is a missing value although the field is required. It always is where the field is optional.
    pub nullable: bool,
    /// The values of the column.
    pub kind: FeatureKind,
}

/// The values of a feature.
#[derive(Debug, Clone, PartialEq)]
pub enum FeatureKind {
    /// A quantity. Encoded as itself; missing is NaN.
    Numeric {
        /// The smallest value accepted, inclusive.
        min: Option<f64>,
        /// The largest value accepted, inclusive.
        max: Option<f64>,
        /// Whether only whole numbers are accepted.
        integer: bool,
    },
    /// One of a closed set of values. Encoded as its index in `values`; unknown is −1, missing is NaN.
    Categorical {
        /// The values, in the order of their codes.
        values: Vec<String>,
        /// The treatment of a value that is not in `values`.
        unknown: UnknownPolicy,
    },
    /// A value that an external graph takes in a type of its own. It has no code;
    /// [`Rows::kept`](crate::Rows::kept) carries it.
    Kept(KeptType),
}

/// The treatment of a categorical value that the schema does not list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UnknownPolicy {
    /// The row is rejected with a violation that lists the known values.
    #[default]
    Reject,
    /// The row is scored as if none of the known values held.
    Ignore,
    /// The string goes to the model as it is, listed or not: what an external model's input of strings takes.
    /// It has no code; [`Rows::kept`](crate::Rows::kept) carries it.
    Keep,
}

impl FeatureKind {
    /// Returns whether a quantity is in its range, and whole where it must be.
    #[inline]
    pub(crate) fn has(&self, number: f64) -> bool {
        let Self::Numeric { min, max, integer } = self else { return false };
        let is_in_range = min.is_none_or(|min| number >= min) && max.is_none_or(|max| number <= max);
        is_in_range && (!integer || number.fract() == 0.0)
    }
}

impl Feature {
    /// Returns the values of a categorical feature; `None` for a numeric one.
    #[inline]
    pub fn categories(&self) -> Option<&[String]> {
        match &self.kind {
            FeatureKind::Categorical { values, .. } => Some(values),
            FeatureKind::Numeric { .. } | FeatureKind::Kept(_) => None,
        }
    }

    /// Returns whether the feature is a quantity.
    #[inline]
    pub fn is_numeric(&self) -> bool {
        matches!(self.kind, FeatureKind::Numeric { .. })
    }

    /// Returns whether the feature's values go to the model as they are.
    #[inline]
    pub fn is_kept(&self) -> bool {
        matches!(
            self.kind,
            FeatureKind::Categorical { unknown: UnknownPolicy::Keep, .. } | FeatureKind::Kept(_)
        )
    }

    /// Returns whether a missing value is accepted.
    #[inline]
    pub fn may_be_missing(&self) -> bool {
        self.nullable || !self.required
    }

    /// Describes what the feature takes: the `expected` of a violation. Long values are shortened.
    pub fn expected(&self) -> String {
        match &self.kind {
            FeatureKind::Numeric { min, max, integer } => {
                let noun = if *integer { "a whole number" } else { "a number" };
                match (min, max) {
                    (Some(min), Some(max)) => format!("{noun} from {min} to {max}"),
                    (Some(min), None) => format!("{noun} of at least {min}"),
                    (None, Some(max)) => format!("{noun} of at most {max}"),
                    (None, None) => noun.to_owned(),
                }
            }
            FeatureKind::Categorical { values, unknown: UnknownPolicy::Reject } => {
                let shown: Vec<String> =
                    values.iter().take(20).map(|value| format!("\"{}\"", shorten(value))).collect();
                let more = if values.len() > 20 { ", …" } else { "" };
                format!("one of {}{more}", shown.join(", "))
            }
            FeatureKind::Categorical { unknown: UnknownPolicy::Ignore | UnknownPolicy::Keep, .. } => {
                "a string".to_owned()
            }
            FeatureKind::Kept(kept) => kept.expected(),
        }
    }
}
