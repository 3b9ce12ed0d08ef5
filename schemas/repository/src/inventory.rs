//! The files of models, by one listing.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::ObjectMeta;
use object_store::path::Path;
use onnward_schemas::Manifest;
use onnward_schemas::layout::{
    ALIASES_FOLDER, DELETED_FILE, MANIFEST_FILE, PIN_FOLDER, SIGNATURES_FOLDER, is_model_name, parse_entry,
    parse_version,
};
use serde::Serialize;

use crate::error::RepositoryError;
use crate::intent::MoveIntent;
use crate::pointer::{Pointer, State};
use crate::signature::KeyId;
use crate::stamp::{FileStamp, Stamp};
use crate::store::{Repository, check_name, unreadable_path};

/// The versions, aliases and pin of a model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelStatus {
    /// The model's name.
    pub model: String,
    /// The versions, the highest first.
    pub versions: Vec<VersionStatus>,
    /// The aliases that name a version, by name.
    pub aliases: Vec<AliasStatus>,
    /// The pin, where it is set.
    pub pin: Option<PinStatus>,
}

/// A version of a model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VersionStatus {
    /// The version.
    pub version: u64,
    /// Its manifest, where it can be read.
    #[serde(flatten)]
    pub manifest: Option<Manifest>,
    /// The ids of the keys that have signed it. [`crate::TrustedKeys`] verifies the signatures.
    pub signed_by: Vec<KeyId>,
    /// The reason why the manifest cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// An alias and what it names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AliasStatus {
    /// The alias.
    pub alias: String,
    /// The version that it names.
    pub version: u64,
    /// The version that a rollback goes to, where there is one.
    pub previous: Option<u64>,
    /// The time of the last move, in RFC 3339 and UTC.
    pub moved: String,
}

/// The pin of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PinStatus {
    /// The version that is served whatever the aliases say.
    pub version: u64,
    /// The time at which it was set, in RFC 3339 and UTC.
    pub moved: String,
}

/// The files of a model.
#[derive(Debug, Default)]
pub(crate) struct Inventory {
    /// The versions that have a folder.
    pub versions: BTreeMap<u64, VersionFiles>,
    /// The last entry of every alias.
    pub aliases: BTreeMap<String, LastEntry>,
    /// The last entry of the pin.
    pub pin: Option<LastEntry>,
    /// The announced moves of pointers; some may have ended.
    pub moves: Vec<MoveIntent>,
    /// The pointers whose folders cannot be read, each with the reason.
    pub unreadable: BTreeMap<Pointer, String>,
}

/// The files of a version.
#[derive(Debug, Default, Clone)]
pub(crate) struct VersionFiles {
    pub has_manifest: bool,
    pub is_deleted: bool,
    /// The total size in bytes, without `deleted.json`.
    pub size_bytes: u64,
    /// The ids of the keys that have signed it, in order.
    pub signed_by: BTreeSet<KeyId>,
    pub stamp: Stamp,
}

/// The last entry of a pointer, which is the one that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LastEntry {
    pub number: u64,
    pub file: FileStamp,
}

impl Inventory {
    /// Returns whether there were versions, all of which were deleted.
    pub fn is_deleted(&self) -> bool {
        !self.versions.is_empty() && self.versions.values().all(|version| version.is_deleted)
    }

    /// Returns the versions that exist: with a manifest, and not deleted.
    pub fn published(&self) -> impl DoubleEndedIterator<Item = (u64, &VersionFiles)> {
        let is_there = |files: &VersionFiles| files.has_manifest && !files.is_deleted;
        self.versions
            .iter()
            .filter(move |(_, files)| is_there(files))
            .map(|(version, files)| (*version, files))
    }

    /// Returns every pointer that was ever set, with its last entry.
    pub fn pointers(&self) -> impl Iterator<Item = (Pointer, &LastEntry)> {
        let aliases = self.aliases.iter().map(|(alias, last)| (Pointer::Alias(alias.clone()), last));
        aliases.chain(self.pin.iter().map(|last| (Pointer::Pin, last)))
    }

    /// Returns the moves that have not ended: those whose entry the pointer does not have yet.
    pub fn moves_under_way(&self) -> impl Iterator<Item = &MoveIntent> {
        self.moves.iter().filter(|intent| {
            let last = match &intent.pointer {
                Pointer::Alias(alias) => self.aliases.get(alias),
                Pointer::Pin => self.pin.as_ref(),
            };
            last.is_none_or(|last| last.number < intent.entry)
        })
    }

    /// Adds a folder or file that cannot be read; `path` is its path within the model's folder. A version remains
    /// one, whose files cannot be read: otherwise another would be served in its place. So does a pointer.
    ///
    /// # Errors
    /// The given one, if it is not known then which pointers the model has.
    fn add_unreadable(&mut self, path: &[&str], error: RepositoryError) -> Result<(), RepositoryError> {
        match path {
            [ALIASES_FOLDER, alias, ..] if is_model_name(alias) => {
                self.unreadable.insert(Pointer::Alias((*alias).to_owned()), error.to_string());
                Ok(())
            }
            [PIN_FOLDER, ..] => {
                self.unreadable.insert(Pointer::Pin, error.to_string());
                Ok(())
            }
            [] | [ALIASES_FOLDER, ..] => Err(error),
            [version, ..] => {
                if let Some(version) = parse_version(version) {
                    self.versions.entry(version).or_default().has_manifest = true;
                }
                Ok(())
            }
        }
    }

    /// Adds a file; `path` is its path within the model's folder. An empty file is one that is being written.
    fn add(&mut self, path: &[&str], file: &ObjectMeta) {
        match path {
            [ALIASES_FOLDER, alias, name] if is_model_name(alias) => {
                self.moves.extend(MoveIntent::parse(Pointer::Alias((*alias).to_owned()), name));
                let last = self.aliases.remove(*alias);
                let last = LastEntry::later(last, name, file);
                self.aliases.extend(last.map(|last| ((*alias).to_owned(), last)));
            }
            [PIN_FOLDER, name] => {
                self.moves.extend(MoveIntent::parse(Pointer::Pin, name));
                self.pin = LastEntry::later(self.pin.take(), name, file);
            }
            [version, rest @ ..] => {
                let Some(version) = parse_version(version) else { return };
                let files = self.versions.entry(version).or_default();
                match rest {
                    [DELETED_FILE] => files.is_deleted = true,
                    _ => files.size_bytes += file.size,
                }
                files.has_manifest |= matches!(rest, [MANIFEST_FILE]) && file.size > 0;
                files.stamp.add(rest, file);
                if let [SIGNATURES_FOLDER, name] = rest {
                    files.signed_by.extend(KeyId::of_file(name));
                }
            }
            [] => {}
        }
    }
}

/// A file of a model.
#[derive(Debug, Clone)]
pub(crate) struct ModelFile {
    /// The parts of its path within the model's folder.
    pub parts: Vec<String>,
    /// Its path from the repository's root.
    pub path: Path,
    /// Its size in bytes.
    pub size: u64,
    /// The time of its last change, by the store's clock.
    pub changed: DateTime<Utc>,
}

impl ModelFile {
    /// Returns the pointer in whose folder the file is, and the file's name.
    pub fn pointer(&self) -> Option<(Pointer, &str)> {
        match self.parts.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            [ALIASES_FOLDER, alias, name] if is_model_name(alias) => {
                Some((Pointer::Alias((*alias).to_owned()), *name))
            }
            [PIN_FOLDER, name] => Some((Pointer::Pin, *name)),
            _ => None,
        }
    }
}

impl LastEntry {
    /// Returns the later of an entry and a file, if the file is an entry.
    fn later(last: Option<Self>, name: &str, file: &ObjectMeta) -> Option<Self> {
        let Some(number) = parse_entry(name).filter(|_| file.size > 0) else { return last };
        match last {
            Some(last) if last.number >= number => Some(last),
            _ => Some(Self { number, file: FileStamp::of(file) }),
        }
    }
}

/// The files of a top folder that is no model's, one after the other.
#[derive(Debug, Default)]
struct OtherFolder {
    name: String,
    files: usize,
}

impl OtherFolder {
    /// Counts a file. Returns whether the folder has more files than a page of a listing, so that another listing
    /// costs less than the rest of the folder.
    fn is_large(&mut self, folder: &str) -> bool {
        const PAGE_FILES: usize = 1000;
        if self.name != folder {
            *self = Self { name: folder.to_owned(), files: 0 };
        }
        self.files += 1;
        self.files == PAGE_FILES
    }
}

/// Returns a path that sorts after all files of a folder, and before what follows it.
fn after(folder: &str) -> Option<Path> {
    // The character after the slash. A path that is built from a string has some characters encoded.
    Path::parse(format!("{folder}0")).ok()
}

/// Calls `with` with the parts of a path.
fn with_parts<T>(path: &Path, with: impl FnOnce(&[&str]) -> T) -> T {
    let parts: Vec<_> = path.parts().collect();
    with(&parts.iter().map(AsRef::as_ref).collect::<Vec<&str>>())
}

/// Adds to the inventory of a model, unless the model has failed.
fn add(
    inventories: &mut BTreeMap<String, Result<Inventory, RepositoryError>>,
    model: &str,
    add: impl FnOnce(&mut Inventory) -> Result<(), RepositoryError>,
) {
    let inventory = inventories.entry(model.to_owned()).or_insert_with(|| Ok(Inventory::default()));
    if let Err(error) = inventory.as_mut().map_or(Ok(()), add) {
        *inventory = Err(error);
    }
}

/// The number of small files that are read concurrently.
pub(crate) const READS_AT_A_TIME: usize = 16;

impl Repository {
    /// Returns the names of the models, in order. Folders with other names are ignored.
    ///
    /// # Errors
    /// [`RepositoryError::Read`].
    pub async fn models(&self) -> Result<Vec<String>, RepositoryError> {
        let listing = self.store.list_with_delimiter(None).await;
        let listing = listing.map_err(|source| self.reading("/", source))?;
        let names = listing.common_prefixes.iter().filter_map(|path| path.filename());
        let mut names: Vec<String> = names.filter(|name| is_model_name(name)).map(str::to_owned).collect();
        names.sort();
        Ok(names)
    }

    /// Returns the versions, aliases and pin of a model.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let location = folder.path().display().to_string();
    /// # let config = onnward_repository::RepositoryConfig { location, ..Default::default() };
    /// # let repository = onnward_repository::Repository::create(&config)?;
    /// repository.publish("churn", b"an ONNX file".to_vec(), None).await?;
    /// let status = repository.status("churn").await?;
    /// assert_eq!((status.versions[0].version, status.aliases.len()), (1, 0));
    /// assert_eq!(status.versions[0].manifest.as_ref().map(|manifest| manifest.size_bytes), Some(12));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`RepositoryError::NoModel`]; those of reading.
    pub async fn status(&self, model: &str) -> Result<ModelStatus, RepositoryError> {
        let inventory = self.known(model).await?;
        let versions: Vec<u64> = inventory.published().map(|(version, _)| version).rev().collect();
        let versions = stream::iter(versions)
            .map(|version| self.version_status(model, version, &inventory))
            .buffered(READS_AT_A_TIME)
            .collect()
            .await;
        let pin = self
            .pin(model, &inventory)
            .await?
            .entry
            .and_then(|entry| Some(PinStatus { version: entry.version?, moved: entry.created }));
        Ok(ModelStatus {
            model: model.to_owned(),
            versions,
            aliases: self.aliases(model, &inventory).await?,
            pin,
        })
    }

    /// Returns the status of a model; `None` if the repository has no files of it.
    ///
    /// # Errors
    /// [`RepositoryError::Name`]; those of reading.
    pub async fn find_status(&self, model: &str) -> Result<Option<ModelStatus>, RepositoryError> {
        match self.status(model).await {
            Ok(status) => Ok(Some(status)),
            Err(RepositoryError::NoModel { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Lists the files of a model that must exist.
    pub(crate) async fn known(&self, model: &str) -> Result<Inventory, RepositoryError> {
        check_name(model)?;
        let inventory = self.inventory(model).await?;
        if inventory.versions.is_empty() && inventory.aliases.is_empty() {
            return Err(RepositoryError::NoModel { model: model.to_owned() });
        }
        Ok(inventory)
    }

    /// Lists the files of a model.
    pub(crate) async fn inventory(&self, model: &str) -> Result<Inventory, RepositoryError> {
        self.inventory_with(model, |_, _| {}).await
    }

    /// Lists the files of a model, each by itself too.
    pub(crate) async fn model_files(
        &self,
        model: &str,
    ) -> Result<(Inventory, Vec<ModelFile>), RepositoryError> {
        let mut files = Vec::new();
        let inventory = self
            .inventory_with(model, |parts, file| {
                files.push(ModelFile {
                    parts: parts.iter().map(|part| (*part).to_owned()).collect(),
                    path: file.location.clone(),
                    size: file.size,
                    changed: file.last_modified,
                });
            })
            .await?;
        Ok((inventory, files))
    }

    /// Lists the files of a model, and calls `visit` with each, and with its path within the model's folder.
    async fn inventory_with(
        &self,
        model: &str,
        mut visit: impl FnMut(&[&str], &ObjectMeta),
    ) -> Result<Inventory, RepositoryError> {
        let mut inventory = Inventory::default();
        let mut files = self.store.list(Some(&Path::from(model)));
        loop {
            match files.try_next().await {
                Ok(Some(file)) => with_parts(&file.location, |parts| {
                    let path = parts.get(1..).unwrap_or_default();
                    inventory.add(path, &file);
                    visit(path, &file);
                }),
                Ok(None) => return Ok(inventory),
                Err(source) => {
                    let path = unreadable_path(&source).unwrap_or_default();
                    let error = self.reading(model, source);
                    with_parts(&path, |parts| {
                        inventory.add_unreadable(parts.get(1..).unwrap_or_default(), error)
                    })?;
                }
            }
        }
    }

    /// Lists the files of every model at once. A model that cannot be listed does not hide the others.
    pub(crate) async fn inventories(
        &self,
    ) -> Result<BTreeMap<String, Result<Inventory, RepositoryError>>, RepositoryError> {
        let mut inventories = BTreeMap::new();
        let mut files = self.store.list(None);
        let mut others = OtherFolder::default();
        loop {
            match files.try_next().await {
                Ok(Some(file)) => with_parts(&file.location, |parts| match parts {
                    [model, rest @ ..] if is_model_name(model) && !rest.is_empty() => {
                        add(&mut inventories, model, |inventory| {
                            inventory.add(rest, &file);
                            Ok(())
                        });
                    }
                    [folder, _, ..] if others.is_large(folder) && self.is_object_store() => {
                        // Otherwise the same files would come again.
                        if let Some(after) = after(folder).filter(|after| *after > file.location) {
                            files = self.store.list_with_offset(None, &after);
                        }
                    }
                    _ => {}
                }),
                Ok(None) => break,
                Err(source) => {
                    let path = unreadable_path(&source).unwrap_or_default();
                    let place = if path.as_ref().is_empty() { "/" } else { path.as_ref() };
                    let error = self.reading(place, source);
                    with_parts(&path, |parts| {
                        match parts {
                            [] => return Err(error),
                            [model, rest @ ..] if is_model_name(model) => {
                                add(&mut inventories, model, |inventory| {
                                    inventory.add_unreadable(rest, error)
                                });
                            }
                            _ => self.passed_over.report(path.as_ref(), &error.to_string()),
                        }
                        Ok(())
                    })?;
                }
            }
        }
        // A folder that is not there is listed as an empty one.
        self.check_root().await?;
        Ok(inventories)
    }

    /// Reads the aliases that name a version.
    pub(crate) async fn aliases(
        &self,
        model: &str,
        inventory: &Inventory,
    ) -> Result<Vec<AliasStatus>, RepositoryError> {
        let aliases = stream::iter(inventory.aliases.clone())
            .map(|(alias, last)| self.alias_status(model, alias, last.number))
            .buffered(READS_AT_A_TIME);
        let aliases: Vec<Option<AliasStatus>> = aliases.try_collect().await?;
        Ok(aliases.into_iter().flatten().collect())
    }

    /// Reads the state of the pin.
    pub(crate) async fn pin(&self, model: &str, inventory: &Inventory) -> Result<State, RepositoryError> {
        match &inventory.pin {
            Some(last) => self.state_at(model, &Pointer::Pin, last.number).await,
            None => Ok(State::default()),
        }
    }

    async fn alias_status(
        &self,
        model: &str,
        alias: String,
        entry: u64,
    ) -> Result<Option<AliasStatus>, RepositoryError> {
        let pointer = Pointer::Alias(alias.clone());
        let entry = self.entry(model, &pointer, entry).await?;
        let Some(version) = entry.version else { return Ok(None) };
        let previous = match entry.rollback_to {
            Some(before) => self.find_entry(model, &pointer, before).await?.and_then(|entry| entry.version),
            None => None,
        };
        Ok(Some(AliasStatus { alias, version, previous, moved: entry.created }))
    }

    async fn version_status(&self, model: &str, version: u64, inventory: &Inventory) -> VersionStatus {
        let keys = inventory.versions.get(&version).map(|files| &files.signed_by);
        let signed_by = keys.into_iter().flatten().cloned().collect();
        match self.manifest(model, version).await {
            Ok(manifest) => VersionStatus { version, manifest: Some(manifest), signed_by, problem: None },
            Err(error) => {
                VersionStatus { version, manifest: None, signed_by, problem: Some(error.to_string()) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use object_store::ObjectStoreExt;
    use object_store::memory::InMemory;

    use super::*;

    fn denied() -> RepositoryError {
        RepositoryError::NotFound { path: "x".to_owned() }
    }

    #[test]
    fn a_version_that_cannot_be_read_stays_one_and_pointers_that_cannot_be_read_fail_the_model() {
        for path in [&["3"][..], &["3", "model.onnx"], &["3", "signatures"]] {
            let mut inventory = Inventory::default();
            inventory.add_unreadable(path, denied()).unwrap();
            assert_eq!(
                inventory.published().map(|(version, _)| version).collect::<Vec<_>>(),
                [3],
                "{path:?}"
            );
        }
        for path in [&["notes"][..], &["notes", "1"], &["03"]] {
            let mut inventory = Inventory::default();
            inventory.add_unreadable(path, denied()).unwrap();
            assert!(inventory.versions.is_empty(), "{path:?}");
        }
        for path in [&[][..], &[ALIASES_FOLDER]] {
            assert!(Inventory::default().add_unreadable(path, denied()).is_err(), "{path:?}");
        }
        let champion = Pointer::Alias("champion".to_owned());
        let paths =
            [&[ALIASES_FOLDER, "champion"][..], &[ALIASES_FOLDER, "champion", "1.json"], &[PIN_FOLDER]];
        for (path, pointer) in paths.into_iter().zip([&champion, &champion, &Pointer::Pin]) {
            let mut inventory = Inventory::default();
            inventory.add_unreadable(path, denied()).unwrap();
            assert!(inventory.unreadable.contains_key(pointer), "{path:?}");
        }
    }

    #[tokio::test]
    async fn what_follows_a_large_folder_of_other_files_is_found() {
        let store = InMemory::new();
        let names = ["_audit/a", "_audit0/x", "a/1/manifest.json", "b/1/manifest.json"];
        let large = ["_audit", "~backup", "{x}", "`", "Büro", "%7E"];
        let many =
            large.iter().flat_map(|folder| (0..1500).map(move |number| format!("{folder}/{number:05}.json")));
        for name in many.chain(names.map(str::to_owned)) {
            store.put(&Path::parse(name).unwrap(), "x".into()).await.unwrap();
        }
        let repository = Repository::from_store(std::sync::Arc::new(store));
        let models: Vec<String> = repository.inventories().await.unwrap().into_keys().collect();
        assert_eq!(models, ["a", "b"]);
    }
}
