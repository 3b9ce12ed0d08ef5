use onnward_quality::performance::{
    LabelProbability, Labelled, LabelledClass, LabelledNumber, LabelledPrediction,
};
use onnward_schemas::Task;
use redb::ReadableTable;

use super::outcome::{StoredOutcome, is_same_label};
use super::record::{Record, StoredPrediction, key_digest};
use super::tables::Tables;
use super::{Event, State, StoreError};
use crate::ground_truth::join::{
    JoinResult, Joined, LabelValue, Outcome, PermittedLabels, Reference, WrongLabel,
};
use crate::prediction_id::PredictionId;

/// A stored prediction.
struct Prediction {
    id: PredictionId,
    version: u32,
    predicted: StoredPrediction,
}

/// The largest label that is a number.
const LARGEST: f64 = f32::MAX as f64;

/// The prediction that an outcome refers to, with its label.
enum Resolved {
    Prediction { id: PredictionId, version: u32, judged: Labelled },
    Nothing(JoinResult),
}

impl State {
    /// Joins the outcomes of one request: all, or none if a label is wrong. `oldest` is the time, in
    /// milliseconds since 1970, before which predictions are not stored.
    pub fn join(
        &mut self,
        tables: &mut Tables<'_>,
        outcomes: &[Outcome],
        oldest: u64,
        now: u64,
        events: &mut Vec<Event>,
    ) -> Result<Result<Vec<Joined>, Vec<WrongLabel>>, StoreError> {
        let mut found = Vec::with_capacity(outcomes.len());
        let mut wrong = Vec::new();
        for (item, outcome) in outcomes.iter().enumerate() {
            match self.resolve(tables, outcome, oldest)? {
                Ok(one) => found.push(one),
                Err(has) => wrong.push(WrongLabel { item, has, got: outcome.label.clone() }),
            }
        }
        if !wrong.is_empty() {
            return Ok(Err(wrong));
        }
        let mut answers = Vec::with_capacity(found.len());
        for (found, outcome) in found.into_iter().zip(outcomes) {
            answers.push(match found {
                Resolved::Prediction { id, version, judged } => {
                    self.record(tables, (id, version), judged, outcome, now, events)?
                }
                Resolved::Nothing(result) => Joined {
                    result,
                    id: if let Reference::Id(id) = outcome.of { Some(id) } else { None },
                    model: None,
                    version: None,
                },
            });
        }
        Ok(Ok(answers))
    }

    /// Resolves an outcome to a prediction. The inner error holds the label's valid values.
    fn resolve(
        &self,
        tables: &Tables<'_>,
        outcome: &Outcome,
        oldest: u64,
    ) -> Result<Result<Resolved, PermittedLabels>, StoreError> {
        let prediction = match &outcome.of {
            Reference::Id(id) => prediction_of(tables, *id)?,
            Reference::Key { model, key } => {
                let id = latest_of(tables, key_digest(model, key), outcome.millis)?;
                id.map(|id| prediction_of(tables, id)).transpose()?.flatten()
            }
        };
        let Some(prediction) = prediction else {
            let millis = match &outcome.of {
                Reference::Id(id) => Some(id.millis()),
                Reference::Key { .. } => outcome.millis,
            };
            let is_late = millis.is_some_and(|millis| millis < oldest);
            return Ok(Ok(Resolved::Nothing(if is_late { JoinResult::Late } else { JoinResult::Unknown })));
        };
        let by = &self.versions.get(prediction.version)?.by;
        Ok(judge(&by.task, &prediction.predicted, &outcome.label).map(|judged| Resolved::Prediction {
            id: prediction.id,
            version: prediction.version,
            judged,
        }))
    }

    fn record(
        &mut self,
        tables: &mut Tables<'_>,
        (id, version): (PredictionId, u32),
        judged: Labelled,
        outcome: &Outcome,
        now: u64,
        events: &mut Vec<Event>,
    ) -> Result<Joined, StoreError> {
        let before = StoredOutcome::find(tables, id.as_u128(), judged)?;
        let (result, received) = match before {
            None => (JoinResult::Joined, now),
            Some(before) if is_same_label(before.judged, judged) => (JoinResult::Duplicate, now),
            // It keeps its place in the order of arrival.
            Some(before) if outcome.corrects => (JoinResult::Corrected, before.received),
            Some(_) => (JoinResult::Contradicting, now),
        };
        let stats = self.versions.get_mut(version)?;
        if matches!(result, JoinResult::Joined | JoinResult::Corrected) {
            let millis = outcome.millis.unwrap_or(now);
            StoredOutcome { version, judged, millis, received }.insert(tables, id.as_u128())?;
            stats.outcomes += u64::from(before.is_none());
            events.push(Event { id, version, judged, received, corrects: before.is_some() });
        }
        let by = &stats.by;
        Ok(Joined { result, id: Some(id), model: Some(by.model.clone()), version: Some(by.version) })
    }
}

fn prediction_of(tables: &Tables<'_>, id: PredictionId) -> Result<Option<Prediction>, StoreError> {
    let Some(value) = tables.predictions.get(id.of_row(0).as_u128())? else { return Ok(None) };
    let record = Record::decode(value.value())?;
    let predicted = record.prediction(id.row());
    Ok(predicted.map(|predicted| Prediction { id, version: record.version, predicted }))
}

/// Reads a label in the terms of the model's task, and puts it beside the prediction. The error holds the valid labels.
fn judge(task: &Task, predicted: &StoredPrediction, label: &LabelValue) -> Result<Labelled, PermittedLabels> {
    match task {
        Task::Binary(binary) => {
            let positive = match label {
                LabelValue::Truth(positive) => Some(*positive),
                LabelValue::Value(value) | LabelValue::Number(value) => binary.truth_of(value),
            };
            match (positive, predicted) {
                (Some(positive), StoredPrediction::Probability(probability)) => {
                    Ok(Labelled::Binary(LabelledPrediction { probability: *probability, positive }))
                }
                _ => Err(PermittedLabels::Binary([binary.positive.clone(), binary.negative.clone()])),
            }
        }
        Task::Classes(classes) => {
            let index = match label {
                LabelValue::Truth(_) => None,
                LabelValue::Value(value) | LabelValue::Number(value) => classes.index_of(value),
            };
            match (index, predicted) {
                (Some(index), StoredPrediction::Class(class, _)) => {
                    let label = index as u32;
                    let of_label = predicted.probabilities();
                    let of_label = of_label.and_then(|all| LabelProbability::of(label, all));
                    Ok(Labelled::Class(LabelledClass { predicted: *class, label, of_label }))
                }
                _ => Err(PermittedLabels::Classes(classes.values.clone())),
            }
        }
        Task::Number => {
            let number = match label {
                LabelValue::Truth(_) | LabelValue::Value(_) => None,
                // Answers have single precision, and one number beyond it would drown all errors.
                LabelValue::Number(text) => text.parse().ok().filter(|number: &f64| number.abs() <= LARGEST),
            };
            match (number, predicted) {
                (Some(number), StoredPrediction::Number(predicted)) => {
                    Ok(Labelled::Number(LabelledNumber(*predicted, number)))
                }
                _ => Err(PermittedLabels::Number),
            }
        }
        // Outputs of external graphs are not stored.
        Task::Raw(_) => Err(PermittedLabels::Classes(Vec::new())),
    }
}

/// Finds the last prediction of a key, made no later than `until` if given, in milliseconds since 1970.
fn latest_of(
    tables: &Tables<'_>,
    digest: u64,
    until: Option<u64>,
) -> Result<Option<PredictionId>, StoreError> {
    let end = until.map_or(u128::MAX, |millis| PredictionId::lower_bound(millis.saturating_add(1)));
    let last = tables.keys.range((digest, 0)..(digest, end))?.next_back().transpose()?;
    Ok(last.map(|(key, _)| PredictionId::from_u128(key.value().1)))
}
