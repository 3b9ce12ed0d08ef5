//! Finds what interrupted commands and hands have left in a repository, and removes it.

use std::collections::BTreeMap;

use chrono::{DateTime, Duration, Utc};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use onnward_schemas::layout::{MODEL_FILE, parse_entry, parse_version};
use serde::Serialize;

use crate::delete::Deletion;
use crate::error::RepositoryError;
use crate::intent::{DELETING, MoveIntent};
use crate::inventory::{Inventory, ModelFile};
use crate::pointer::{Pointer, PointerChange};
use crate::store::{Repository, check_name};

/// Something in a repository that no command leaves behind unless it is interrupted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// The model.
    pub model: String,
    /// The version that it is about; absent for an entry that was never written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// The kind, and what belongs to it.
    #[serde(flatten)]
    pub kind: DamageKind,
    /// The time of the last change, in RFC 3339 and UTC, by the store's clock.
    pub changed: String,
    /// Whether it is so new that a command may still be at work: a repair leaves it alone.
    pub recent: bool,
}

/// The kinds of damage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum DamageKind {
    /// A version has files and no manifest: an upload that was interrupted, or a copy by hand.
    NoManifest {
        /// The size of its files.
        size_bytes: u64,
        /// The command that publishes the file, where it is a copy by hand.
        #[serde(skip_serializing_if = "Option::is_none")]
        publish: Option<String>,
    },
    /// A version is deleted, and some of its files remain.
    UnfinishedDeletion {
        /// The size of the files.
        size_bytes: u64,
    },
    /// The deletion of a version was announced and neither done nor withdrawn, so no pointer can be moved to
    /// the version.
    UndecidedDeletion {
        /// The announcement.
        path: String,
    },
    /// A move of a pointer was announced and neither done nor withdrawn, so the version cannot be deleted.
    UndecidedMove {
        /// The pointer, such as `alias champion`.
        pointer: String,
        /// The announcement.
        path: String,
    },
    /// An entry of a pointer is empty: in a folder without hard links, a command was killed while it wrote it.
    EmptyEntry {
        /// The pointer, such as `alias champion`.
        pointer: String,
        /// The entry.
        path: String,
    },
    /// A pointer names a version that does not exist.
    DanglingPointer {
        /// The pointer, such as `alias champion`.
        pointer: String,
        /// The version that a repair restores: the last one of its history that exists. Without one, the
        /// pointer is removed.
        restores: Option<u64>,
        /// The move that the repair makes.
        #[serde(skip)]
        change: Box<PointerChange>,
    },
}

impl Repository {
    /// Finds the damage of a model. Files that were changed within `recent` may belong to a command that is
    /// still at work.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let location = folder.path().display().to_string();
    /// # let config = onnward_repository::RepositoryConfig { location, ..Default::default() };
    /// # let repository = onnward_repository::Repository::create(&config)?;
    /// repository.publish("churn", b"an ONNX file".to_vec(), None).await?;
    /// assert!(repository.find_damage("churn", Duration::ZERO).await?.is_empty());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`RepositoryError::Name`]; those of reading.
    pub async fn find_damage(
        &self,
        model: &str,
        recent: std::time::Duration,
    ) -> Result<Vec<Damage>, RepositoryError> {
        check_name(model)?;
        let (inventory, files) = self.model_files(model).await?;
        let newest_recent = Utc::now() - Duration::from_std(recent).unwrap_or(Duration::MAX);
        let damage = |version: Option<u64>, kind, changed: DateTime<Utc>| Damage {
            model: model.to_owned(),
            version,
            kind,
            changed: crate::time::in_millis(changed),
            recent: changed > newest_recent,
        };
        let mut found = Vec::new();
        for (version, changed) in last_changes(&files) {
            let Some(version_files) = inventory.versions.get(&version) else { continue };
            let size_bytes = version_files.size_bytes;
            if version_files.is_deleted && size_bytes > 0 {
                found.push(damage(Some(version), DamageKind::UnfinishedDeletion { size_bytes }, changed));
            } else if !version_files.is_deleted && !version_files.has_manifest {
                let has_model = has_artifact(&files, version);
                let publish = self.publish_command(model, version).filter(|_| has_model);
                found.push(damage(Some(version), DamageKind::NoManifest { size_bytes, publish }, changed));
            }
        }
        for file in &files {
            if let Some((version, kind)) = undecided(file, &inventory) {
                found.push(damage(Some(version), kind, file.changed));
            }
        }
        for file in files.iter().filter(|file| file.size == 0) {
            if let Some((pointer, name)) = file.pointer()
                && parse_entry(name).is_some()
            {
                let (pointer, path) = (pointer.to_string(), file.path.to_string());
                found.push(damage(None, DamageKind::EmptyEntry { pointer, path }, file.changed));
            }
        }
        for (pointer, last) in inventory.pointers() {
            if let Some((version, kind)) = self.dangling(model, &pointer, last.number).await? {
                // A pointer is moved in one step, so nobody is still at work.
                found.push(Damage { recent: false, ..damage(Some(version), kind, DateTime::UNIX_EPOCH) });
            }
        }
        Ok(found)
    }

    /// Removes one damage. What is recent is left alone.
    ///
    /// # Errors
    /// [`RepositoryError::InUse`], [`RepositoryError::Conflict`]; those of reading and writing.
    pub async fn repair(&self, damage: &Damage) -> Result<(), RepositoryError> {
        let Damage { model, version, kind, recent, .. } = damage;
        if *recent {
            return Ok(());
        }
        match kind {
            DamageKind::NoManifest { size_bytes, .. } | DamageKind::UnfinishedDeletion { size_bytes } => {
                let Some(version) = *version else { return Ok(()) };
                let (model, size_bytes) = (model.clone(), *size_bytes);
                self.apply_deletion(&Deletion { model, version, size_bytes }).await
            }
            DamageKind::EmptyEntry { path, .. } => {
                let path = Path::from(path.as_str());
                // Its writer may have completed it since.
                let is_empty = self.store.head(&path).await.is_ok_and(|file| file.size == 0);
                if is_empty { self.remove_file(&path).await } else { Ok(()) }
            }
            DamageKind::UndecidedDeletion { path } | DamageKind::UndecidedMove { path, .. } => {
                self.remove_file(&Path::from(path.as_str())).await
            }
            DamageKind::DanglingPointer { change, .. } => self.apply_move(change).await,
        }
    }

    /// Returns the version that a pointer names if it does not exist, and how a repair moves the pointer.
    async fn dangling(
        &self,
        model: &str,
        pointer: &Pointer,
        number: u64,
    ) -> Result<Option<(u64, DamageKind)>, RepositoryError> {
        let seen = self.state_at(model, pointer, number).await?;
        let Some(version) = seen.version() else { return Ok(None) };
        if self.has_version(model, version).await? {
            return Ok(None);
        }
        // It also says which entry a repair writes.
        let seen = self.state(model, pointer).await?;
        // An earlier pin would silence the aliases again, so a pin is removed.
        let mut before = match pointer {
            Pointer::Alias(_) => seen.entry.as_ref().and_then(|entry| entry.rollback_to),
            Pointer::Pin => None,
        };
        let (mut restores, mut rollback_to) = (None, None);
        while let (Some(earlier), None) = (before, restores) {
            let Some(entry) = self.find_entry(model, pointer, earlier).await? else { break };
            if let Some(earlier_version) = entry.version
                && self.has_version(model, earlier_version).await?
            {
                (restores, rollback_to) = (Some(earlier_version), entry.rollback_to);
            }
            // An entry restores an earlier one; anything else would never end.
            before = entry.rollback_to.filter(|next| *next < earlier);
        }
        let change = PointerChange::restoring(model, pointer, seen, restores, rollback_to);
        let kind =
            DamageKind::DanglingPointer { pointer: pointer.to_string(), restores, change: Box::new(change) };
        Ok(Some((version, kind)))
    }
}

/// Returns the time of the last change of each version's files.
fn last_changes(files: &[ModelFile]) -> BTreeMap<u64, DateTime<Utc>> {
    let mut last = BTreeMap::new();
    for file in files {
        if let Some(version) = file.parts.first().and_then(|part| parse_version(part)) {
            let entry = last.entry(version).or_insert(file.changed);
            *entry = file.changed.max(*entry);
        }
    }
    last
}

fn has_artifact(files: &[ModelFile], version: u64) -> bool {
    let folder = version.to_string();
    files
        .iter()
        .any(|file| matches!(file.parts.as_slice(), [first, name] if *first == folder && name == MODEL_FILE))
}

/// Returns what a file announces, if it was never decided.
fn undecided(file: &ModelFile, inventory: &Inventory) -> Option<(u64, DamageKind)> {
    let path = file.path.to_string();
    if let [version, name] = file.parts.as_slice()
        && name.starts_with(DELETING)
    {
        let version = parse_version(version)?;
        let is_decided = inventory.versions.get(&version).is_some_and(|files| files.is_deleted);
        return (!is_decided).then_some((version, DamageKind::UndecidedDeletion { path }));
    }
    let (pointer, name) = file.pointer()?;
    let intent = MoveIntent::parse(pointer, name)?;
    let is_under_way = inventory.moves_under_way().any(|other| *other == intent);
    let pointer = intent.pointer.to_string();
    is_under_way.then_some((intent.version, DamageKind::UndecidedMove { pointer, path }))
}
