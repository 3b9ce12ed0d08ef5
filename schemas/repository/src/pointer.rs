//! Aliases and pins: names for versions that can be moved.

use std::fmt;

use chrono::Utc;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use onnward_schemas::layout::{alias_folder, entry_file, pin_folder};
use serde::{Deserialize, Serialize};

use crate::error::RepositoryError;
use crate::intent::{MoveIntent, new_id};
use crate::numbered_log::LogEnd;
use crate::store::{Repository, check_name};
use crate::time;

pub(crate) const MAX_ENTRY_BYTES: u64 = 4 * 1024;

/// A name for a version that can be moved to another version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pointer {
    /// A name that users choose, such as `champion`.
    Alias(String),
    /// The version that is served whatever the aliases say. A model has at most one pin.
    Pin,
}

/// A way to move a pointer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Move {
    /// To this version.
    To(u64),
    /// Back to the version before, which is a rollback.
    Back,
    /// To no version.
    Clear,
}

/// A planned move of a pointer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PointerChange {
    /// The model.
    pub model: String,
    /// The alias; absent for the pin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    /// The version that it names now.
    pub from: Option<u64>,
    /// The version that it will name.
    pub to: Option<u64>,
    /// Whether the move changes what it names.
    pub changes: bool,
    #[serde(skip)]
    seen: State,
    #[serde(skip)]
    rollback_to: Option<u64>,
}

/// One move of a pointer, as stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// The version that the pointer names; absent after it was deleted.
    pub version: Option<u64>,
    /// The entry that a rollback restores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback_to: Option<u64>,
    /// The time of the move, in RFC 3339 and UTC.
    pub created: String,
    /// Random digits, by which a writer recognizes its own entry.
    id: String,
}

/// The last entry of a pointer; number 0 before the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct State {
    pub number: u64,
    /// The number of the next entry.
    pub next: u64,
    pub entry: Option<Entry>,
}

impl Entry {
    /// Parses the entry at `path`.
    pub fn parse(path: &str, text: &[u8]) -> Result<Self, RepositoryError> {
        serde_json::from_slice(text)
            .map_err(|source| RepositoryError::Malformed { path: path.to_owned(), source })
    }
}

impl Default for State {
    fn default() -> Self {
        Self { number: 0, next: 1, entry: None }
    }
}

impl State {
    /// Returns the version that the pointer names.
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

    /// Returns the path of an entry, from the repository's root.
    pub(crate) fn entry_path(&self, model: &str, number: u64) -> String {
        format!("{}/{}", self.folder(model), entry_file(number))
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
    /// Returns the pointer that moves.
    pub fn pointer(&self) -> Pointer {
        self.alias.clone().map_or(Pointer::Pin, Pointer::Alias)
    }

    /// Creates the move that restores an earlier version, or removes the pointer if there is none.
    pub(crate) fn restoring(
        model: &str,
        pointer: &Pointer,
        seen: State,
        to: Option<u64>,
        rollback_to: Option<u64>,
    ) -> Self {
        let alias = match pointer {
            Pointer::Alias(alias) => Some(alias.clone()),
            Pointer::Pin => None,
        };
        let from = seen.version();
        Self { model: model.to_owned(), alias, from, to, changes: from != to, seen, rollback_to }
    }
}

impl Repository {
    /// Plans a move of a pointer. Nothing is written.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use onnward_repository::{Move, Pointer};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let location = folder.path().display().to_string();
    /// # let config = onnward_repository::RepositoryConfig { location, ..Default::default() };
    /// # let repository = onnward_repository::Repository::create(&config)?;
    /// # for _ in 0..2 {
    /// #     repository.publish("churn", b"an ONNX file".to_vec(), None).await?;
    /// # }
    /// // An alias is promoted to version 1, then to 2, and rolled back.
    /// let champion = Pointer::Alias("champion".to_owned());
    /// for step in [Move::To(1), Move::To(2), Move::Back] {
    ///     let change = repository.plan_move("churn", &champion, step).await?;
    ///     repository.apply_move(&change).await?;
    /// }
    /// // A pin overrides every alias.
    /// let change = repository.plan_move("churn", &Pointer::Pin, Move::To(2)).await?;
    /// repository.apply_move(&change).await?;
    ///
    /// let status = repository.status("churn").await?;
    /// assert_eq!((status.aliases[0].version, status.pin.map(|pin| pin.version)), (1, Some(2)));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`RepositoryError::UnknownVersion`] if the version to be named is not there,
    /// [`RepositoryError::NotSet`] and [`RepositoryError::NoHistory`] if there is nothing to clear or to go
    /// back to; those of reading.
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
        let command = || self.command(&format!("versions {model}"));
        let not_set = || RepositoryError::NotSet {
            model: model.to_owned(),
            pointer: pointer.clone(),
            command: command(),
        };
        let (to, rollback_to) = match step {
            Move::To(version) => (Some(version), from.map(|_| seen.number)),
            Move::Back => {
                let version = from.ok_or_else(not_set)?;
                let before = seen.entry.as_ref().and_then(|entry| entry.rollback_to);
                // An entry that was removed for its age is history no more.
                let entry = match before {
                    Some(before) => self.find_entry(model, pointer, before).await?,
                    None => None,
                };
                let entry = entry.ok_or_else(|| RepositoryError::NoHistory {
                    model: model.to_owned(),
                    pointer: pointer.clone(),
                    version,
                    command: command(),
                })?;
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
            return Err(self.missing_version(model, version).await);
        }
        Ok(PointerChange::restoring(model, pointer, seen, to, rollback_to))
    }

    /// Applies a planned move, unless the pointer has moved since.
    ///
    /// # Errors
    /// [`RepositoryError::Conflict`] and [`RepositoryError::Deleted`], after which the pointer is as the
    /// other left it; those of writing.
    pub async fn apply_move(&self, change: &PointerChange) -> Result<(), RepositoryError> {
        if !change.changes {
            return Ok(());
        }
        let PointerChange { model, seen, .. } = change;
        let pointer = change.pointer();
        let number = seen.next;
        let Some(version) = change.to else {
            return self.append(model, &pointer, number, None, None).await;
        };
        let intent = MoveIntent { pointer: pointer.clone(), entry: number, version };
        let intent = self.announce_move(model, &intent).await?;
        let allowed = self.can_be_named(model, version).await;
        if !matches!(allowed, Ok(true)) {
            self.withdraw(intent).await;
            let command = self.command(&format!("delete-version {model} {version}"));
            let deleted = RepositoryError::Deleted { model: model.clone(), version, command };
            return Err(allowed.err().unwrap_or(deleted));
        }
        let moved = self.append(model, &pointer, number, change.to, change.rollback_to).await;
        // If writing the entry failed it may be there all the same, now or later, so the intent stays.
        if matches!(
            moved,
            Ok(()) | Err(RepositoryError::Conflict { .. } | RepositoryError::EmptyEntry { .. })
        ) {
            self.withdraw(intent).await;
        }
        moved
    }

    /// Writes the entry of this number.
    ///
    /// # Errors
    /// [`RepositoryError::Conflict`] if somebody else has; those of writing.
    async fn append(
        &self,
        model: &str,
        pointer: &Pointer,
        number: u64,
        version: Option<u64>,
        rollback_to: Option<u64>,
    ) -> Result<(), RepositoryError> {
        let entry = Entry { version, rollback_to, created: time::now_in_millis(), id: new_id() };
        let path = pointer.entry_path(model, number);
        let text = serde_json::to_vec_pretty(&entry);
        let text = text.map_err(|source| RepositoryError::Json { path: path.clone(), source })?;
        match self.create_own_file(&path, text.into()).await? {
            true => Ok(()),
            false => {
                let is_empty =
                    self.store.head(&Path::from(path.as_str())).await.is_ok_and(|file| file.size == 0);
                let (pointer, repair) = (pointer.clone(), format!("repair {model} --fix --min-age 0"));
                let (command, model) = (self.command(&format!("versions {model}")), model.to_owned());
                Err(match is_empty {
                    true => {
                        RepositoryError::EmptyEntry { model, pointer, path, command: self.command(&repair) }
                    }
                    false => RepositoryError::Conflict { model, pointer, command },
                })
            }
        }
    }

    /// Reads the last entry of a pointer.
    pub(crate) async fn state(&self, model: &str, pointer: &Pointer) -> Result<State, RepositoryError> {
        let folder = pointer.folder(model);
        let listing = self.store.list_with_delimiter(Some(&Path::from(folder.as_str()))).await;
        let listing = listing.map_err(|source| self.reading(&folder, source))?;
        let LogEnd { last, next } = LogEnd::of(&listing.objects, Utc::now());
        match last {
            0 => Ok(State { next, ..State::default() }),
            number => Ok(State { next, ..self.state_at(model, pointer, number).await? }),
        }
    }

    /// Reads the state of a pointer whose last entry has this number, to know what it names.
    pub(crate) async fn state_at(
        &self,
        model: &str,
        pointer: &Pointer,
        number: u64,
    ) -> Result<State, RepositoryError> {
        let entry = Some(self.entry(model, pointer, number).await?);
        Ok(State { number, next: number.saturating_add(1), entry })
    }

    /// Reads an entry of a pointer; `None` if it was removed for its age.
    pub(crate) async fn find_entry(
        &self,
        model: &str,
        pointer: &Pointer,
        number: u64,
    ) -> Result<Option<Entry>, RepositoryError> {
        match self.entry(model, pointer, number).await {
            Ok(entry) => Ok(Some(entry)),
            Err(RepositoryError::Read { source: object_store::Error::NotFound { .. }, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads an entry of a pointer.
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
}
