use serde::{Deserialize, Serialize};

use crate::encode::Value;
use crate::kept::Scalar;
use crate::predictions::{ClassPredictions, Numbers, PredictedValues, Predictions};
use crate::task::TaskKind;

/// The rows by which an artifact verifies that a runtime computes what the trainer computed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Golden {
    /// The largest difference that counts as the same: of a probability as it is, of a number relative to it, or to
    /// [`Golden::unit`] where that is larger.
    pub tolerance: f64,
    /// The rows.
    pub rows: Vec<GoldenRow>,
}

impl Golden {
    /// Returns the size that a difference is relative to where the number itself is smaller: 1 for probabilities, and for
    /// numbers the median of the expected ones, without their signs.
    ///
    /// Single precision rounds a sum by the size of its terms, which is about that of a typical prediction, also where the
    /// sum is near 0.
    ///
    /// ```
    /// use onnward_schemas::{Golden, GoldenPrediction, GoldenRow};
    ///
    /// let row = |number| GoldenRow { values: Vec::new(), prediction: GoldenPrediction::Number(number) };
    /// let golden = Golden { tolerance: 1e-6, rows: [-900.0, 3.0, 1000.0].map(row).into() };
    /// assert_eq!(golden.unit(), 900.0);
    /// ```
    pub fn unit(&self) -> f64 {
        let size = |row: &GoldenRow| match &row.prediction {
            GoldenPrediction::Probability(_) | GoldenPrediction::Probabilities(_) => 1.0,
            GoldenPrediction::Number(number) => number.abs(),
        };
        let mut sizes: Vec<f64> = self.rows.iter().map(size).collect();
        sizes.sort_unstable_by(f64::total_cmp);
        sizes.get(sizes.len() / 2).copied().unwrap_or(1.0).max(f64::from(f32::MIN_POSITIVE))
    }

    /// The largest tolerance that a file may state. The trainer writes 1e-6, which two runtimes keep in
    /// single precision, and more for linear models of many columns; beyond this, a runtime that computes something else would pass.
    pub const MAX_TOLERANCE: f64 = 1e-4;
}

/// A row made from the schema, never a customer's, and the prediction that the trainer's own code computes
/// for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GoldenRow {
    /// A raw value for each feature, in the schema's order.
    pub values: Vec<GoldenValue>,
    /// The prediction.
    #[serde(flatten)]
    pub prediction: GoldenPrediction,
}

/// The prediction of a golden row, by the model's task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GoldenPrediction {
    /// The probability of the positive label.
    Probability(f64),
    /// The probability of each class, in the label's order.
    Probabilities(Vec<f64>),
    /// The number.
    Number(f64),
}

impl GoldenPrediction {
    /// Returns the probability of the positive label. `None` for any other task than a binary one.
    pub fn probability(&self) -> Option<f64> {
        match self {
            Self::Probability(probability) => Some(*probability),
            Self::Probabilities(_) | Self::Number(_) => None,
        }
    }

    /// Returns the prediction as a runtime returns it in single precision.
    pub fn single(&self) -> Predictions {
        match self {
            Self::Probability(probability) => vec![*probability as f32].into(),
            Self::Number(number) => PredictedValues::Numbers(Numbers::Single(vec![*number as f32])).into(),
            Self::Probabilities(all) => PredictedValues::Classes(ClassPredictions {
                indices: vec![most_probable(all.iter().copied()) as u32],
                probabilities: Some(Numbers::Single(all.iter().map(|one| *one as f32).collect())),
            })
            .into(),
        }
    }

    /// Returns the task that has such predictions.
    pub fn task(&self) -> TaskKind {
        match self {
            Self::Probability(_) => TaskKind::Binary,
            Self::Probabilities(_) => TaskKind::Classes,
            Self::Number(_) => TaskKind::Number,
        }
    }

    /// Returns the numbers behind it: one, or one for each class.
    pub fn numbers(&self) -> &[f64] {
        match self {
            Self::Probability(number) | Self::Number(number) => std::slice::from_ref(number),
            Self::Probabilities(all) => all,
        }
    }
}

/// Returns the index of the largest of some probabilities, the first of several.
pub fn most_probable(probabilities: impl IntoIterator<Item = f64>) -> usize {
    let mut most = (0, f64::NEG_INFINITY);
    for (at, probability) in probabilities.into_iter().enumerate() {
        if probability > most.1 {
            most = (at, probability);
        }
    }
    most.0
}

/// A raw value, owned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum GoldenValue {
    /// No value; `null` in JSON.
    Missing,
    /// A number.
    Number(f64),
    /// A string.
    Text(String),
    /// A Boolean, for an input of an external graph.
    Boolean(bool),
    /// A list of values, for an input of an external graph.
    Array(Vec<GoldenValue>),
}

impl GoldenValue {
    /// Borrows the value.
    pub fn as_value(&self) -> Value<'_> {
        match self {
            Self::Missing => Value::Missing,
            Self::Number(number) => Value::Number(*number),
            Self::Text(text) => Value::Text(text),
            Self::Boolean(value) => Value::Boolean(*value),
            Self::Array(_) => Value::Array,
        }
    }

    /// Returns the value as a scalar of a request. A list is none, and counts as missing.
    pub(crate) fn as_scalar(&self) -> Scalar<'_> {
        match self {
            Self::Missing | Self::Array(_) => Scalar::Null,
            Self::Number(number) => Scalar::Float(*number),
            Self::Text(text) => Scalar::Text(text),
            Self::Boolean(value) => Scalar::Boolean(*value),
        }
    }

    /// Returns the value as a graph's input of strings takes it; a missing one is empty.
    pub fn text(&self) -> String {
        match self {
            Self::Missing => String::new(),
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text.clone(),
            Self::Boolean(value) => value.to_string(),
            Self::Array(_) => String::new(),
        }
    }
}
