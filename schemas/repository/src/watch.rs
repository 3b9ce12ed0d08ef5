//! What there is to be served, looked at again and again.

use std::collections::BTreeMap;

use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize};

use crate::error::RepositoryError;
use crate::inventory::{Inventory, LastEntry, READS_AT_A_TIME};
use crate::pointer::{Entry, MAX_ENTRY_BYTES, Pointer};
use crate::stamp::{FileStamp, Stamp};
use crate::store::Repository;

/// Looks at a repository again and again. A look costs one listing; small files are read when they are new, and never
/// twice.
#[derive(Debug)]
pub struct Watch {
    repository: Repository,
    /// The entries of pointers that have been read and still hold, by path.
    entries: BTreeMap<String, (FileStamp, Vec<u8>)>,
}

/// What was in a repository at one time.
#[derive(Debug)]
pub struct Look {
    /// Every model, by name, or why it cannot be made out: a pointer of it that cannot be read.
    pub models: BTreeMap<String, Result<ModelLook, RepositoryError>>,
}

/// What was in a model's folder at one time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModelLook {
    /// The versions that are there, with a manifest and not deleted. The stamp of one is another as soon as a file of it
    /// has changed.
    pub versions: BTreeMap<u64, Stamp>,
    /// What the aliases name; a version that is named need not be there.
    pub aliases: BTreeMap<String, u64>,
    /// The version that the model is pinned to; it need not be there either.
    pub pin: Option<u64>,
}

/// The version that is to be served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The version.
    pub version: u64,
    /// Why this one.
    pub decided_by: DecidedBy,
}

/// What decides which version is served: a pin, else the alias that is asked for, else the highest version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "rule", rename_all = "kebab-case")]
pub enum DecidedBy {
    /// The model is pinned to it.
    Pin,
    /// The alias names it.
    Alias {
        /// The alias.
        alias: String,
    },
    /// It is the highest, and neither a pin nor the alias is set.
    HighestVersion,
}

impl Watch {
    /// A watch that has seen nothing yet.
    pub fn new(repository: Repository) -> Self {
        Self { repository, entries: BTreeMap::new() }
    }

    /// What is there now.
    ///
    /// # Errors
    /// The store cannot be listed, or fails while a new entry of a pointer is read; [`RepositoryError::NotFound`] if a
    /// local folder has gone. What is wrong with one model is told of that model alone.
    pub async fn look(&mut self) -> Result<Look, RepositoryError> {
        let inventories = self.repository.inventories().await?;
        let mut failed = self.read_entries(&inventories).await?;
        let models = inventories.into_iter().map(|(model, inventory)| {
            let look = inventory.and_then(|inventory| self.resolve(&model, &inventory, &mut failed));
            (model, look)
        });
        Ok(Look { models: models.collect() })
    }

    /// Reads the entries that are new and forgets those that no longer hold; gives those that cannot be read.
    async fn read_entries(
        &mut self,
        inventories: &BTreeMap<String, Result<Inventory, RepositoryError>>,
    ) -> Result<BTreeMap<String, RepositoryError>, RepositoryError> {
        let inventories = inventories.iter().filter_map(|(model, found)| Some((model, found.as_ref().ok()?)));
        let mut wanted: BTreeMap<String, FileStamp> = inventories
            .flat_map(|(model, inventory)| {
                inventory
                    .pointers()
                    .map(move |(pointer, last)| (pointer.entry_path(model, last.number), last))
            })
            .map(|(path, last)| (path, last.file.clone()))
            .collect();
        self.entries.retain(|path, (stamp, _)| wanted.get(path) == Some(stamp));
        wanted.retain(|path, _| !self.entries.contains_key(path));

        let repository = &self.repository;
        let mut reads = stream::iter(wanted)
            .map(async |(path, stamp)| {
                let text = repository.read(&path, MAX_ENTRY_BYTES).await;
                (path, stamp, text)
            })
            .buffer_unordered(READS_AT_A_TIME);
        let mut failed = BTreeMap::new();
        while let Some((path, stamp, text)) = reads.next().await {
            match text {
                Ok(text) => {
                    self.entries.insert(path, (stamp, text));
                }
                Err(error) if repository.is_down(&error) => return Err(error),
                Err(error) => {
                    failed.insert(path, error);
                }
            }
        }
        Ok(failed)
    }

    /// What is there of a model, once its entries have been read.
    fn resolve(
        &self,
        model: &str,
        inventory: &Inventory,
        failed: &mut BTreeMap<String, RepositoryError>,
    ) -> Result<ModelLook, RepositoryError> {
        let versions = inventory.published().map(|(version, files)| (version, files.stamp.clone()));
        let mut look = ModelLook { versions: versions.collect(), ..ModelLook::default() };
        for (pointer, LastEntry { number, .. }) in inventory.pointers() {
            let path = pointer.entry_path(model, *number);
            if let Some(error) = failed.remove(&path) {
                return Err(error);
            }
            let text = self.entries.get(&path).map(|(_, text)| text.as_slice());
            let version = Entry::parse(&path, text.unwrap_or_default())?.version;
            match pointer {
                Pointer::Pin => look.pin = version,
                Pointer::Alias(alias) => look.aliases.extend(version.map(|version| (alias, version))),
            }
        }
        Ok(look)
    }
}

impl ModelLook {
    /// The version that is to be served by those who follow `alias`: the pin's, else the alias's, else the highest; none
    /// if there is no version at all. A pin or an alias may name a version that is not there, and no other one takes its
    /// place.
    pub fn target(&self, alias: &str) -> Option<Target> {
        if let Some(version) = self.pin {
            return Some(Target { version, decided_by: DecidedBy::Pin });
        }
        if let Some(version) = self.aliases.get(alias) {
            let decided_by = DecidedBy::Alias { alias: alias.to_owned() };
            return Some(Target { version: *version, decided_by });
        }
        let (version, _) = self.versions.last_key_value()?;
        Some(Target { version: *version, decided_by: DecidedBy::HighestVersion })
    }
}
