//! The versions of the stored predictions, by small numbers in place of their names.

use std::collections::BTreeMap;
use std::sync::Arc;

use onnward_schemas::{Binary, Classes, Task};
use onnward_serving::version::ModelVersion;
use redb::{ReadableTable, Table};

use super::StoreError;
use super::tables::{ArtifactRow, VersionRow};

/// A version and the counts of its predictions.
#[derive(Debug, Clone)]
pub struct VersionStats {
    /// The version.
    pub by: Arc<ModelVersion>,
    /// The number of its stored predictions.
    pub predictions: u64,
    /// The number of them with an outcome.
    pub outcomes: u64,
    /// The time of its last prediction, in milliseconds since 1970. 0 if an older engine stored it.
    pub last_prediction: u64,
}

/// The text of the task of a model of a number.
const NUMBER: &str = "";

/// Reads a task that is not binary.
fn read_task(text: &str) -> Result<Task, StoreError> {
    if text == NUMBER {
        return Ok(Task::Number);
    }
    let values = serde_json::from_str(text);
    let values = values.map_err(|_| StoreError::Incomplete { what: "a version's classes" })?;
    Ok(Task::Classes(Classes { values }))
}

/// The versions of the stored predictions.
#[derive(Debug, Clone, Default)]
pub struct Versions {
    known: BTreeMap<u32, VersionStats>,
    /// The numbers that are still in the file and no longer known.
    removed: Vec<u32>,
}

impl Versions {
    /// Reads the versions from their tables.
    pub fn read(
        versions: &Table<'_, u32, VersionRow>,
        artifacts: &Table<'_, u32, ArtifactRow>,
        tasks: &Table<'_, u32, &'static str>,
    ) -> Result<Self, StoreError> {
        let mut known = BTreeMap::new();
        for found in versions.iter()? {
            let (number, row) = found?;
            let (model, version, threshold, positive, negative, predictions, outcomes) = row.value();
            let artifact = artifacts.get(number.value())?;
            let artifact = artifact.as_ref().map(|artifact| artifact.value());
            let by = Arc::new(ModelVersion {
                model: model.to_owned(),
                version,
                sha256: artifact.map(|(sha256, _)| sha256.to_owned()),
                task: match tasks.get(number.value())? {
                    Some(task) => read_task(task.value())?,
                    None => Task::Binary(Binary {
                        positive: positive.to_owned(),
                        negative: negative.to_owned(),
                        threshold,
                    }),
                },
            });
            let last_prediction = artifact.map_or(0, |(_, last)| last);
            known.insert(number.value(), VersionStats { by, predictions, outcomes, last_prediction });
        }
        Ok(Self { known, removed: Vec::new() })
    }

    /// Returns a version's number and counts. Assigns a number to a new version.
    ///
    /// A version without a digest, stored by an older engine, becomes that of the first equal artifact that
    /// predicts.
    pub fn number_of(&mut self, by: &Arc<ModelVersion>) -> (u32, &mut VersionStats) {
        let has_digest = |stats: &VersionStats| stats.by.sha256.is_some();
        let is_it = |stats: &VersionStats| Arc::ptr_eq(&stats.by, by) || stats.by.is_same_artifact(by);
        // The newest are those that predict.
        let same = || self.known.iter().rev().filter(|(_, stats)| is_it(stats));
        let known = same().find(|(_, stats)| has_digest(stats)).or_else(|| same().next());
        let next = || self.known.keys().next_back().map_or(0, |last| last + 1);
        let number = known.map_or_else(next, |(number, _)| *number);
        let new = || VersionStats { by: Arc::clone(by), predictions: 0, outcomes: 0, last_prediction: 0 };
        let stats = self.known.entry(number).or_insert_with(new);
        if !Arc::ptr_eq(&stats.by, by) {
            stats.by = Arc::clone(by);
        }
        (number, stats)
    }

    /// Returns the version with this number.
    pub fn get(&self, number: u32) -> Result<&VersionStats, StoreError> {
        self.known.get(&number).ok_or(StoreError::Incomplete { what: "a prediction's version" })
    }

    /// Returns the version with this number, to change its counts.
    pub fn get_mut(&mut self, number: u32) -> Result<&mut VersionStats, StoreError> {
        self.known.get_mut(&number).ok_or(StoreError::Incomplete { what: "a prediction's version" })
    }

    /// Removes versions without predictions.
    pub fn remove_empty(&mut self) {
        let removed = &mut self.removed;
        self.known.retain(|number, stats| {
            if stats.predictions == 0 {
                removed.push(*number);
            }
            stats.predictions > 0
        });
    }

    /// Writes the versions to their tables.
    pub fn write(
        &mut self,
        versions: &mut Table<'_, u32, VersionRow>,
        artifacts: &mut Table<'_, u32, ArtifactRow>,
        tasks: &mut Table<'_, u32, &'static str>,
    ) -> Result<(), StoreError> {
        for number in self.removed.drain(..) {
            versions.remove(number)?;
            artifacts.remove(number)?;
            tasks.remove(number)?;
        }
        for (number, VersionStats { by, predictions, outcomes, last_prediction }) in &self.known {
            let ModelVersion { model, version, sha256, .. } = &**by;
            let (threshold, positive, negative) = match &by.task {
                Task::Binary(Binary { positive, negative, threshold }) => {
                    (*threshold, positive.as_str(), negative.as_str())
                }
                Task::Classes(Classes { values }) => {
                    tasks.insert(*number, serde_json::json!(values).to_string().as_str())?;
                    (0.0, "", "")
                }
                Task::Number => {
                    tasks.insert(*number, NUMBER)?;
                    (0.0, "", "")
                }
                // Outputs of external graphs are not stored.
                Task::Raw(_) => continue,
            };
            let row = (model.as_str(), *version, threshold, positive, negative, *predictions, *outcomes);
            versions.insert(*number, row)?;
            if let Some(sha256) = sha256 {
                artifacts.insert(*number, (sha256.as_str(), *last_prediction))?;
            }
        }
        Ok(())
    }

    /// Returns the number of stored predictions.
    pub fn predictions(&self) -> u64 {
        self.known.values().map(|stats| stats.predictions).sum()
    }

    /// Iterates over the versions with their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &VersionStats)> {
        self.known.iter().map(|(number, stats)| (*number, stats))
    }

    /// Iterates over one artifact for each model and version: the loaded one if it is given, else the last to
    /// predict.
    pub fn current(&self, loaded: &[Arc<ModelVersion>]) -> impl Iterator<Item = (u32, &VersionStats)> {
        let mut current: BTreeMap<(&str, u64), (u32, &VersionStats)> = BTreeMap::new();
        for (number, stats) in self.iter() {
            let key = (stats.by.model.as_str(), stats.by.version);
            let is_named = |by: &&Arc<ModelVersion>| (by.model.as_str(), by.version) == key;
            if loaded.iter().find(is_named).is_some_and(|by| !by.is_same_artifact(&stats.by)) {
                continue;
            }
            let rank = |stats: &VersionStats| (stats.by.sha256.is_some(), stats.last_prediction);
            let one = current.entry(key).or_insert((number, stats));
            if rank(stats) >= rank(one.1) {
                *one = (number, stats);
            }
        }
        current.into_values()
    }
}
