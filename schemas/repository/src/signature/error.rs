use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::KeyId;

/// The reason why a key cannot be used, or a version is not accepted as signed.
#[derive(Debug, Error)]
pub enum SignatureError {
    /// A key's file cannot be read.
    #[error("cannot read the key {path}: {source}")]
    ReadKey {
        /// The file.
        path: PathBuf,
        /// The file system's error.
        source: io::Error,
    },
    /// A key's file does not hold what it should.
    #[error("{path} cannot be used to {purpose}: {problem}")]
    Key {
        /// The file.
        path: PathBuf,
        /// The purpose of the key.
        purpose: &'static str,
        /// The problem, and the remedy.
        problem: &'static str,
    },
    /// The system's random number generator failed.
    #[error("cannot create a key: the system's random number generator failed")]
    NoRandomNumbers,
    /// The version is not signed.
    #[error(
        "version {version} of {model} is not signed, and a signature by {} is required: sign it with \
         `onnward-exporter sign {model} {version} --key FILE --repository URL`",
        list(.trusted)
    )]
    Unsigned {
        /// The model.
        model: String,
        /// The version.
        version: u64,
        /// The keys that are trusted.
        trusted: Vec<KeyId>,
    },
    /// The version is signed, but by no trusted key.
    #[error(
        "version {version} of {model} is signed only by {}, and a signature by {} is required: sign it with \
         `onnward-exporter sign {model} {version} --key FILE --repository URL`, or trust the key that it is \
         signed with",
        list(.signed_by), list(.trusted)
    )]
    Untrusted {
        /// The model.
        model: String,
        /// The version.
        version: u64,
        /// The keys that have signed it.
        signed_by: Vec<KeyId>,
        /// The keys that are trusted.
        trusted: Vec<KeyId>,
    },
    /// A signature is wrong for these files.
    #[error(
        "the signature of version {version} of {model} by key {key_id} is invalid: manifest.json, \
         config.toml, the model's name, the version or the signature was changed after signing: find out who \
         changed it, and publish and sign the model as a new version"
    )]
    Wrong {
        /// The model.
        model: String,
        /// The version.
        version: u64,
        /// The key that is named in the signature.
        key_id: KeyId,
    },
    /// A signature's file cannot be parsed.
    #[error(
        "a signature of version {version} of {model} cannot be parsed ({problem}): delete its file from the \
         version's folder signatures, and sign the version again"
    )]
    Malformed {
        /// The model.
        model: String,
        /// The version.
        version: u64,
        /// The problem.
        problem: String,
    },
}

fn list(keys: &[KeyId]) -> String {
    let names: Vec<&str> = keys.iter().map(KeyId::as_str).collect();
    match names.as_slice() {
        [] => "a key that is trusted (there is none)".to_owned(),
        [one] => format!("key {one}"),
        [others @ .., last] => format!("keys {} or {last}", others.join(", ")),
    }
}
