//! What of a repository goes by age: records that grow with every command and that nothing needs any more.
//!
//! | kind | goes if it is old and |
//! |---|---|
//! | `audit` | both records of the action are old |
//! | `half-upload` | it is a version without a manifest, or a file that was never completed |
//! | `pointer-entry` | it is none of the pointer's newest ten, and no rollback of the next ten goes to it |
//! | `tombstone` | its version's number is none of the ten highest |
//!
//! The newest of every log stay, whatever their age. So a pointer keeps its version and its history, and no number
//! is given again. Whoever planned a move or a publication before still finds its number taken.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use onnward_schemas::layout::{parse_entry, parse_version};
use serde::Serialize;

use crate::audit;
use crate::delete::Deletion;
use crate::error::RepositoryError;
use crate::intent::MoveIntent;
use crate::inventory::{Inventory, ModelFile, READS_AT_A_TIME};
use crate::pointer::Pointer;
use crate::store::{Repository, check_name};

/// The number of the newest entries of a pointer, of the rollbacks in a row, and of the highest numbers that stay
/// whatever their age.
const ALWAYS_KEPT: usize = 10;

/// The kinds of records that go by age.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecordKind {
    /// The records of an action in the audit log.
    Audit,
    /// A version whose upload was interrupted, or a file that was never completed.
    HalfUpload,
    /// An earlier move of an alias or the pin.
    PointerEntry,
    /// The mark of a deleted version.
    Tombstone,
}

/// A record that is old enough to go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OldRecord {
    /// The kind.
    pub kind: RecordKind,
    /// The model, if it is a model's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The file, or the folder of a version, from the repository's root.
    pub path: String,
    /// The size in bytes.
    pub size_bytes: u64,
    #[serde(skip)]
    removal: Removal,
}

/// A way to remove a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Removal {
    File,
    /// A file that may be the last of its folder, or that a store does not list.
    FileAndFolder,
    Version(u64),
}

/// Entries of pointers, by their numbers.
type Entries = BTreeMap<Pointer, BTreeSet<u64>>;

impl Repository {
    /// Finds the records of a model that were last changed before a time. Nothing is removed.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use chrono::{TimeDelta, Utc};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let location = folder.path().display().to_string();
    /// # let config = onnward_repository::RepositoryConfig { location, ..Default::default() };
    /// # let repository = onnward_repository::Repository::create(&config)?;
    /// repository.publish("churn", b"an ONNX file".to_vec(), None).await?;
    /// let year_ago = Utc::now() - TimeDelta::days(365);
    /// assert!(repository.find_old_records("churn", year_ago).await?.is_empty());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`RepositoryError::Name`]; those of reading.
    pub async fn find_old_records(
        &self,
        model: &str,
        before: DateTime<Utc>,
    ) -> Result<Vec<OldRecord>, RepositoryError> {
        check_name(model)?;
        let (inventory, files) = self.model_files(model).await?;
        let entries = entries_of(&files);
        let mut rollbacks = Entries::new();
        for (pointer, last) in inventory.pointers() {
            if inventory.unreadable.contains_key(&pointer) {
                continue;
            }
            // Where all entries stay, their rollbacks need not be read.
            let targets = match entries.get(&pointer).is_some_and(|numbers| numbers.len() > ALWAYS_KEPT) {
                true => self.rollback_targets(model, &pointer, last.number).await?,
                false => BTreeSet::new(),
            };
            rollbacks.insert(pointer, targets);
        }
        let mut found = old_records(model, &inventory, &files, &rollbacks, before);
        let staged = self.staged_files(Some(model)).await;
        found.extend(staged.into_iter().filter(|file| file.last_modified < before).map(|file| OldRecord {
            kind: RecordKind::HalfUpload,
            model: Some(model.to_owned()),
            path: file.location.to_string(),
            size_bytes: file.size,
            removal: Removal::FileAndFolder,
        }));
        Ok(found)
    }

    /// Finds the records of the audit log that were written before a time. Nothing is removed.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn find_old_audit(&self, before: DateTime<Utc>) -> Result<Vec<OldRecord>, RepositoryError> {
        let listing = self.store.list(Some(&Path::from(audit::FOLDER)));
        let files: Vec<_> =
            listing.try_collect().await.map_err(|source| self.reading(audit::FOLDER, source))?;
        let files = files.into_iter().map(|file| (file.location.to_string(), file.size, file.last_modified));
        Ok(old_audit(files.collect(), before))
    }

    /// Removes records, many at a time, and returns how each of them went. What somebody has removed already is no
    /// error; a version that was taken into use is [`RepositoryError::InUse`].
    pub async fn remove_old(&self, records: Vec<OldRecord>) -> Vec<(OldRecord, Result<(), RepositoryError>)> {
        // An action whose beginning is gone is not listed. One without an end would look interrupted.
        let (ends, others): (Vec<_>, Vec<_>) =
            records.into_iter().partition(|record| record.path.ends_with(audit::ENDED));
        let mut done = Vec::new();
        for records in [others, ends] {
            let removals = stream::iter(records).map(async |record| {
                let removed = self.remove_one(&record).await;
                (record, removed)
            });
            done.extend(removals.buffered(READS_AT_A_TIME).collect::<Vec<_>>().await);
        }
        done
    }

    async fn remove_one(&self, record: &OldRecord) -> Result<(), RepositoryError> {
        let path = Path::from(record.path.as_str());
        match (record.removal, &record.model) {
            (Removal::Version(version), Some(model)) => {
                let (model, size_bytes) = (model.clone(), record.size_bytes);
                self.apply_deletion(&Deletion { model, version, size_bytes }).await
            }
            // A path that is built from a string has some characters encoded.
            (Removal::FileAndFolder, _) => {
                let path = Path::parse(&record.path).unwrap_or(path);
                self.remove_with_folder(&path).await
            }
            (Removal::File | Removal::Version(_), _) => self.remove_file(&path).await,
        }
    }

    /// Returns the entries that the next rollbacks of a pointer go to, one after the other.
    async fn rollback_targets(
        &self,
        model: &str,
        pointer: &Pointer,
        last: u64,
    ) -> Result<BTreeSet<u64>, RepositoryError> {
        let mut targets = BTreeSet::new();
        let mut at = Some(last);
        while let (Some(number), true) = (at, targets.len() < ALWAYS_KEPT) {
            let entry = self.find_entry(model, pointer, number).await?;
            // An entry restores an earlier one; anything else would never end.
            at = entry.and_then(|entry| entry.rollback_to).filter(|earlier| *earlier < number);
            targets.extend(at);
        }
        Ok(targets)
    }
}

/// Chooses the records of a model that go. This is the whole rule. A pointer that is missing in `rollbacks` keeps all
/// entries.
fn old_records(
    model: &str,
    inventory: &Inventory,
    files: &[ModelFile],
    rollbacks: &Entries,
    before: DateTime<Utc>,
) -> Vec<OldRecord> {
    let record = |kind, path: String, size_bytes, removal| OldRecord {
        kind,
        model: Some(model.to_owned()),
        path,
        size_bytes,
        removal,
    };
    let mut newest = entries_of(files);
    for numbers in newest.values_mut() {
        *numbers = numbers.iter().rev().take(ALWAYS_KEPT).copied().collect();
    }
    let mut found = Vec::new();
    for file in files.iter().filter(|file| file.changed < before) {
        if is_superseded(file, inventory, rollbacks, &newest) {
            let path = file.path.to_string();
            found.push(record(RecordKind::PointerEntry, path, file.size, Removal::File));
        }
    }
    let highest: BTreeSet<u64> = inventory.versions.keys().rev().take(ALWAYS_KEPT).copied().collect();
    for (version, files) in files_of_versions(files) {
        let Some(known) = inventory.versions.get(&version) else { continue };
        if files.iter().any(|file| file.changed >= before) {
            continue;
        }
        match files.as_slice() {
            _ if !known.is_deleted && !known.has_manifest => {
                let path = format!("{model}/{version}");
                let removal = Removal::Version(version);
                found.push(record(RecordKind::HalfUpload, path, known.size_bytes, removal));
            }
            // Of a deletion that was interrupted, more remains.
            [mark] if known.is_deleted && !highest.contains(&version) => {
                let path = mark.path.to_string();
                found.push(record(RecordKind::Tombstone, path, mark.size, Removal::FileAndFolder));
            }
            _ => {}
        }
    }
    found
}

/// Returns the entries of each pointer that are written.
fn entries_of(files: &[ModelFile]) -> Entries {
    let mut entries = Entries::new();
    for file in files.iter().filter(|file| file.size > 0) {
        if let Some((pointer, name)) = file.pointer() {
            entries.entry(pointer).or_default().extend(parse_entry(name));
        }
    }
    entries
}

/// Returns the files of each version.
fn files_of_versions(files: &[ModelFile]) -> BTreeMap<u64, Vec<&ModelFile>> {
    let mut versions: BTreeMap<u64, Vec<&ModelFile>> = BTreeMap::new();
    for file in files {
        if let Some(version) = file.parts.first().and_then(|part| parse_version(part)) {
            versions.entry(version).or_default().push(file);
        }
    }
    versions
}

/// Returns whether a file is an entry of a pointer, or the intent of a move, that no longer counts.
fn is_superseded(file: &ModelFile, inventory: &Inventory, rollbacks: &Entries, newest: &Entries) -> bool {
    let Some((pointer, name)) = file.pointer() else { return false };
    let Some(targets) = rollbacks.get(&pointer) else { return false };
    if let Some(number) = parse_entry(name) {
        let is_kept = |kept: &BTreeSet<u64>| kept.contains(&number);
        // An empty entry may be one that is being written.
        return file.size > 0 && !is_kept(targets) && !newest.get(&pointer).is_some_and(is_kept);
    }
    MoveIntent::parse(pointer, name)
        .is_some_and(|intent| !inventory.moves_under_way().any(|other| *other == intent))
}

/// Chooses the records of the audit log that go: those of actions of which everything is old.
fn old_audit(mut files: Vec<(String, u64, DateTime<Utc>)>, before: DateTime<Utc>) -> Vec<OldRecord> {
    let action = |path: &str| {
        let stem = path.strip_suffix(audit::BEGUN).or_else(|| path.strip_suffix(audit::ENDED));
        stem.map(str::to_owned)
    };
    files.sort();
    let recent: BTreeSet<String> = files
        .iter()
        .filter(|(.., written)| *written >= before)
        .filter_map(|(path, ..)| action(path))
        .collect();
    let is_old = |path: &str| action(path).is_some_and(|action| !recent.contains(&action));
    let old = files.into_iter().filter(|(path, ..)| is_old(path));
    let record = |(path, size_bytes, _)| OldRecord {
        kind: RecordKind::Audit,
        model: None,
        path,
        size_bytes,
        removal: Removal::File,
    };
    old.map(record).collect()
}

#[cfg(test)]
mod tests;
