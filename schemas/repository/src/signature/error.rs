use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::KeyId;

/// Why a key cannot be used, or a version is not taken for signed.
#[derive(Debug, Error)]
pub enum SignatureError {
    /// A key's file cannot be read.
    #[error("cannot read the key {path}: {source}")]
    ReadKey {
        /// The file.
        path: PathBuf,
        /// What the file system says.
        source: io::Error,
    },
    /// A key's file does not hold what it should.
    #[error("{path} cannot be used to {purpose}: {problem}")]
    Key {
        /// The file.
        path: PathBuf,
        /// What it was wanted for.
        purpose: &'static str,
        /// What is wrong with it, and what to do.
        problem: &'static str,
    },
    /// The system has no random numbers to make a key of.
    #[error("cannot make a key: the system gives no random numbers")]
    NoRandomNumbers,
    /// Nobody has signed the version.
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
        /// Whose signature would do.
        trusted: Vec<KeyId>,
    },
    /// None of those who have signed the version is trusted.
    #[error(
        "version {version} of {model} is signed by {} alone, and a signature by {} is required: sign it with \
         `onnward-exporter sign {model} {version} --key FILE --repository URL`, or trust the key that it is signed with",
        list(.signed_by), list(.trusted)
    )]
    Untrusted {
        /// The model.
        model: String,
        /// The version.
        version: u64,
        /// Who has signed it.
        signed_by: Vec<KeyId>,
        /// Whose signature would do.
        trusted: Vec<KeyId>,
    },
    /// A signature was made of something else.
    #[error(
        "the signature of version {version} of {model} by key {key_id} is wrong, so its manifest.json, its config.toml, its \
         place or the signature is not what was signed: find out who changed it, and publish and sign the model as a new version"
    )]
    Wrong {
        /// The model.
        model: String,
        /// The version.
        version: u64,
        /// The key that is said to have signed it.
        key_id: KeyId,
    },
    /// A signature's file does not read.
    #[error(
        "a signature of version {version} of {model} does not read ({problem}): delete its file from the version's \
         folder signatures, and sign the version again"
    )]
    Malformed {
        /// The model.
        model: String,
        /// The version.
        version: u64,
        /// What is wrong with it.
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
