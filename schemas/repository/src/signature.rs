//! Signatures of versions: detached Ed25519 (RFC 8032), in `<model>/<version>/signatures/<key id>.json`.
//!
//! The signed text is a statement of a few lines ([`Subject::statement`]). It binds the model's name, the
//! version and the digests of `manifest.json`, which holds the model's digest, and of `config.toml`. So a
//! signed file cannot pass as another version or another model, and `openssl pkeyutl -verify -rawin` can
//! check it too.

mod error;
mod key;
mod repository;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use onnward_schemas::sha256_hex;
use serde::{Deserialize, Serialize};

pub use error::SignatureError;
use key::PublicKey;
pub use key::{NewKey, Signer, generate_key};
pub use repository::Signed;

use crate::time;

/// The first line of every statement. A signature by the same key for another purpose has another one.
const DOMAIN: &str = "onnward-manifest-signature-v1";
const KEY_ID_DIGITS: usize = 16;

/// The id of a key: the first 16 hexadecimal digits of the SHA-256 of the public key's SubjectPublicKeyInfo
/// in DER. It names a key and proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct KeyId(String);

/// The algorithms of signatures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Algorithm {
    Ed25519,
}

/// A signature of a version, as stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    key_id: KeyId,
    algorithm: Algorithm,
    /// 64 bytes in base64.
    signature: String,
    /// The time of signing, in RFC 3339 and UTC; the signature covers it.
    signed: String,
}

/// The files that a signature covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subject<'a> {
    /// The model's name.
    pub model: &'a str,
    /// The version.
    pub version: u64,
    /// The text of its `manifest.json`.
    pub manifest_text: &'a str,
    /// The text of its `config.toml`, if it has one.
    pub config: Option<&'a str>,
}

/// The public keys that are trusted. Without any, no version passes.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use onnward_repository::{Fetcher, NewVersion, Signer, Subject, TrustedKeys, generate_key};
///
/// # let folder = tempfile::tempdir()?;
/// # let location = folder.path().display().to_string();
/// # let config = onnward_repository::RepositoryConfig { location, ..Default::default() };
/// # let repository = onnward_repository::Repository::create(&config)?;
/// let key = generate_key()?;
/// let [private, public] = ["release.key", "release.pub"].map(|file| folder.path().join(file));
/// std::fs::write(&private, &key.private_pem)?;
/// std::fs::write(&public, &key.public_pem)?;
///
/// let signer = Signer::read(&private)?;
/// let bytes = b"an ONNX file".to_vec();
/// let version = NewVersion { bytes, signer: Some(&signer), ..NewVersion::default() };
/// repository.publish_version("churn", version).await?;
///
/// let fetched = Fetcher::new(repository, None, 512 << 20).fetch("churn", 1).await?;
/// let subject = Subject { model: "churn", version: 1, manifest_text: &fetched.manifest_text, config: None };
/// let trusted = TrustedKeys::read(&[public])?;
/// assert_eq!(trusted.verify(&subject, &fetched.signatures)?, key.key_id);
/// // The same files are no version 2.
/// let moved = Subject { version: 2, ..subject };
/// assert!(trusted.verify(&moved, &fetched.signatures).is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedKeys(BTreeMap<KeyId, PublicKey>);

impl TrustedKeys {
    /// Reads public keys from PEM files (SubjectPublicKeyInfo, `BEGIN PUBLIC KEY`). A file may hold several.
    ///
    /// # Errors
    /// [`SignatureError::ReadKey`]; [`SignatureError::Key`] for a file with none, or with one that is not
    /// Ed25519.
    pub fn read(paths: &[PathBuf]) -> Result<Self, SignatureError> {
        let mut trusted = BTreeMap::new();
        for path in paths {
            trusted.extend(key::read_public_keys(path)?.into_iter().map(|key| (key.id(), key)));
        }
        Ok(Self(trusted))
    }

    /// Trusts the public half of one key.
    fn of(signer: &Signer) -> Self {
        Self(BTreeMap::from([(signer.key_id().clone(), signer.public_key())]))
    }

    /// Returns whether no key is trusted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the ids of the keys, in order.
    pub fn key_ids(&self) -> impl Iterator<Item = &KeyId> {
        self.0.keys()
    }

    /// Verifies that one of the trusted keys has signed a version, and returns which. `signatures` are the
    /// texts of its signature files, in any order. One valid signature is enough.
    ///
    /// The model's file is not checked against the manifest here: [`crate::Fetcher::fetch`] does that.
    ///
    /// # Errors
    /// [`SignatureError::Unsigned`], [`SignatureError::Untrusted`], [`SignatureError::Wrong`],
    /// [`SignatureError::Malformed`].
    pub fn verify(&self, subject: &Subject<'_>, signatures: &[String]) -> Result<KeyId, SignatureError> {
        let (mut unknown, mut wrong, mut malformed) = (Vec::new(), None, None);
        for text in signatures {
            match Signature::parse(text) {
                Ok((Signature { key_id, signed, .. }, bytes)) => match self.0.get(&key_id) {
                    Some(key) if key.has_signed(&subject.statement(&signed), &bytes) => return Ok(key_id),
                    Some(_) => wrong = Some(key_id),
                    None => unknown.push(key_id),
                },
                Err(problem) => malformed = Some(problem),
            }
        }
        let (model, version) = (subject.model.to_owned(), subject.version);
        let trusted = || self.key_ids().cloned().collect();
        // What is most likely an attack, or damage, first.
        Err(match (wrong, malformed) {
            (Some(key_id), _) => SignatureError::Wrong { model, version, key_id },
            (None, Some(problem)) => SignatureError::Malformed { model, version, problem },
            (None, None) if unknown.is_empty() => {
                SignatureError::Unsigned { model, version, trusted: trusted() }
            }
            (None, None) => {
                SignatureError::Untrusted { model, version, signed_by: unknown, trusted: trusted() }
            }
        })
    }
}

impl Signer {
    /// Signs a version.
    pub fn sign(&self, subject: &Subject<'_>) -> Signature {
        let signed = time::now_in_seconds();
        let bytes = self.sign_bytes(subject.statement(&signed).as_bytes());
        Signature {
            key_id: self.key_id().clone(),
            algorithm: Algorithm::Ed25519,
            signature: BASE64_STANDARD.encode(bytes),
            signed,
        }
    }
}

impl Subject<'_> {
    /// Returns the signed text: a line for each item. Only the last item may hold the end of a line.
    fn statement(&self, signed: &str) -> String {
        let Self { model, version, manifest_text, config } = self;
        let manifest = sha256_hex(manifest_text.as_bytes());
        let config = config.map_or_else(|| "none".to_owned(), |text| sha256_hex(text.as_bytes()));
        format!(
            "{DOMAIN}\nmodel: {model}\nversion: {version}\nmanifest-sha256: {manifest}\nconfig-sha256: {config}\n\
             signed: {signed}\n"
        )
    }
}

impl Signature {
    /// Parses a signature's file and decodes its bytes.
    fn parse(text: &str) -> Result<(Self, Vec<u8>), String> {
        let signature: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let bytes = BASE64_STANDARD.decode(&signature.signature);
        let bytes = bytes.map_err(|error| format!("its signature is not in base64: {error}"))?;
        Ok((signature, bytes))
    }
}

impl KeyId {
    /// Returns the key that a signature's file is named after.
    pub(crate) fn of_file(file: &str) -> Option<Self> {
        Self::try_from(file.strip_suffix(".json")?.to_owned()).ok()
    }

    fn of_public_key(der: &[u8]) -> Self {
        Self(sha256_hex(der).chars().take(KEY_ID_DIGITS).collect())
    }

    /// Returns the digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for KeyId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() == KEY_ID_DIGITS && text.bytes().all(is_digit) {
            Ok(Self(text))
        } else {
            Err(format!(
                "{text:?} is not a key id: a key id has {KEY_ID_DIGITS} lower-case hexadecimal digits"
            ))
        }
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests;
