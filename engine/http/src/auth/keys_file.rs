//! The file of API keys: the names, scopes and expiry times, and only digests of the keys themselves.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::key::is_key_name;
use super::{Caller, Scope};

/// The reason why a file of API keys cannot be used.
#[derive(Debug, Error)]
pub enum KeysFileError {
    /// The file cannot be read.
    #[error("cannot read the API keys in {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The file is not TOML, or has missing, unknown or mistyped fields.
    #[error("the file of API keys {} is invalid: {problem}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The problem, without the content of the file.
        problem: String,
    },
    /// An entry is invalid.
    #[error("the API key \"{name}\" in {} {problem}", path.display())]
    Entry {
        /// The file.
        path: PathBuf,
        /// The entry's name.
        name: String,
        /// The problem with the entry.
        problem: &'static str,
    },
}

/// An entry in its file format.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawEntry {
    /// The name of the key's holder.
    pub name: String,
    /// The SHA-256 of the key, in hexadecimal.
    pub sha256: String,
    /// The holder's scopes.
    pub scopes: Vec<Scope>,
    /// The expiry time, in RFC 3339; without it, the key never expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<DateTime<Utc>>,
}

/// The file format.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawKeys {
    /// The entries, `[[keys]]`.
    #[serde(default)]
    pub keys: Vec<RawEntry>,
}

/// A valid key, with its expiry time.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyEntry {
    /// The caller that the key identifies.
    pub caller: Arc<Caller>,
    /// The key's SHA-256.
    pub digest: [u8; 32],
    /// The expiry time; without it, the key never expires.
    pub expires: Option<DateTime<Utc>>,
}

/// Omits the digest, which must not be logged.
impl fmt::Debug for KeyEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { caller, expires, .. } = self;
        f.debug_struct("KeyEntry").field("caller", caller).field("expires", expires).finish_non_exhaustive()
    }
}

/// The keys of a file, by name.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Keys(BTreeMap<String, KeyEntry>);

impl Keys {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// [`KeysFileError`].
    pub fn read(path: &Path) -> Result<Self, KeysFileError> {
        Self::from_content(std::fs::read(path), path)
    }

    /// Parses the content of a file.
    ///
    /// # Errors
    /// [`KeysFileError`].
    pub fn from_content(content: io::Result<Vec<u8>>, path: &Path) -> Result<Self, KeysFileError> {
        let text = content
            .and_then(|bytes| String::from_utf8(bytes).map_err(io::Error::other))
            .map_err(|source| KeysFileError::Unreadable { path: path.to_owned(), source })?;
        Self::parse(&text, path)
    }

    fn parse(text: &str, path: &Path) -> Result<Self, KeysFileError> {
        let malformed = |error: toml::de::Error| KeysFileError::Malformed {
            path: path.to_owned(),
            problem: error.message().replace('\n', " "),
        };
        let raw: RawKeys = toml::from_str(text).map_err(malformed)?;
        let mut keys = BTreeMap::new();
        for RawEntry { name, sha256, scopes, expires } in raw.keys {
            let refuse =
                |problem| Err(KeysFileError::Entry { path: path.to_owned(), name: name.clone(), problem });
            if !is_key_name(&name) {
                return refuse("must have a name of 1 to 64 characters from a-z, 0-9 and -");
            }
            let Some(digest) = decode_hex(&sha256) else {
                return refuse("must have a `sha256` of 64 hexadecimal digits");
            };
            if scopes.is_empty() {
                return refuse("must have at least one of the scopes predict, outcomes, read and admin");
            }
            let caller = Arc::new(Caller { name: name.clone(), scopes });
            if keys.insert(name.clone(), KeyEntry { caller, digest, expires }).is_some() {
                return refuse("is a duplicate; give each key a unique name");
            }
        }
        Ok(Self(keys))
    }

    /// Returns the key with this name.
    pub fn find(&self, name: &str) -> Option<&KeyEntry> {
        self.0.get(name)
    }

    /// Returns the number of keys.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Decodes 64 hexadecimal digits.
fn decode_hex(digits: &str) -> Option<[u8; 32]> {
    let digits: Vec<u8> =
        digits.chars().map(|digit| digit.to_digit(16).map(|value| value as u8)).collect::<Option<_>>()?;
    let bytes: Vec<u8> = digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
    (digits.len() == 64).then(|| bytes.try_into().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_debug_print_holds_no_digest() {
        let text = format!("[[keys]]\nname = 'one'\nsha256 = '{}'\nscopes = ['read']", "ab".repeat(32));
        let keys = Keys::parse(&text, Path::new("keys.toml")).unwrap();
        let printed = format!("{keys:?}");
        assert!(
            printed.contains("one") && !printed.contains("171") && !printed.contains("ab, ab"),
            "{printed}"
        );
    }
}
