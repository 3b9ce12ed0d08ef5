use onnward_quality::performance::LabelledPrediction;
use redb::ReadableTable;

use super::record::{Record, key_digest};
use super::tables::Tables;
use super::{Event, State, StoreError};
use crate::ground_truth::join::{JoinResult, Joined, LabelValue, Outcome, Reference, WrongLabel};
use crate::prediction_id::PredictionId;

/// A stored prediction.
struct Prediction {
    id: PredictionId,
    version: u32,
    probability: f32,
}

/// The prediction that an outcome refers to, with its label.
enum Resolved {
    Prediction(Prediction, bool),
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
                Err(has) => wrong.push(WrongLabel { item, has }),
            }
        }
        if !wrong.is_empty() {
            return Ok(Err(wrong));
        }
        let mut answers = Vec::with_capacity(found.len());
        for (found, outcome) in found.into_iter().zip(outcomes) {
            answers.push(match found {
                Resolved::Prediction(prediction, positive) => {
                    self.record(tables, &prediction, positive, outcome, now, events)?
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
    ) -> Result<Result<Resolved, [String; 2]>, StoreError> {
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
        let positive = match &outcome.label {
            LabelValue::Truth(positive) => Some(*positive),
            LabelValue::Value(value) => by.binary().and_then(|binary| binary.truth_of(value)),
        };
        Ok(match positive {
            Some(positive) => Ok(Resolved::Prediction(prediction, positive)),
            None => Err(by
                .binary()
                .map(|binary| [binary.positive.clone(), binary.negative.clone()])
                .unwrap_or_default()),
        })
    }

    fn record(
        &mut self,
        tables: &mut Tables<'_>,
        prediction: &Prediction,
        positive: bool,
        outcome: &Outcome,
        now: u64,
        events: &mut Vec<Event>,
    ) -> Result<Joined, StoreError> {
        let Prediction { id, version, probability } = *prediction;
        let before = tables.outcomes.get(id.as_u128())?.map(|before| before.value());
        let (result, received) = match before {
            None => (JoinResult::Joined, now),
            Some((_, _, label, ..)) if label == positive => (JoinResult::Duplicate, now),
            // It keeps its place in the order of arrival.
            Some((.., received)) if outcome.corrects => (JoinResult::Corrected, received),
            Some(_) => (JoinResult::Contradicting, now),
        };
        let stats = self.versions.get_mut(version)?;
        if matches!(result, JoinResult::Joined | JoinResult::Corrected) {
            let millis = outcome.millis.unwrap_or(now);
            tables.outcomes.insert(id.as_u128(), (version, probability, positive, millis, received))?;
            stats.outcomes += u64::from(before.is_none());
            let judged = LabelledPrediction { probability, positive };
            events.push(Event { id, version, judged, received, corrects: before.is_some() });
        }
        let by = &stats.by;
        Ok(Joined { result, id: Some(id), model: Some(by.model.clone()), version: Some(by.version) })
    }
}

fn prediction_of(tables: &Tables<'_>, id: PredictionId) -> Result<Option<Prediction>, StoreError> {
    let Some(value) = tables.predictions.get(id.of_row(0).as_u128())? else { return Ok(None) };
    let record = Record::decode(value.value())?;
    let probability = record.probability(id.row());
    Ok(probability.map(|probability| Prediction { id, version: record.version, probability }))
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
