//! The response to a prediction request.

use onnward_records::prediction_id::{IdText, PredictionId};
use onnward_rows::BodyShape;
use onnward_schemas::{LabelledPrediction, Predictions, Schema, Violation, Violations, pointer_to};
use onnward_serving::registry::ServingModel;
use serde::ser::{Serialize, SerializeMap, Serializer};

/// The response to one request: flat for a single row, otherwise with a list of predictions.
pub struct Answer<'a> {
    /// The model that scored the rows.
    pub model: &'a ServingModel,
    /// The prediction for each row, in the request's order.
    pub predictions: &'a Predictions,
    /// The form of the request's body: one row or a list.
    pub form: BodyShape,
    /// The id of the first prediction, from which those of the other rows are derived. `None` omits all ids.
    pub first: Option<PredictionId>,
}

/// Checks that every row has a prediction. Extreme numbers can overflow in the model, and an external model can fail on
/// values that it was not trained on, or take too much for them. `form` is the form of the request's body.
///
/// # Errors
/// A violation for each row without a prediction, with the runtime's reason where there is one. It names the field if
/// the model has only one.
pub fn check_predicted(
    predictions: &Predictions,
    schema: &Schema,
    form: BodyShape,
) -> Result<(), Violations> {
    let mut violations = Violations::default();
    let pointer = |row| match schema.features.as_slice() {
        [only] => pointer_to(&form.pointer_to_row(row), &only.name),
        _ => form.pointer_to_row(row),
    };
    let mut failures = predictions.failures.iter().peekable();
    for row in 0..predictions.len() {
        let failure = failures.next_if(|failure| failure.row == row);
        let is_finite = || predictions.row(row).is_some_and(|prediction| prediction.is_finite());
        if failure.is_none() && is_finite() {
            continue;
        }
        violations.push(|| Violation {
            pointer: pointer(row),
            row: Some(row),
            expected: "values for which the model returns a prediction".to_owned(),
            got: match failure {
                Some(failure) => format!("values on which it fails: {}", shortened(&failure.reason)),
                None => "values for which it returns NaN or infinity, such as missing values or numbers that overflow"
                    .to_owned(),
            },
        });
    }
    if violations.is_empty() { Ok(()) } else { Err(violations) }
}

/// Shortens a runtime's reason, which may list all nodes of a graph.
fn shortened(reason: &str) -> String {
    const LONGEST: usize = 300;
    match reason.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &reason[..end]),
        None => reason.to_owned(),
    }
}

/// The approximate size of a prediction in a response, and of the fields around all predictions.
const PREDICTION_BYTES: usize = 96;

impl Answer<'_> {
    /// Serializes the response to JSON.
    ///
    /// # Errors
    /// None for a response; the error is part of serde's signature.
    pub fn to_json(&self) -> serde_json::Result<Vec<u8>> {
        let mut json = Vec::with_capacity((1 + self.predictions.len()) * PREDICTION_BYTES);
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
                if let Some(prediction) = self.labelled(0) {
                    prediction.write(&mut map)?;
                }
            }
            BodyShape::Many | BodyShape::Instances => {
                map.serialize_entry("predictions", &PredictionList(self, id))?
            }
        }
        map.end()
    }
}

impl Answer<'_> {
    /// Returns the prediction of a row in the terms of the model's label.
    fn labelled(&self, row: usize) -> Option<LabelledPrediction<'_>> {
        let label = &self.model.description.schema().label;
        let prediction = self.predictions.row(row)?;
        Some(LabelledPrediction { task: &label.task, key: &label.name, prediction })
    }
}

/// The predictions of several rows, and the id of the first.
struct PredictionList<'a>(&'a Answer<'a>, Option<IdText>);

impl Serialize for PredictionList<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(answer, first) = self;
        let rows = 0..answer.predictions.len();
        serializer.collect_seq(rows.filter_map(|row| {
            Some(ListedPrediction {
                id: first.map(|first| first.of_row(row)),
                prediction: answer.labelled(row)?,
            })
        }))
    }
}

struct ListedPrediction<'a> {
    id: Option<IdText>,
    prediction: LabelledPrediction<'a>,
}

impl Serialize for ListedPrediction<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if let Some(id) = &self.id {
            map.serialize_entry("id", id)?;
        }
        self.prediction.write(&mut map)?;
        map.end()
    }
}
