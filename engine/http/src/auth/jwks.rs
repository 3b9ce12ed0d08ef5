//! The keys that verify tokens: a JSON Web Key Set (RFC 7517), in a file or at the issuer's URL.

mod fetch;
mod key_set;
mod remote;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use thiserror::Error;

pub use self::key_set::{KeySet, NoKey};
use self::key_set::{MalformedSet, SkippedKey};
use self::remote::Remote;
use super::rules::{JwksPlace, TokenRules};
use crate::watched_file::WatchedFile;

/// The reason why there are no keys to verify tokens.
#[derive(Debug, Error)]
pub enum JwksError {
    /// The file cannot be read.
    #[error("cannot read the token keys in {place}: {source}")]
    Unreadable {
        /// The file.
        place: String,
        /// The system's error.
        source: io::Error,
    },
    /// The content is not a key set.
    #[error("the token keys in {place} are invalid: {problem}")]
    Malformed {
        /// The file or address.
        place: String,
        /// The problem, without the content.
        problem: MalformedSet,
    },
    /// No key can verify a token.
    #[error("no key in {place} can verify tokens: {why}")]
    NoneUsable {
        /// The file.
        place: String,
        /// The reason why each key was skipped.
        why: String,
    },
    /// The HTTP client for the address cannot be created.
    #[error("the token keys at {place} cannot be fetched: {reason}")]
    NoClient {
        /// The address.
        place: String,
        /// The client's error.
        reason: String,
    },
}

/// The current token keys. They are reloaded periodically. If that fails, the previous keys stay valid.
#[derive(Debug)]
pub struct Jwks {
    rules: Arc<TokenRules>,
    current: ArcSwapOption<KeySet>,
    origin: Origin,
}

#[derive(Debug)]
enum Origin {
    File(WatchedFile),
    Url(Remote),
}

impl Jwks {
    /// Reads the keys of a file. Keys at a URL are fetched by [`Jwks::run_refresh`], so that the engine
    /// starts without them.
    ///
    /// # Errors
    /// [`JwksError`] if the file cannot be read or is invalid, if no key in it is usable, or if the HTTP
    /// client cannot be created.
    pub fn open(rules: Arc<TokenRules>) -> Result<Self, JwksError> {
        let place = rules.jwks.to_string();
        match &rules.jwks {
            JwksPlace::File(path) => {
                let file = WatchedFile::new(path.clone());
                let content = file
                    .poll()
                    .content
                    .map_err(|source| JwksError::Unreadable { place: place.clone(), source })?;
                let jwks = Self { current: ArcSwapOption::empty(), origin: Origin::File(file), rules };
                let set = jwks.parse(&content)?;
                if set.is_empty() {
                    let why = list(set.skipped());
                    return Err(JwksError::NoneUsable { place, why });
                }
                jwks.accept(set);
                Ok(jwks)
            }
            JwksPlace::Url { url, refresh } => {
                let remote =
                    Remote::new(url, *refresh).map_err(|reason| JwksError::NoClient { place, reason })?;
                Ok(Self { current: ArcSwapOption::empty(), origin: Origin::Url(remote), rules })
            }
        }
    }

    /// Returns the keys. `None` before the first fetch.
    pub fn current(&self) -> Option<Arc<KeySet>> {
        self.current.load_full()
    }

    /// Waits for a refresh of a remote key set, unless the last one was too recent.
    pub async fn wait_for_refresh(&self) {
        match &self.origin {
            Origin::File(_) => {}
            Origin::Url(remote) => remote.wait_for_refresh().await,
        }
    }

    /// Reads the file again if it has changed.
    pub fn reload_if_changed(&self) {
        let Origin::File(file) = &self.origin else { return };
        let Some(content) = file.changed_content() else { return };
        let place = &self.rules.jwks;
        let read = content.map_err(|source| JwksError::Unreadable { place: place.to_string(), source });
        match read.and_then(|content| self.parse(&content)) {
            Ok(set) => self.accept(set),
            Err(error) => {
                tracing::error!(%error, "the token keys cannot be reloaded; the previous ones stay valid")
            }
        }
    }

    /// Refreshes a remote key set periodically. Returns at once for a file.
    pub async fn run_refresh(&self) {
        let Origin::Url(remote) = &self.origin else { return };
        remote
            .run(|content| {
                self.accept(self.parse(content)?);
                Ok::<_, JwksError>(())
            })
            .await;
    }

    fn parse(&self, content: &[u8]) -> Result<KeySet, JwksError> {
        KeySet::parse(content, &self.rules)
            .map_err(|problem| JwksError::Malformed { place: self.rules.jwks.to_string(), problem })
    }

    /// Replaces the current key set.
    fn accept(&self, set: KeySet) {
        let place = &self.rules.jwks;
        for skipped in set.skipped() {
            match skipped {
                SkippedKey::Unsupported(why) => {
                    tracing::debug!(%place, reason = %why, "a key in the set is not used for tokens")
                }
                SkippedKey::Unsafe(why) => {
                    tracing::warn!(%place, reason = %why, "a token key was rejected")
                }
            }
        }
        if set.is_empty() {
            tracing::error!(%place, "the key set has no usable key: all tokens are rejected");
        } else {
            tracing::info!(%place, keys = set.len(), "the token keys were loaded");
        }
        self.current.store(Some(Arc::new(set)));
    }
}

/// The minimum time between the fetches that tokens with unknown keys trigger.
pub(super) const UNKNOWN_KEY_PAUSE: Duration = Duration::from_secs(30);

fn list(skipped: &[SkippedKey]) -> String {
    let reasons: Vec<String> = skipped.iter().map(SkippedKey::to_string).collect();
    if reasons.is_empty() { "the set is empty".to_owned() } else { reasons.join("; ") }
}
