//! The currently valid API keys.

use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use chrono::{DateTime, Utc};
use subtle::ConstantTimeEq;

use super::key::ApiKey;
use super::keys_file::{KeyEntry, Keys, KeysFileError};
use super::{Caller, Refusal};
use crate::watched_file::WatchedFile;

/// The keys of a file that is reloaded when it changes.
#[derive(Debug)]
pub struct ValidKeys {
    file: WatchedFile,
    keys: ArcSwap<Keys>,
}

impl ValidKeys {
    /// Reads the keys.
    ///
    /// # Errors
    /// [`KeysFileError`] if the file cannot be read or is invalid.
    pub fn open(path: &Path) -> Result<Self, KeysFileError> {
        let file = WatchedFile::new(path.to_owned());
        let keys = Keys::from_content(file.poll().content, path)?;
        Ok(Self { file, keys: ArcSwap::from_pointee(keys) })
    }

    /// Identifies the caller of a key. Digests are compared in constant time, and an unknown name costs the
    /// same, so timing reveals nothing.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn identify(&self, presented: &str, now: DateTime<Utc>) -> Result<Arc<Caller>, Refusal> {
        const NOBODY: [u8; 32] = [0; 32];
        let presented = ApiKey::parse(presented).ok_or(Refusal::Unknown)?;
        let keys = self.keys.load();
        let entry = keys.find(presented.name());
        let digest = presented.digest();
        let matches = digest.ct_eq(entry.map_or(&NOBODY, |entry| &entry.digest));
        match entry {
            Some(KeyEntry { caller, expires, .. }) if bool::from(matches) => match expires {
                Some(expires) if *expires <= now => Err(Refusal::Expired),
                _ => Ok(Arc::clone(caller)),
            },
            _ => Err(Refusal::Unknown),
        }
    }

    /// Reloads the keys if their file has changed. If it does not parse, the previous keys stay valid and the
    /// error is logged once.
    pub fn reload_if_changed(&self) {
        let Some(content) = self.file.changed_content() else { return };
        if content.as_ref().is_ok_and(Vec::is_empty) {
            // Rewriting a file truncates it first, which must not lock out all callers.
            return tracing::warn!(
                "the file of API keys is empty, so the previous keys stay valid; to remove all keys, write \
                 `keys = []`"
            );
        }
        match Keys::from_content(content, self.file.path()) {
            Ok(keys) => {
                tracing::info!(keys = keys.len(), path = %self.file.path().display(), "the API keys were reloaded");
                self.keys.store(Arc::new(keys));
            }
            Err(error) => {
                tracing::error!(%error, "the API keys cannot be reloaded; the previous ones stay valid")
            }
        }
    }
}
