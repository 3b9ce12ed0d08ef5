use std::borrow::Cow;

use onnward_schemas::{ClassPredictions, PredictedValues, Predictions};

/// Returns what is counted of each row's prediction: the probability, the index of the class, or the number. NaN
/// where there is none. `None` for the outputs of an external graph.
pub fn scores_of(predictions: &Predictions) -> Option<Cow<'_, [f32]>> {
    match &predictions.values {
        PredictedValues::Probabilities(numbers) | PredictedValues::Numbers(numbers) => {
            Some(numbers.to_single())
        }
        PredictedValues::Classes(classes) => Some(classes.indices.iter().copied().map(code).collect()),
        PredictedValues::Outputs(_) => None,
    }
}

/// Returns the index of a class as a category's code.
fn code(index: u32) -> f32 {
    if index == ClassPredictions::NONE { f32::NAN } else { index as f32 }
}
