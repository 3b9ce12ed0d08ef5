use std::fmt;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use onnward_http::auth::{Keys, RawEntry, RawKeys, Scope, generate, is_key_name};
use onnward_schemas::sha256_hex;
use serde::Serialize;

use super::{CommandError, print};
use crate::cli::Output;

/// The mode of a new file of keys.
const OWNER_ONLY_MODE: u32 = 0o600;

/// The properties of a new key.
#[derive(Debug)]
pub struct NewKey {
    /// The name.
    pub name: String,
    /// The scopes.
    pub scopes: Vec<Scope>,
    /// The expiry.
    pub expires: Option<DateTime<Utc>>,
}

/// The output of `api-key`.
#[derive(Serialize)]
struct NewKeyOutput {
    key: String,
    entry: String,
    file: Option<PathBuf>,
}

/// Creates a key, appends its entry to `file`, and prints both.
///
/// # Errors
/// [`CommandError`] if the name is invalid or taken, the expiry is in the past, or the file cannot be written.
pub fn api_key(new: NewKey, file: Option<&Path>, output: Output) -> Result<(), CommandError> {
    let NewKey { name, mut scopes, expires } = new;
    if !is_key_name(&name) {
        return Err(CommandError::KeyName(name));
    }
    if let Some(expires) = expires.filter(|expires| *expires <= Utc::now()) {
        return Err(CommandError::Expired(expires));
    }
    scopes.sort();
    scopes.dedup();
    let key = generate(&name).ok_or(CommandError::NoRandomness)?;
    let entry = RawEntry { name: name.clone(), sha256: sha256_hex(key.as_bytes()), scopes, expires };
    let entry = toml::to_string(&RawKeys { keys: vec![entry] }).map_err(CommandError::Toml)?;
    if let Some(path) = file {
        if path.exists() && Keys::read(path)?.find(&name).is_some() {
            return Err(CommandError::KeyExists { path: path.to_owned(), name });
        }
        // A single write, so that an engine that reads the file concurrently sees the whole entry or nothing.
        let options = OpenOptions::new().create(true).append(true).mode(OWNER_ONLY_MODE).open(path);
        let written = options.and_then(|mut file| file.write_all(format!("{entry}\n").as_bytes()));
        written.map_err(|source| CommandError::Write { path: path.to_owned(), source })?;
    }
    let made = NewKeyOutput { key, entry, file: file.map(Path::to_owned) };
    print(output, &made, &made)
}

impl fmt::Display for NewKeyOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, entry, file } = self;
        writeln!(f, "{key}\n")?;
        writeln!(f, "This key is shown only once. Pass it to its holder over a secure channel.")?;
        match file {
            Some(path) => writeln!(f, "Its digest and scopes are in {}.", path.display()),
            None => writeln!(f, "Add this to the file that auth.keys_file names:\n\n{entry}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_has_expired_already_is_refused() {
        let past = "2020-01-01T00:00:00Z".parse().unwrap();
        let key = NewKey { name: "batch-job".to_owned(), scopes: vec![Scope::Predict], expires: Some(past) };
        let file = std::env::temp_dir().join(format!("onnward-expired-key-{}.toml", std::process::id()));
        let message = api_key(key, Some(&file), Output::Text).unwrap_err().to_string();
        assert!(message.starts_with("--expires 2020-01-01 00:00:00 UTC is in the past"), "{message}");
        assert!(!file.exists());
    }
}
