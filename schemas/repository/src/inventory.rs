//! Everything that there is of a model, by one listing.

use std::collections::BTreeMap;

use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use onnward_schemas::Manifest;
use onnward_schemas::layout::{
    ALIASES_FOLDER, DELETED_FILE, MANIFEST_FILE, PIN_FOLDER, is_model_name, parse_entry, parse_version,
};
use serde::Serialize;

use crate::error::RepositoryError;
use crate::pointer::{Pointer, State};
use crate::store::{Repository, check_name};

/// What there is of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VersionStatus {
    /// The version.
    pub version: u64,
    /// What its manifest says, where it can be read.
    #[serde(flatten)]
    pub manifest: Option<Manifest>,
    /// Why the manifest cannot be read.
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
    /// When it was moved last, in RFC 3339 and UTC.
    pub moved: String,
}

/// The pin of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PinStatus {
    /// The version that is served whatever the aliases say.
    pub version: u64,
    /// When it was set, in RFC 3339 and UTC.
    pub moved: String,
}

/// The files of a model.
#[derive(Debug, Default)]
pub(crate) struct Inventory {
    /// Every folder of a version.
    pub versions: BTreeMap<u64, VersionFiles>,
    /// The last entry of every alias.
    pub aliases: BTreeMap<String, u64>,
    /// The last entry of the pin.
    pub pin: Option<u64>,
}

/// The files of a version.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct VersionFiles {
    pub has_manifest: bool,
    pub is_deleted: bool,
    /// The sizes of all of them, but for the mark of a deletion.
    pub size_bytes: u64,
}

impl Inventory {
    /// The versions that are there: with a manifest, and not deleted.
    pub fn published(&self) -> impl DoubleEndedIterator<Item = u64> {
        let is_there = |files: &VersionFiles| files.has_manifest && !files.is_deleted;
        self.versions.iter().filter(move |(_, files)| is_there(files)).map(|(version, _)| *version)
    }

    fn add(&mut self, path: &[&str], size: u64) {
        let later = |last: Option<u64>, entry: u64| last.map_or(entry, |last| last.max(entry));
        match path {
            [ALIASES_FOLDER, alias, file] if is_model_name(alias) => {
                if let Some(entry) = parse_entry(file) {
                    let last = self.aliases.get(*alias).copied();
                    self.aliases.insert((*alias).to_owned(), later(last, entry));
                }
            }
            [PIN_FOLDER, file] => {
                if let Some(entry) = parse_entry(file) {
                    self.pin = Some(later(self.pin, entry));
                }
            }
            [version, rest @ ..] => {
                let Some(version) = parse_version(version) else { return };
                let files = self.versions.entry(version).or_default();
                match rest {
                    [DELETED_FILE] => files.is_deleted = true,
                    _ => files.size_bytes += size,
                }
                files.has_manifest |= matches!(rest, [MANIFEST_FILE]);
            }
            [] => {}
        }
    }
}

/// How many small files are read at a time.
const READS_AT_A_TIME: usize = 16;

impl Repository {
    /// The names of the models, in order; folders whose name is no model's are ignored.
    ///
    /// # Errors
    /// [`RepositoryError::Read`].
    pub async fn models(&self) -> Result<Vec<String>, RepositoryError> {
        let listing = self.store.list_with_delimiter(None).await;
        let listing = listing.map_err(|source| RepositoryError::reading("/", source))?;
        let names = listing.common_prefixes.iter().filter_map(|path| path.filename());
        let mut names: Vec<String> = names.filter(|name| is_model_name(name)).map(str::to_owned).collect();
        names.sort();
        Ok(names)
    }

    /// Everything that there is of a model.
    ///
    /// # Errors
    /// [`RepositoryError::NoModel`]; those of reading.
    pub async fn status(&self, model: &str) -> Result<ModelStatus, RepositoryError> {
        let inventory = self.known(model).await?;
        let versions: Vec<u64> = inventory.published().rev().collect();
        let versions = stream::iter(versions)
            .map(|version| self.version_status(model, version))
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

    /// As [`Repository::inventory`], of a model that must be there.
    pub(crate) async fn known(&self, model: &str) -> Result<Inventory, RepositoryError> {
        check_name(model)?;
        let inventory = self.inventory(model).await?;
        if inventory.versions.is_empty() && inventory.aliases.is_empty() {
            return Err(RepositoryError::NoModel { model: model.to_owned() });
        }
        Ok(inventory)
    }

    /// The files of a model.
    pub(crate) async fn inventory(&self, model: &str) -> Result<Inventory, RepositoryError> {
        let mut inventory = Inventory::default();
        let mut files = self.store.list(Some(&Path::from(model)));
        while let Some(file) =
            files.try_next().await.map_err(|source| RepositoryError::reading(model, source))?
        {
            let parts: Vec<_> = file.location.parts().skip(1).collect();
            let parts: Vec<&str> = parts.iter().map(AsRef::as_ref).collect();
            inventory.add(&parts, file.size);
        }
        Ok(inventory)
    }

    /// The aliases that name a version.
    pub(crate) async fn aliases(
        &self,
        model: &str,
        inventory: &Inventory,
    ) -> Result<Vec<AliasStatus>, RepositoryError> {
        let aliases = stream::iter(inventory.aliases.clone())
            .map(|(alias, entry)| self.alias_status(model, alias, entry))
            .buffered(READS_AT_A_TIME);
        let aliases: Vec<Option<AliasStatus>> = aliases.try_collect().await?;
        Ok(aliases.into_iter().flatten().collect())
    }

    /// The state of the pin.
    pub(crate) async fn pin(&self, model: &str, inventory: &Inventory) -> Result<State, RepositoryError> {
        match inventory.pin {
            Some(entry) => self.state_at(model, &Pointer::Pin, entry).await,
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
            Some(before) => self.entry(model, &pointer, before).await?.version,
            None => None,
        };
        Ok(Some(AliasStatus { alias, version, previous, moved: entry.created }))
    }

    async fn version_status(&self, model: &str, version: u64) -> VersionStatus {
        match self.manifest(model, version).await {
            Ok(manifest) => VersionStatus { version, manifest: Some(manifest), problem: None },
            Err(error) => VersionStatus { version, manifest: None, problem: Some(error.to_string()) },
        }
    }
}
