//! The versions that an engine served last, saved for a start while the store is down.

use std::collections::{BTreeMap, BTreeSet};

use onnward_schemas::sha256_hex;
use serde::{Deserialize, Serialize};

use crate::cache::{Cache, read_whole};
use crate::fetch::{FetchedModel, parse_manifest};
use crate::watch::{DecidedBy, Target};

/// The format that is written, and the only one that is read. A file in another format costs a slower start.
const FORMAT: u32 = 1;
const MAX_STATE_BYTES: u64 = 64 * 1024 * 1024;

/// What an engine serves, and what it is opening.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastKnownGood {
    /// The models, by name.
    pub models: BTreeMap<String, CacheRecord>,
    /// The versions that are being opened, by model. After a start these are the versions that the process was
    /// opening when it ended.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub opening: BTreeMap<String, OpeningRecord>,
}

/// A version that is being opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpeningRecord {
    /// The version.
    pub version: u64,
    /// How often it has been opened without an end, this time included.
    pub attempts: u32,
}

/// A version that an engine serves, without the artifact, which the cache holds under its digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheRecord {
    /// The version.
    pub version: u64,
    /// The reason why this version was served.
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
    /// For people only: the file's name is a digest of the repository and the alias.
    repository: String,
    alias: String,
    #[serde(flatten)]
    served: LastKnownGood,
}

impl CacheRecord {
    /// Creates the record of a version that was fetched to be served.
    pub fn new(target: Target, fetched: &FetchedModel) -> Self {
        Self {
            version: target.version,
            decided_by: target.decided_by,
            manifest_text: fetched.manifest_text.clone(),
            signatures: fetched.signatures.clone(),
            config: fetched.config.clone(),
        }
    }

    /// Returns the digest of the artifact.
    fn digest(&self) -> Option<String> {
        let manifest = parse_manifest("manifest.json", &self.manifest_text).ok();
        manifest.map(|manifest| manifest.sha256)
    }
}

impl Cache {
    /// Saves what an engine serves that follows `alias` in the repository at `place`.
    pub(crate) fn save(&self, place: &str, alias: &str, served: &LastKnownGood) {
        let (repository, alias) = (place.to_owned(), alias.to_owned());
        let path = self.state_path(&key(&repository, &alias));
        let file = StateFile { format: FORMAT, repository, alias, served: served.clone() };
        let written = serde_json::to_vec_pretty(&file).map_err(Into::into);
        if let Err(error) = written.and_then(|text| self.write_whole(&path, &text)) {
            tracing::warn!(path = %path.display(), %error, "the served versions cannot be saved for a start without the store");
        }
    }

    /// Loads what [`Cache::save`] saved last.
    pub(crate) fn load(&self, place: &str, alias: &str) -> Option<LastKnownGood> {
        let path = self.state_path(&key(place, alias));
        let problem = match read_whole(&path, MAX_STATE_BYTES) {
            Ok(text) => match serde_json::from_slice::<StateFile>(&text) {
                Ok(file) if file.format == FORMAT => return Some(file.served),
                Ok(file) => format!("it is in format {}, not {FORMAT}", file.format),
                Err(error) => error.to_string(),
            },
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
            Err(error) => error.to_string(),
        };
        tracing::warn!(path = %path.display(), problem, "the versions that were served last cannot be loaded");
        None
    }

    /// Returns the digests of all artifacts that an engine served last.
    pub(crate) fn last_known_good_digests(&self) -> BTreeSet<String> {
        let texts = self.states().into_iter().filter_map(|path| read_whole(&path, MAX_STATE_BYTES).ok());
        let files = texts.filter_map(|text| serde_json::from_slice::<StateFile>(&text).ok());
        files.flat_map(|file| file.served.models.into_values()).filter_map(|model| model.digest()).collect()
    }
}

/// Returns the name of the file for a repository and an alias.
fn key(place: &str, alias: &str) -> String {
    sha256_hex(format!("{place}\n{alias}").as_bytes())
}
