//! The file of predictions and their outcomes: one redb database, written by one thread.
//!
//! Every change is one transaction, on disk once committed. Predictions beyond their age or number are
//! removed with their outcomes, the oldest first.

mod error;
mod expire;
mod join;
mod outcome;
mod record;
mod tables;
mod versions;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use onnward_quality::performance::Labelled;
use onnward_schemas::Task;
use onnward_serving::version::ModelVersion;
use redb::{Builder, Database, ReadableDatabase, ReadableTable};

pub use self::error::StoreError;
use self::outcome::StoredOutcome;
use self::record::{Record, encode, keys_of};
use self::tables::{CLASS_OUTCOMES, NUMBER_OUTCOMES, OUTCOMES, Tables};
pub use self::versions::VersionStats;
use self::versions::Versions;
use super::batch::PredictionBatch;
use super::join::{Joined, Outcome, WrongLabel};
use crate::prediction_id::PredictionId;

/// The bounds of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The retention of a prediction, in milliseconds.
    pub retention_millis: u64,
    /// The maximum number of stored predictions.
    pub max_predictions: u64,
}

/// The open store.
#[derive(Debug)]
pub struct Store {
    database: Database,
    path: PathBuf,
    bounds: Bounds,
    state: State,
}

/// The state that is known without reading the file. It changes when a transaction is committed.
#[derive(Debug, Clone, Default)]
struct State {
    versions: Versions,
    /// The number of stored predictions.
    rows: u64,
    /// Predictions of up to this time, in milliseconds since 1970, may have been removed.
    removed_until: u64,
}

/// A joined outcome with its prediction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Event {
    /// The prediction.
    pub id: PredictionId,
    /// The version's number in the store.
    pub version: u32,
    /// The prediction and the label.
    pub judged: Labelled,
    /// The time at which the outcome was received, in milliseconds since 1970.
    pub received: u64,
    /// Whether it replaced another one.
    pub corrects: bool,
}

/// The result of a transaction.
#[derive(Debug)]
pub struct WriteResult {
    /// The answer to each request of outcomes.
    pub answers: Vec<Result<Vec<Joined>, Vec<WrongLabel>>>,
    /// The outcomes that are new or corrected.
    pub events: Vec<Event>,
    /// Whether more is to be removed than one transaction may.
    pub is_over_bounds: bool,
}

/// The file's name in its folder.
const FILE: &str = "predictions.redb";
/// The size of the cache in memory.
const CACHE_BYTES: usize = 32 * 1024 * 1024;
/// The version of the layout of a store that has predictions of binary models alone.
const FORMAT: u64 = 1;
/// The version of the layout of a store with predictions of other tasks. Engines that do not know them refuse it.
const FORMAT_OF_TASKS: u64 = 2;

impl Store {
    /// Opens or creates the store in a folder.
    ///
    /// # Errors
    /// [`StoreError`]: the file is in use, is damaged, is another program's, or cannot be read.
    pub fn open(folder: &Path, bounds: Bounds) -> Result<Self, StoreError> {
        let path = folder.join(FILE);
        let database = Builder::new().set_cache_size(CACHE_BYTES).create(&path)?;
        let mut store = Self { database, path, bounds, state: State::default() };
        store.read_state()?;
        Ok(store)
    }

    fn read_state(&mut self) -> Result<(), StoreError> {
        let transaction = self.database.begin_write()?;
        {
            let mut tables = Tables::open(&transaction)?;
            let format = tables.meta.get("format")?.map(|format| format.value());
            match format {
                None => drop(tables.meta.insert("format", FORMAT)?),
                Some(FORMAT | FORMAT_OF_TASKS) => {}
                Some(other) => return Err(StoreError::OtherFormat { found: other, known: FORMAT_OF_TASKS }),
            }
            let removed = tables.meta.get("removed_until")?.map_or(0, |time| time.value());
            let versions = Versions::read(&tables.versions, &tables.artifacts, &tables.tasks)?;
            self.state = State { rows: versions.predictions(), versions, removed_until: removed };
        }
        transaction.commit()?;
        Ok(())
    }

    /// Reads every outcome in the order of arrival.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    pub fn events(&self) -> Result<Vec<Event>, StoreError> {
        let transaction = self.database.begin_read()?;
        let mut events = Vec::new();
        let mut add = |id: u128, outcome: StoredOutcome| {
            let StoredOutcome { version, judged, received, .. } = outcome;
            let id = PredictionId::from_u128(id);
            events.push(Event { id, version, judged, received, corrects: false });
        };
        for found in transaction.open_table(OUTCOMES)?.iter()? {
            let (id, outcome) = found?;
            add(id.value(), outcome.value().into());
        }
        for found in transaction.open_table(CLASS_OUTCOMES)?.iter()? {
            let (id, outcome) = found?;
            add(id.value(), outcome.value().into());
        }
        for found in transaction.open_table(NUMBER_OUTCOMES)?.iter()? {
            let (id, outcome) = found?;
            add(id.value(), outcome.value().into());
        }
        events.sort_by_key(|event| event.received);
        Ok(events)
    }

    /// Stores predictions, joins outcomes and removes expired predictions in one transaction. All of it is on
    /// disk when it returns. `now` is in milliseconds since 1970.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing has changed.
    pub fn write(
        &mut self,
        scored: &[PredictionBatch],
        requests: &[Vec<Outcome>],
        now: u64,
    ) -> Result<WriteResult, StoreError> {
        let mut state = self.state.clone();
        let mut written = WriteResult { answers: Vec::new(), events: Vec::new(), is_over_bounds: false };
        let transaction = self.database.begin_write()?;
        {
            let mut tables = Tables::open(&transaction)?;
            for one in scored {
                state.keep(&mut tables, one)?;
            }
            written.is_over_bounds = state.expire(&mut tables, self.bounds, now)?;
            let oldest = now.saturating_sub(self.bounds.retention_millis).max(state.removed_until + 1);
            for outcomes in requests {
                written.answers.push(state.join(&mut tables, outcomes, oldest, now, &mut written.events)?);
            }
            state.versions.write(&mut tables.versions, &mut tables.artifacts, &mut tables.tasks)?;
            tables.meta.insert("removed_until", state.removed_until)?;
        }
        transaction.commit()?;
        self.state = state;
        Ok(written)
    }

    /// Returns the number of stored predictions.
    pub fn predictions(&self) -> u64 {
        self.state.rows
    }

    /// Returns the size of the file in bytes.
    pub fn file_bytes(&self) -> u64 {
        std::fs::metadata(&self.path).map_or(0, |file| file.len())
    }

    /// Returns the versions of the stored predictions, with their numbers in the store.
    pub fn versions(&self) -> impl Iterator<Item = (u32, &VersionStats)> {
        self.state.versions.iter()
    }

    /// Returns one artifact for each model and version: the loaded one if it is given, else the last to
    /// predict.
    pub fn current_versions(
        &self,
        loaded: &[Arc<ModelVersion>],
    ) -> impl Iterator<Item = (u32, &VersionStats)> {
        self.state.versions.current(loaded)
    }

    /// Returns the time up to which predictions may have been removed, in milliseconds since 1970.
    pub fn removed_until(&self) -> u64 {
        self.state.removed_until
    }
}

impl State {
    fn keep(&mut self, tables: &mut Tables<'_>, scored: &PredictionBatch) -> Result<(), StoreError> {
        if !scored.is_storable() {
            return Ok(());
        }
        let rows = scored.predictions.len() as u64;
        if !matches!(scored.by.task, Task::Binary(_)) {
            tables.meta.insert("format", FORMAT_OF_TASKS)?;
        }
        let (number, stats) = self.versions.number_of(&scored.by);
        stats.predictions += rows;
        stats.last_prediction = stats.last_prediction.max(scored.first.millis());
        self.rows += rows;
        encode(number, scored, &mut tables.buffer);
        if let Some(before) = tables.predictions.insert(scored.first.as_u128(), tables.buffer.as_slice())? {
            // Two requests drew the same id in the same millisecond: the later one replaces the other.
            let before = Record::decode(before.value())?;
            self.rows -= before.rows() as u64;
            self.versions.get_mut(before.version)?.predictions -= before.rows() as u64;
        }
        for (row, digest) in keys_of(scored).enumerate() {
            if let Some(digest) = digest {
                tables.keys.insert((digest, scored.first.of_row(row).as_u128()), ())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
