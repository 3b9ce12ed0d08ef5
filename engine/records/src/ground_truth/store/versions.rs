//! The versions whose predictions are kept, under small numbers in place of their names.

use std::collections::BTreeMap;
use std::sync::Arc;

use onnward_serving::version::ModelVersion;
use redb::{ReadableTable, Table};

use super::StoreError;
use super::tables::VersionRow;

/// A version and how much of it there is.
#[derive(Debug, Clone)]
pub struct Counted {
    /// The version.
    pub by: Arc<ModelVersion>,
    /// How many predictions of it are kept.
    pub predictions: u64,
    /// How many of them have their outcome.
    pub outcomes: u64,
}

#[derive(Debug, Clone, Default)]
pub struct Versions {
    known: BTreeMap<u32, Counted>,
    /// Those that are in the file and not known any more.
    forgotten: Vec<u32>,
}

impl Versions {
    pub fn read(table: &Table<'_, u32, VersionRow>) -> Result<Self, StoreError> {
        let mut known = BTreeMap::new();
        for found in table.iter()? {
            let (number, row) = found?;
            let (model, version, threshold, positive, negative, predictions, outcomes) = row.value();
            let by = Arc::new(ModelVersion {
                model: model.to_owned(),
                version,
                threshold,
                positive: positive.to_owned(),
                negative: negative.to_owned(),
            });
            known.insert(number.value(), Counted { by, predictions, outcomes });
        }
        Ok(Self { known, forgotten: Vec::new() })
    }

    /// The number of a version, which gets one if it has none, and its counts.
    pub fn of(&mut self, by: &Arc<ModelVersion>) -> (u32, &mut Counted) {
        let is_it = |counted: &Counted| counted.by.version == by.version && counted.by.model == by.model;
        // The newest are those that predict.
        let known = self.known.iter().rev().find(|(_, counted)| is_it(counted)).map(|(number, _)| *number);
        let number = known.unwrap_or_else(|| self.known.keys().next_back().map_or(0, |last| last + 1));
        let new = || Counted { by: Arc::clone(by), predictions: 0, outcomes: 0 };
        (number, self.known.entry(number).or_insert_with(new))
    }

    pub fn get(&self, number: u32) -> Result<&Counted, StoreError> {
        self.known.get(&number).ok_or(StoreError::Torn { what: "a prediction's version" })
    }

    pub fn get_mut(&mut self, number: u32) -> Result<&mut Counted, StoreError> {
        self.known.get_mut(&number).ok_or(StoreError::Torn { what: "a prediction's version" })
    }

    /// Lets go of versions of which nothing is kept.
    pub fn forget_empty(&mut self) {
        let forgotten = &mut self.forgotten;
        self.known.retain(|number, counted| {
            if counted.predictions == 0 {
                forgotten.push(*number);
            }
            counted.predictions > 0
        });
    }

    pub fn write(&mut self, table: &mut Table<'_, u32, VersionRow>) -> Result<(), StoreError> {
        for number in self.forgotten.drain(..) {
            table.remove(number)?;
        }
        for (number, Counted { by, predictions, outcomes }) in &self.known {
            let ModelVersion { model, version, threshold, positive, negative } = &**by;
            let row = (model.as_str(), *version, *threshold, positive.as_str(), negative.as_str());
            let (model, version, threshold, positive, negative) = row;
            table
                .insert(*number, (model, version, threshold, positive, negative, *predictions, *outcomes))?;
        }
        Ok(())
    }

    pub fn predictions(&self) -> u64 {
        self.known.values().map(|counted| counted.predictions).sum()
    }

    pub fn iter(&self) -> impl Iterator<Item = (u32, &Counted)> {
        self.known.iter().map(|(number, counted)| (*number, counted))
    }
}
