//! Aliases and pins: names for versions that move.

use std::fmt;

use chrono::{SecondsFormat, Utc};
use object_store::path::Path;
use onnward_schemas::layout::{
    alias_folder, deleted_path, entry_file, manifest_path, parse_entry, pin_folder,
};
use serde::{Deserialize, Serialize};

use crate::error::RepositoryError;
use crate::store::{Repository, check_name};

pub(crate) const MAX_ENTRY_BYTES: u64 = 4 * 1024;

/// A name for a version that can be moved to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pointer {
    /// A name of people's choice, such as `champion`.
    Alias(String),
    /// The version that is served whatever the aliases say; a model has one or none.
    Pin,
}

/// What a pointer is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Move {
    /// Name this version.
    To(u64),
    /// Name the version that it named before.
    Back,
    /// Name none.
    Clear,
}

/// A pointer's move as it was planned: nothing has been written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PointerChange {
    /// The model.
    pub model: String,
    /// The alias; absent for the pin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    /// The version that it names.
    pub from: Option<u64>,
    /// The version that it is to name.
    pub to: Option<u64>,
    /// Whether it names another version afterwards.
    pub changes: bool,
    #[serde(skip)]
    seen: State,
    #[serde(skip)]
    rollback_to: Option<u64>,
}

/// One move of a pointer, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// What the pointer names; nothing after it was deleted.
    pub version: Option<u64>,
    /// The entry that a rollback restores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback_to: Option<u64>,
    /// When it was moved, in RFC 3339 and UTC.
    pub created: String,
    /// Random digits, by which a writer knows its own entry.
    id: String,
}

/// The last entry of a pointer; number 0 before the first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct State {
    pub number: u64,
    pub entry: Option<Entry>,
}

impl Entry {
    /// Reads the text of the entry at `path`.
    pub fn parse(path: &str, text: &[u8]) -> Result<Self, RepositoryError> {
        serde_json::from_slice(text)
            .map_err(|source| RepositoryError::Malformed { path: path.to_owned(), source })
    }
}

impl State {
    /// The version that the pointer names.
    pub fn version(&self) -> Option<u64> {
        self.entry.as_ref()?.version
    }
}

impl Pointer {
    fn folder(&self, model: &str) -> String {
        match self {
            Self::Alias(alias) => alias_folder(model, alias),
            Self::Pin => pin_folder(model),
        }
    }

    /// The path of an entry, from the repository's root.
    pub(crate) fn entry_path(&self, model: &str, number: u64) -> String {
        format!("{}/{}", self.folder(model), entry_file(number))
    }

    /// The arguments that set it.
    pub(crate) fn command(&self, model: &str) -> String {
        match self {
            Self::Alias(alias) => format!("alias set {model} {alias} VERSION"),
            Self::Pin => format!("pin {model} VERSION"),
        }
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alias(alias) => write!(f, "alias {alias}"),
            Self::Pin => f.write_str("pin"),
        }
    }
}

impl PointerChange {
    /// The pointer that moves.
    pub fn pointer(&self) -> Pointer {
        self.alias.clone().map_or(Pointer::Pin, Pointer::Alias)
    }
}

impl Repository {
    /// Looks at a pointer and works out a move of it. Nothing is written.
    ///
    /// # Errors
    /// [`RepositoryError::UnknownVersion`] if the version to be named is not there, [`RepositoryError::NotSet`] and
    /// [`RepositoryError::NoHistory`] if there is nothing to clear or to go back to; those of reading.
    pub async fn plan_move(
        &self,
        model: &str,
        pointer: &Pointer,
        step: Move,
    ) -> Result<PointerChange, RepositoryError> {
        check_name(model)?;
        if let Pointer::Alias(alias) = pointer {
            check_name(alias)?;
        }
        let seen = self.state(model, pointer).await?;
        let from = seen.version();
        let not_set = || RepositoryError::NotSet { model: model.to_owned(), pointer: pointer.clone() };
        let (to, rollback_to) = match step {
            Move::To(version) => (Some(version), from.map(|_| seen.number)),
            Move::Back => {
                let version = from.ok_or_else(not_set)?;
                let before = seen.entry.as_ref().and_then(|entry| entry.rollback_to);
                let before = before.ok_or_else(|| RepositoryError::NoHistory {
                    model: model.to_owned(),
                    pointer: pointer.clone(),
                    version,
                })?;
                let entry = self.entry(model, pointer, before).await?;
                (entry.version, entry.rollback_to)
            }
            Move::Clear => {
                from.ok_or_else(not_set)?;
                (None, None)
            }
        };
        if let Some(version) = to
            && !self.has_version(model, version).await?
        {
            return Err(RepositoryError::UnknownVersion { model: model.to_owned(), version });
        }
        let alias = match pointer {
            Pointer::Alias(alias) => Some(alias.clone()),
            Pointer::Pin => None,
        };
        Ok(PointerChange { model: model.to_owned(), alias, from, to, changes: from != to, seen, rollback_to })
    }

    /// Makes a planned move, unless the pointer has moved since it was planned.
    ///
    /// # Errors
    /// [`RepositoryError::Conflict`] and [`RepositoryError::Deleted`], after which the pointer is as the other left it;
    /// those of writing.
    pub async fn apply_move(&self, change: &PointerChange) -> Result<(), RepositoryError> {
        if !change.changes {
            return Ok(());
        }
        let PointerChange { model, seen, .. } = change;
        let pointer = change.pointer();
        let number = seen.number.saturating_add(1);
        if !self.append(model, &pointer, number, change.to, change.rollback_to).await? {
            return Err(RepositoryError::Conflict { model: model.clone(), pointer });
        }
        // Whoever deletes a version marks it and then looks for pointers to it; here it is the other way round, so that of
        // the two at least one sees the other.
        let Some(version) = change.to else { return Ok(()) };
        if self.has_version(model, version).await? {
            return Ok(());
        }
        let (before, rollback_to) = (seen.version(), seen.entry.as_ref().and_then(|entry| entry.rollback_to));
        // If the pointer has been moved on meanwhile, there is nothing to undo.
        self.append(model, &pointer, number.saturating_add(1), before, rollback_to).await?;
        Err(RepositoryError::Deleted { model: model.clone(), version })
    }

    /// Writes the entry of this number; `false` if somebody else has.
    async fn append(
        &self,
        model: &str,
        pointer: &Pointer,
        number: u64,
        version: Option<u64>,
        rollback_to: Option<u64>,
    ) -> Result<bool, RepositoryError> {
        let created = Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true);
        let entry = Entry { version, rollback_to, created, id: format!("{:016x}", rand::random::<u64>()) };
        let path = pointer.entry_path(model, number);
        let text = serde_json::to_vec_pretty(&entry);
        let text = text.map_err(|source| RepositoryError::Json { path: path.clone(), source })?;
        self.create_own_file(&path, text.into()).await
    }

    /// The last entry of a pointer.
    pub(crate) async fn state(&self, model: &str, pointer: &Pointer) -> Result<State, RepositoryError> {
        let folder = pointer.folder(model);
        let listing = self.store.list_with_delimiter(Some(&Path::from(folder.as_str()))).await;
        let listing = listing.map_err(|source| self.reading(&folder, source))?;
        let numbers = listing.objects.iter().filter_map(|object| parse_entry(object.location.filename()?));
        match numbers.max() {
            Some(number) => self.state_at(model, pointer, number).await,
            None => Ok(State::default()),
        }
    }

    /// A pointer whose last entry has this number.
    pub(crate) async fn state_at(
        &self,
        model: &str,
        pointer: &Pointer,
        number: u64,
    ) -> Result<State, RepositoryError> {
        Ok(State { number, entry: Some(self.entry(model, pointer, number).await?) })
    }

    /// An entry of a pointer.
    pub(crate) async fn entry(
        &self,
        model: &str,
        pointer: &Pointer,
        number: u64,
    ) -> Result<Entry, RepositoryError> {
        let path = pointer.entry_path(model, number);
        let text = self.read(&path, MAX_ENTRY_BYTES).await?;
        Entry::parse(&path, &text)
    }

    /// Whether a version is there: with a manifest, and not deleted.
    pub(crate) async fn has_version(&self, model: &str, version: u64) -> Result<bool, RepositoryError> {
        Ok(self.has_file(&manifest_path(model, version)).await?
            && !self.has_file(&deleted_path(model, version)).await?)
    }
}
