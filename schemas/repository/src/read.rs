use onnward_schemas::layout::{manifest_path, model_path};
use onnward_schemas::{Manifest, sha256_hex};
use serde::Serialize;

use crate::error::RepositoryError;
use crate::pointer::{Pointer, State};
use crate::store::{Repository, check_name};

const MAX_MANIFEST_BYTES: u64 = 64 * 1024;
const MAX_MODEL_BYTES: u64 = 1024 * 1024 * 1024;

/// An artifact's file with the manifest that it agrees with.
#[derive(Debug)]
pub struct FetchedModel {
    /// The manifest.
    pub manifest: Manifest,
    /// The file's bytes; their digest and size are the manifest's.
    pub bytes: Vec<u8>,
}

/// The version that is to be served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The version.
    pub version: u64,
    /// Why this one.
    pub decided_by: DecidedBy,
}

/// What decides which version is served: a pin, else the alias that is asked for, else the highest version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "rule", rename_all = "kebab-case")]
pub enum DecidedBy {
    /// The model is pinned to it.
    Pin,
    /// The alias names it.
    Alias {
        /// The alias.
        alias: String,
    },
    /// It is the highest, and neither a pin nor the alias is set.
    HighestVersion,
}

impl Repository {
    /// The version of a model that is to be served by those who follow `alias`. A pin or an alias may name a version that
    /// is not there: [`Repository::fetch`] says so, and no other one takes its place.
    ///
    /// # Errors
    /// [`RepositoryError::NoVersion`]; those of reading.
    pub async fn target(&self, model: &str, alias: &str) -> Result<Target, RepositoryError> {
        check_name(model)?;
        let inventory = self.inventory(model).await?;
        if let Some(version) = self.pin(model, &inventory).await?.version() {
            return Ok(Target { version, decided_by: DecidedBy::Pin });
        }
        let state = match inventory.aliases.get(alias) {
            Some(entry) => self.state_at(model, &Pointer::Alias(alias.to_owned()), *entry).await?,
            None => State::default(),
        };
        if let Some(version) = state.version() {
            return Ok(Target { version, decided_by: DecidedBy::Alias { alias: alias.to_owned() } });
        }
        let highest = inventory.published().next_back().ok_or(RepositoryError::NoVersion)?;
        Ok(Target { version: highest, decided_by: DecidedBy::HighestVersion })
    }

    /// Reads a version and holds it against its manifest.
    ///
    /// # Errors
    /// [`RepositoryError::UnknownVersion`] without a manifest, [`RepositoryError::Mismatch`] if the file is another than
    /// the manifest describes, [`RepositoryError::TooLarge`], [`RepositoryError::Malformed`]; those of reading.
    pub async fn fetch(&self, model: &str, version: u64) -> Result<FetchedModel, RepositoryError> {
        let manifest = self.manifest(model, version).await?;
        let path = model_path(model, version);
        let bytes = match self.read(&path, MAX_MODEL_BYTES).await {
            Err(RepositoryError::Read { path, source: object_store::Error::NotFound { .. } }) => {
                return Err(RepositoryError::Mismatch { path, what: "it is not there".to_owned() });
            }
            other => other?,
        };
        let size = bytes.len() as u64;
        if size != manifest.size_bytes {
            let what = format!("{size} bytes instead of {}", manifest.size_bytes);
            return Err(RepositoryError::Mismatch { path, what });
        }
        let digest = sha256_hex(&bytes);
        if digest != manifest.sha256 {
            let what = format!("sha256 {digest} instead of {}", manifest.sha256);
            return Err(RepositoryError::Mismatch { path, what });
        }
        Ok(FetchedModel { manifest, bytes })
    }

    /// A version's manifest.
    pub(crate) async fn manifest(&self, model: &str, version: u64) -> Result<Manifest, RepositoryError> {
        check_name(model)?;
        let path = manifest_path(model, version);
        let text = match self.read(&path, MAX_MANIFEST_BYTES).await {
            Err(RepositoryError::Read { source: object_store::Error::NotFound { .. }, .. }) => {
                return Err(RepositoryError::UnknownVersion { model: model.to_owned(), version });
            }
            other => other?,
        };
        serde_json::from_slice(&text).map_err(|source| RepositoryError::Malformed { path, source })
    }
}
