//! The response to a prediction request.

use onnward_records::prediction_id::{IdText, PredictionId};
use onnward_rows::BodyShape;
use onnward_schemas::{Violation, Violations};
use onnward_serving::registry::ServingModel;
use serde::ser::{Serialize, SerializeMap, Serializer};

/// The response to one request: flat for a single row, otherwise with a list of predictions.
pub struct Answer<'a> {
    /// The model that scored the rows.
    pub model: &'a ServingModel,
    /// The probability of the positive label for each row, in the request's order: `[rows]`.
    pub probabilities: &'a [f32],
    /// The form of the request's body: one row or a list.
    pub form: BodyShape,
    /// The id of the first prediction, from which those of the other rows are derived. `None` omits all ids.
    pub first: Option<PredictionId>,
}

/// Checks that every row has a probability. Extreme numbers can overflow in the model, and an external model
/// can fail on values that it was not trained on, or take too much for them. All return NaN.
///
/// # Errors
/// A violation for each such row.
pub fn check_finite(probabilities: &[f32]) -> Result<(), Violations> {
    let mut violations = Violations::default();
    for (row, _) in probabilities.iter().enumerate().filter(|(_, probability)| !probability.is_finite()) {
        violations.push(|| Violation {
            pointer: String::new(),
            row: Some(row),
            expected: "values for which the model returns a probability".to_owned(),
            got: "values for which it returns NaN or infinity, such as missing values or numbers that overflow, \
                  or takes too much memory or time"
                .to_owned(),
        });
    }
    if violations.is_empty() { Ok(()) } else { Err(violations) }
}

/// The approximate size of a prediction in a response, and of the fields around all predictions.
const PREDICTION_BYTES: usize = 96;

impl Answer<'_> {
    /// Serializes the response to JSON.
    ///
    /// # Errors
    /// None for a response; the error is part of serde's signature.
    pub fn to_json(&self) -> serde_json::Result<Vec<u8>> {
        let mut json = Vec::with_capacity((1 + self.probabilities.len()) * PREDICTION_BYTES);
        serde_json::to_writer(&mut json, self)?;
        Ok(json)
    }
}

impl Serialize for Answer<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let id = self.first.map(PredictionId::text);
        if let Some(id) = &id
            && self.form == BodyShape::Single
        {
            map.serialize_entry("id", id)?;
        }
        map.serialize_entry("model", &self.model.name)?;
        map.serialize_entry("version", &self.model.version)?;
        match self.form {
            BodyShape::Single => {
                for &probability in self.probabilities {
                    self.prediction(None, probability).write(&mut map)?;
                }
            }
            BodyShape::Many => map.serialize_entry("predictions", &Predictions(self, id))?,
        }
        map.end()
    }
}

impl<'a> Answer<'a> {
    fn prediction(&self, id: Option<IdText>, probability: f32) -> Prediction<'a> {
        let schema = self.model.description.schema();
        Prediction { id, label: &schema.label.name, probability, positive: schema.is_positive(probability) }
    }
}

/// The predictions of several rows, and the id of the first.
struct Predictions<'a>(&'a Answer<'a>, Option<IdText>);

impl Serialize for Predictions<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(answer, first) = self;
        let rows = answer.probabilities.iter().enumerate();
        serializer.collect_seq(
            rows.map(|(row, &probability)| {
                answer.prediction(first.map(|first| first.of_row(row)), probability)
            }),
        )
    }
}

struct Prediction<'a> {
    id: Option<IdText>,
    label: &'a str,
    probability: f32,
    positive: bool,
}

impl Prediction<'_> {
    fn write<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        if let Some(id) = &self.id {
            map.serialize_entry("id", id)?;
        }
        map.serialize_entry("probability", &self.probability)?;
        map.serialize_entry(self.label, &self.positive)
    }
}

impl Serialize for Prediction<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2 + usize::from(self.id.is_some())))?;
        self.write(&mut map)?;
        map.end()
    }
}
