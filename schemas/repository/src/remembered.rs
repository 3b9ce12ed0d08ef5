//! What was served last, for an engine that starts while the store is down.

use std::collections::{BTreeMap, BTreeSet};

use onnward_schemas::{Manifest, sha256_hex};
use serde::{Deserialize, Serialize};

use crate::cache::{Cache, read_whole};
use crate::fetch::FetchedModel;
use crate::watch::{DecidedBy, Target};

/// The format that is written, and the only one that is read: what is in another is only a slower start.
const FORMAT: u32 = 1;
const MAX_STATE_BYTES: u64 = 64 * 1024 * 1024;

/// The versions that an engine serves.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    /// The models, by name.
    pub models: BTreeMap<String, RememberedModel>,
}

/// A version that an engine serves: all of it but the artifact, which is in the cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RememberedModel {
    /// The version.
    pub version: u64,
    /// Why this one was served.
    pub decided_by: DecidedBy,
    /// The text of its manifest.
    pub manifest_text: String,
    /// The texts of its signatures.
    pub signatures: Vec<String>,
    /// The text of its `config.toml`, where there is one.
    pub config: Option<String>,
}

/// The file.
#[derive(Serialize, Deserialize)]
struct StateFile {
    format: u32,
    /// For people: the file's name is a digest of these two.
    repository: String,
    alias: String,
    #[serde(flatten)]
    remembered: Remembered,
}

impl RememberedModel {
    /// What is to be remembered of a version that was fetched to be served.
    pub fn new(target: Target, fetched: &FetchedModel) -> Self {
        Self {
            version: target.version,
            decided_by: target.decided_by,
            manifest_text: fetched.manifest_text.clone(),
            signatures: fetched.signatures.clone(),
            config: fetched.config.clone(),
        }
    }

    /// The digest of the artifact.
    fn digest(&self) -> Option<String> {
        let manifest: Option<Manifest> = serde_json::from_str(&self.manifest_text).ok();
        manifest.map(|manifest| manifest.sha256)
    }
}

impl Cache {
    /// Writes what is served from the repository at `place` to those who follow `alias`.
    pub(crate) fn remember(&self, place: &str, alias: &str, remembered: &Remembered) {
        let (repository, alias) = (place.to_owned(), alias.to_owned());
        let path = self.state_path(&key(&repository, &alias));
        let file = StateFile { format: FORMAT, repository, alias, remembered: remembered.clone() };
        let written = serde_json::to_vec_pretty(&file).map_err(Into::into);
        if let Err(error) = written.and_then(|text| self.write_whole(&path, &text)) {
            tracing::warn!(path = %path.display(), %error, "what is served cannot be remembered for a start without the store");
        }
    }

    /// What [`Cache::remember`] wrote last.
    pub(crate) fn recall(&self, place: &str, alias: &str) -> Option<Remembered> {
        let path = self.state_path(&key(place, alias));
        let problem = match read_whole(&path, MAX_STATE_BYTES) {
            Ok(text) => match serde_json::from_slice::<StateFile>(&text) {
                Ok(file) if file.format == FORMAT => return Some(file.remembered),
                Ok(file) => format!("it is in format {}, not {FORMAT}", file.format),
                Err(error) => error.to_string(),
            },
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
            Err(error) => error.to_string(),
        };
        tracing::warn!(path = %path.display(), problem, "what was served last is not remembered");
        None
    }

    /// The digests of all artifacts that somebody remembers.
    pub(crate) fn remembered_digests(&self) -> BTreeSet<String> {
        let texts = self.states().into_iter().filter_map(|path| read_whole(&path, MAX_STATE_BYTES).ok());
        let files = texts.filter_map(|text| serde_json::from_slice::<StateFile>(&text).ok());
        files
            .flat_map(|file| file.remembered.models.into_values())
            .filter_map(|model| model.digest())
            .collect()
    }
}

fn key(place: &str, alias: &str) -> String {
    sha256_hex(format!("{place}\n{alias}").as_bytes())
}
