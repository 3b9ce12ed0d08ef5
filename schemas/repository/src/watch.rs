//! Snapshots of a repository: which versions there are, and which is to be served.

use std::collections::BTreeMap;

use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize};

use crate::error::RepositoryError;
use crate::inventory::{Inventory, LastEntry, READS_AT_A_TIME};
use crate::pointer::{Entry, MAX_ENTRY_BYTES, Pointer};
use crate::stamp::{FileStamp, Stamp};
use crate::store::Repository;

/// A source of snapshots of a repository. A snapshot costs one listing. Small files are read once, when they
/// are new.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use onnward_repository::{DEFAULT_ALIAS, DecidedBy, Watch};
///
/// # let folder = tempfile::tempdir()?;
/// # let location = folder.path().display().to_string();
/// # let config = onnward_repository::RepositoryConfig { location, ..Default::default() };
/// # let repository = onnward_repository::Repository::create(&config)?;
/// repository.publish("churn", b"an ONNX file".to_vec(), None).await?;
/// let mut watch = Watch::new(repository);
/// let mut snapshot = watch.snapshot().await?;
/// let churn = snapshot.models.remove("churn").ok_or("no such model")??;
/// let target = churn.target(DEFAULT_ALIAS).ok_or("no version")?;
/// assert_eq!((target.version, target.decided_by), (1, DecidedBy::HighestVersion));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Watch {
    repository: Repository,
    /// The last entries of pointers that were read, by path.
    entries: BTreeMap<String, (FileStamp, Vec<u8>)>,
}

/// The models of a repository at one time.
#[derive(Debug)]
pub struct Snapshot {
    /// The models by name; an error for a model whose pointers cannot be listed.
    pub models: BTreeMap<String, Result<ModelSnapshot, RepositoryError>>,
}

/// The versions and pointers of a model at one time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModelSnapshot {
    /// The versions that exist, with a manifest and not deleted. A version's stamp changes when a file of it
    /// changes.
    pub versions: BTreeMap<u64, Stamp>,
    /// The versions that the aliases name. A named version need not exist.
    pub aliases: BTreeMap<String, u64>,
    /// The version that the model is pinned to. It need not exist.
    pub pin: Option<u64>,
    /// The pointers that cannot be read, each with the reason.
    pub unreadable: BTreeMap<Pointer, String>,
}

/// The version that an engine should serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The version.
    pub version: u64,
    /// The rule that chose it.
    pub decided_by: DecidedBy,
}

/// The rule that chooses the version to serve: a pin, else the alias that is followed, else the highest
/// version.
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
    /// Creates a watch that has seen nothing yet.
    pub fn new(repository: Repository) -> Self {
        Self { repository, entries: BTreeMap::new() }
    }

    /// Takes a snapshot of what is there now.
    ///
    /// # Errors
    /// The store cannot be listed, or fails while a new entry of a pointer is read;
    /// [`RepositoryError::NotFound`] if a local folder is gone. A problem of one model is reported for that
    /// model alone.
    pub async fn snapshot(&mut self) -> Result<Snapshot, RepositoryError> {
        let inventories = self.repository.inventories().await?;
        let mut failed = self.read_entries(&inventories).await?;
        let models = inventories.into_iter().filter_map(|(model, inventory)| {
            let snapshot = match inventory {
                Ok(inventory) => {
                    let snapshot = self.resolve(&model, &inventory, &mut failed);
                    if inventory.is_deleted() && snapshot.is_empty() {
                        return None;
                    }
                    Ok(snapshot)
                }
                Err(error) => Err(error),
            };
            Some((model, snapshot))
        });
        Ok(Snapshot { models: models.collect() })
    }

    /// Reads the entries that are new, and drops those that are no longer the last. Returns those that cannot
    /// be read.
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

    /// Builds the snapshot of a model, once its entries have been read.
    fn resolve(
        &self,
        model: &str,
        inventory: &Inventory,
        failed: &mut BTreeMap<String, RepositoryError>,
    ) -> ModelSnapshot {
        let versions = inventory.published().map(|(version, files)| (version, files.stamp.clone()));
        let (versions, unreadable) = (versions.collect(), inventory.unreadable.clone());
        let mut snapshot = ModelSnapshot { versions, unreadable, ..ModelSnapshot::default() };
        for (pointer, LastEntry { number, .. }) in inventory.pointers() {
            let path = pointer.entry_path(model, *number);
            let text = self.entries.get(&path).map(|(_, text)| text.as_slice());
            let entry = match failed.remove(&path) {
                Some(error) => Err(error),
                None => Entry::parse(&path, text.unwrap_or_default()),
            };
            match (entry, pointer) {
                (Ok(entry), Pointer::Pin) => snapshot.pin = entry.version,
                (Ok(entry), Pointer::Alias(alias)) => {
                    snapshot.aliases.extend(entry.version.map(|version| (alias, version)));
                }
                (Err(error), pointer) => {
                    snapshot.unreadable.insert(pointer, error.to_string());
                }
            }
        }
        snapshot
    }
}

impl ModelSnapshot {
    /// Returns whether nothing is there: no version, and no pointer.
    fn is_empty(&self) -> bool {
        let Self { versions, aliases, pin, unreadable } = self;
        versions.is_empty() && aliases.is_empty() && pin.is_none() && unreadable.is_empty()
    }

    /// Returns the reason why it is not known what engines that follow `alias` should serve: the pointer that
    /// decides cannot be read.
    pub fn problem(&self, alias: &str) -> Option<&str> {
        let alias = Pointer::Alias(alias.to_owned());
        let of_alias = self.unreadable.get(&alias).filter(|_| self.pin.is_none());
        self.unreadable.get(&Pointer::Pin).or(of_alias).map(String::as_str)
    }

    /// Returns the version for engines that follow `alias`: the pin's, else the alias's, else the highest;
    /// `None` if there is no version. If a pin or an alias names a version that does not exist, no other
    /// takes its place.
    pub fn target(&self, alias: &str) -> Option<Target> {
        let highest = self.versions.last_key_value().map(|(version, _)| *version);
        Target::decide(self.pin, (alias, self.aliases.get(alias).copied()), highest)
    }
}

impl Target {
    /// Returns the version for engines that follow an alias: the pin's, else the one that the alias names, else the
    /// highest.
    pub(crate) fn decide(
        pin: Option<u64>,
        (alias, named): (&str, Option<u64>),
        highest: Option<u64>,
    ) -> Option<Self> {
        let by = |decided_by: DecidedBy| move |version| Self { version, decided_by };
        pin.map(by(DecidedBy::Pin))
            .or_else(|| named.map(by(DecidedBy::Alias { alias: alias.to_owned() })))
            .or_else(|| highest.map(by(DecidedBy::HighestVersion)))
    }
}
