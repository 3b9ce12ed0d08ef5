//! The stored outcomes: of binary models in a table that older engines read, and of the others in tables of their own.

use onnward_quality::performance::{
    LabelProbability, Labelled, LabelledClass, LabelledNumber, LabelledPrediction,
};
use redb::ReadableTable;

use super::StoreError;
use super::tables::{ClassOutcomeRow, NumberOutcomeRow, OutcomeRow, Tables};

/// A stored outcome.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StoredOutcome {
    /// The version's number in the store.
    pub version: u32,
    /// The prediction and the label.
    pub judged: Labelled,
    /// When it turned out, in milliseconds since 1970.
    pub millis: u64,
    /// When it arrived, in milliseconds since 1970.
    pub received: u64,
}

impl From<OutcomeRow> for StoredOutcome {
    fn from((version, probability, positive, millis, received): OutcomeRow) -> Self {
        let judged = Labelled::Binary(LabelledPrediction { probability, positive });
        Self { version, judged, millis, received }
    }
}

impl From<ClassOutcomeRow> for StoredOutcome {
    fn from((version, predicted, label, of_label, millis, received): ClassOutcomeRow) -> Self {
        let of_label =
            of_label.map(|(probability, more_probable)| LabelProbability { probability, more_probable });
        let judged = Labelled::Class(LabelledClass { predicted, label, of_label });
        Self { version, judged, millis, received }
    }
}

impl From<NumberOutcomeRow> for StoredOutcome {
    fn from((version, predicted, label, millis, received): NumberOutcomeRow) -> Self {
        Self { version, judged: Labelled::Number(LabelledNumber(predicted, label)), millis, received }
    }
}

impl StoredOutcome {
    /// Finds the outcome of a prediction, if it has one. `judged` is any outcome of its model's task.
    pub fn find(tables: &Tables<'_>, id: u128, judged: Labelled) -> Result<Option<Self>, StoreError> {
        Ok(match judged {
            Labelled::Binary(_) => tables.outcomes.get(id)?.map(|found| found.value().into()),
            Labelled::Class(_) => tables.class_outcomes.get(id)?.map(|found| found.value().into()),
            Labelled::Number(_) => tables.number_outcomes.get(id)?.map(|found| found.value().into()),
        })
    }

    /// Writes the outcome of a prediction.
    pub fn insert(self, tables: &mut Tables<'_>, id: u128) -> Result<(), StoreError> {
        let Self { version, judged, millis, received } = self;
        match judged {
            Labelled::Binary(LabelledPrediction { probability, positive }) => {
                tables.outcomes.insert(id, (version, probability, positive, millis, received))?;
            }
            Labelled::Class(LabelledClass { predicted, label, of_label }) => {
                let of_label = of_label.map(|of_label| (of_label.probability, of_label.more_probable));
                let row = (version, predicted, label, of_label, millis, received);
                tables.class_outcomes.insert(id, row)?;
            }
            Labelled::Number(LabelledNumber(predicted, label)) => {
                tables.number_outcomes.insert(id, (version, predicted, label, millis, received))?;
            }
        }
        Ok(())
    }

    /// Removes the outcomes of predictions before `end`, and calls `removed` with the version of each.
    pub fn remove_before(
        tables: &mut Tables<'_>,
        end: u128,
        mut removed: impl FnMut(u32) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        for found in tables.outcomes.extract_from_if(..end, |_, _| true)? {
            removed(found?.1.value().0)?;
        }
        for found in tables.class_outcomes.extract_from_if(..end, |_, _| true)? {
            removed(found?.1.value().0)?;
        }
        for found in tables.number_outcomes.extract_from_if(..end, |_, _| true)? {
            removed(found?.1.value().0)?;
        }
        Ok(())
    }
}

/// Returns whether two outcomes of one prediction have the same label.
pub fn is_same_label(one: Labelled, other: Labelled) -> bool {
    match (one, other) {
        (Labelled::Binary(one), Labelled::Binary(other)) => one.positive == other.positive,
        (Labelled::Class(one), Labelled::Class(other)) => one.label == other.label,
        (Labelled::Number(one), Labelled::Number(other)) => one.1 == other.1,
        _ => false,
    }
}
