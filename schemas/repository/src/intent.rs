//! Intents: how a deletion and a move of a pointer notice each other before either takes effect.
//!
//! A deletion writes its intent into the version's folder, and then looks for pointers and for intents of
//! moves. A move writes its intent into the pointer's folder, and then looks for intents of deletions. Each
//! writes before it looks, so of two at once at least one sees the other and steps back. Both may step back;
//! never do both go on.
//!
//! An intent has a name of its own. Whoever steps back removes that one file and nobody else's, so a second
//! deletion of the same version stays visible when the first one is refused. A deletion that goes on writes
//! `deleted.json`, which is never removed, before it removes anything.
//!
//! ```text
//! <model>/<version>/deleting-<id>.json           a deletion of the version that is not decided yet
//! <pointer>/<entry>-<version>-<id>.json          a move of the pointer to the version, as this entry
//! ```
//!
//! The intent of a move ends by itself once the pointer has an entry of that number: one that was cut off
//! protects its version until the pointer moves again.

use object_store::path::Path;
use onnward_schemas::layout::{deleted_path, manifest_path, parse_entry, parse_version};

use crate::error::RepositoryError;
use crate::pointer::Pointer;
use crate::store::Repository;
use crate::time;

pub(crate) const DELETING: &str = "deleting-";

/// A move of a pointer that was announced, as parsed from its file's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MoveIntent {
    /// The pointer.
    pub pointer: Pointer,
    /// The number of the entry that the move is to write.
    pub entry: u64,
    /// The version that the pointer is to name.
    pub version: u64,
}

impl MoveIntent {
    /// Parses the name of a file in the folder of `pointer`; returns `None` for any other file.
    pub fn parse(pointer: Pointer, file: &str) -> Option<Self> {
        let mut parts = file.strip_suffix(".json")?.split('-');
        let (entry, version, _id) = (parts.next()?, parts.next()?, parts.next()?);
        let entry = parse_entry(&format!("{entry}.json"))?;
        Some(Self { pointer, entry, version: parse_version(version)? })
    }

    /// Returns the path of a new intent, from the repository's root.
    fn path(&self, model: &str) -> String {
        let entry = self.pointer.entry_path(model, self.entry);
        let stem = entry.trim_end_matches(".json");
        format!("{stem}-{}-{}.json", self.version, new_id())
    }
}

/// The file of an intent that this process has written.
#[derive(Debug)]
pub(crate) struct OwnIntent {
    path: String,
}

/// Returns random digits, by which a writer recognizes its own file.
pub(crate) fn new_id() -> String {
    format!("{:016x}", rand::random::<u64>())
}

impl Repository {
    /// Announces a deletion of a version.
    pub(crate) async fn announce_deletion(
        &self,
        model: &str,
        version: u64,
    ) -> Result<OwnIntent, RepositoryError> {
        self.announce(format!("{model}/{version}/{DELETING}{}.json", new_id())).await
    }

    /// Announces a move of a pointer.
    pub(crate) async fn announce_move(
        &self,
        model: &str,
        intent: &MoveIntent,
    ) -> Result<OwnIntent, RepositoryError> {
        self.announce(intent.path(model)).await
    }

    async fn announce(&self, path: String) -> Result<OwnIntent, RepositoryError> {
        let text = format!("{{\"begun\": \"{}\"}}\n", time::now_in_seconds());
        match self.create_own_file(&path, text.into()).await? {
            true => Ok(OwnIntent { path }),
            false => Err(RepositoryError::Taken { path }),
        }
    }

    /// Removes an intent. A failure is a warning, because what it announced has been decided.
    pub(crate) async fn withdraw(&self, intent: OwnIntent) {
        if let Err(error) = self.remove_file(&Path::from(intent.path.as_str())).await {
            tracing::warn!(path = intent.path, %error, "an intent cannot be removed from the model repository");
        }
    }

    /// Returns whether a version exists and no deletion of it is under way.
    pub(crate) async fn can_be_named(&self, model: &str, version: u64) -> Result<bool, RepositoryError> {
        // In this order: an intent that is gone again has left `deleted.json` behind, or was withdrawn.
        Ok(!self.is_being_deleted(model, version).await? && self.has_version(model, version).await?)
    }

    async fn is_being_deleted(&self, model: &str, version: u64) -> Result<bool, RepositoryError> {
        let folder = Path::from(format!("{model}/{version}"));
        let files = self.list_files(&folder).await?;
        let mut names = files.iter().filter_map(|file| file.location.filename());
        Ok(names.any(|name| name.starts_with(DELETING)))
    }

    /// Returns whether a version exists: it has a manifest and is not deleted.
    pub(crate) async fn has_version(&self, model: &str, version: u64) -> Result<bool, RepositoryError> {
        Ok(!self.has_file(&deleted_path(model, version)).await?
            && self.has_file(&manifest_path(model, version)).await?)
    }
}
