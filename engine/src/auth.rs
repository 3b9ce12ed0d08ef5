//! Who may do what: callers, told apart by their API keys, and their scopes. It knows nothing of HTTP.

mod key;
mod keys_file;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use chrono::{DateTime, Utc};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use thiserror::Error;
use tokio::time::{MissedTickBehavior, interval};

use self::key::ApiKey;
pub use self::key::{generate, is_key_name};
use self::keys_file::KeyEntry;
pub use self::keys_file::{Keys, KeysFileError, RawEntry, RawKeys};

/// What a caller may be allowed to do; none of them includes another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// To have rows scored, and to tell what became of them.
    Predict,
    /// To see models, their performance and their drift, and what is protected beside them.
    Read,
    /// To make the engine do something.
    Admin,
}

impl Scope {
    /// The name in a keys file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Predict => "predict",
            Self::Read => "read",
            Self::Admin => "admin",
        }
    }
}

/// Who made a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The name of the key.
    pub name: String,
    /// What the caller may do.
    pub scopes: Vec<Scope>,
}

/// Why a key is not accepted. Whoever presents it is not told which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Refusal {
    /// It is not one of the keys.
    #[error("the key is not known")]
    Unknown,
    /// Its time is over.
    #[error("the key has expired")]
    Expired,
}

/// The keys that are valid now. They are read again when their file changes.
#[derive(Debug)]
pub struct Authenticator {
    file: PathBuf,
    keys: ArcSwap<Keys>,
}

impl Authenticator {
    /// Reads the keys.
    ///
    /// # Errors
    /// [`KeysFileError`] when the file cannot be read or is not as it should be.
    pub fn open(file: &Path) -> Result<Self, KeysFileError> {
        Ok(Self { file: file.to_owned(), keys: ArcSwap::from_pointee(Keys::read(file)?) })
    }

    /// The caller to whom this key belongs. Digests are compared in constant time, so that no part of one can be found out by
    /// trying; a name that is not there costs the same.
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

    /// Reads the keys again if their file has changed. Whatever is wrong with it, the keys that were valid stay valid, and
    /// the log says so.
    fn refresh(&self) {
        match Keys::read(&self.file) {
            Ok(keys) if keys == **self.keys.load() => {}
            Ok(keys) => {
                tracing::info!(keys = keys.len(), path = %self.file.display(), "the API keys have changed");
                self.keys.store(Arc::new(keys));
            }
            Err(error) => tracing::error!(%error, "the API keys are as they were"),
        }
    }

    /// Looks again and again whether the keys have changed.
    pub async fn watch(self: Arc<Self>, pause: Duration) {
        let mut ticks = interval(pause);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let keys = Arc::clone(&self);
            // A panic there would be the reader's; the keys stay as they are.
            let _ = tokio::task::spawn_blocking(move || keys.refresh()).await;
        }
    }
}

#[cfg(test)]
mod tests;
