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

/// Who may read and write a file of keys that is made here.
const OWNER_ALONE: u32 = 0o600;

/// A key that is to be made.
#[derive(Debug)]
pub struct NewKey {
    /// Whose it is.
    pub name: String,
    /// What its holder may do.
    pub scopes: Vec<Scope>,
    /// When it ends.
    pub expires: Option<DateTime<Utc>>,
}

/// What `api-key` prints.
#[derive(Serialize)]
struct Made {
    key: String,
    entry: String,
    file: Option<PathBuf>,
}

/// Makes a key, adds its entry to `file`, and prints both.
///
/// # Errors
/// [`CommandError`] when the name cannot be a key's or is taken, or the file cannot be written.
pub fn api_key(new: NewKey, file: Option<&Path>, output: Output) -> Result<(), CommandError> {
    let NewKey { name, mut scopes, expires } = new;
    if !is_key_name(&name) {
        return Err(CommandError::KeyName(name));
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
        // In one piece, so that an engine that reads the file at the same time sees all of the entry or nothing.
        let options = OpenOptions::new().create(true).append(true).mode(OWNER_ALONE).open(path);
        let written = options.and_then(|mut file| file.write_all(format!("{entry}\n").as_bytes()));
        written.map_err(|source| CommandError::Write { path: path.to_owned(), source })?;
    }
    let made = Made { key, entry, file: file.map(Path::to_owned) };
    print(output, &made, &made)
}

impl fmt::Display for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, entry, file } = self;
        writeln!(f, "{key}\n")?;
        writeln!(f, "This is shown once; hand it to its holder over a safe way.")?;
        match file {
            Some(path) => writeln!(f, "Its digest and scopes are in {}.", path.display()),
            None => writeln!(f, "Add this to the file that auth.keys_file names:\n\n{entry}"),
        }
    }
}
