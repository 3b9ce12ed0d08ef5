//! Reading a model repository, the only place that knows where artifacts are stored.

use std::io;
use std::path::Path as FilePath;
use std::sync::Arc;

use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use onnward_schemas::layout::{is_model_name, manifest_path, model_path, parse_version};
use onnward_schemas::{Manifest, sha256_hex};
use thiserror::Error;

const MAX_MANIFEST_BYTES: u64 = 64 * 1024;
const MAX_MODEL_BYTES: u64 = 1024 * 1024 * 1024;

/// A model repository that is open for reading.
#[derive(Debug, Clone)]
pub struct Repository {
    store: Arc<dyn ObjectStore>,
}

/// An artifact's file with the manifest that it agrees with.
#[derive(Debug)]
pub struct FetchedModel {
    /// The manifest.
    pub manifest: Manifest,
    /// The file's bytes; their digest and size are the manifest's.
    pub bytes: Vec<u8>,
}

/// Why something cannot be read from a model repository.
#[derive(Debug, Error)]
pub enum RepositoryError {
    /// The repository is not there.
    #[error(
        "there is no model repository at {path}: name a folder with --repository, or train into it first"
    )]
    NotFound {
        /// The folder.
        path: String,
    },
    /// The repository is no folder, or one that may not be read.
    #[error("{path} cannot be read as a model repository: {source}")]
    Unreadable {
        /// The path.
        path: String,
        /// What the system says.
        source: io::Error,
    },
    /// The store failed.
    #[error("cannot read {path} from the model repository: {source}")]
    Store {
        /// What was read.
        path: String,
        /// What the store says.
        source: object_store::Error,
    },
    /// A model has no version with a manifest.
    #[error(
        "it has no version with a manifest.json: the manifest is written last, so publishing has not ended"
    )]
    NoVersion,
    /// A file is larger than the engine takes.
    #[error("{path} has {size} bytes, more than the {limit} that are accepted")]
    TooLarge {
        /// The file.
        path: String,
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// A manifest does not read.
    #[error("{path} is not a manifest: {source}")]
    Manifest {
        /// The file.
        path: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// An artifact is not the one that its manifest describes.
    #[error("{path} is not the file that its manifest describes ({what}): publish it again as a new version")]
    Mismatch {
        /// The file.
        path: String,
        /// How the two differ.
        what: String,
    },
}

impl Repository {
    /// Opens the repository in a local folder.
    ///
    /// # Errors
    /// [`RepositoryError::NotFound`], [`RepositoryError::Unreadable`].
    pub fn open(folder: &FilePath) -> Result<Self, RepositoryError> {
        if let Err(source) = std::fs::read_dir(folder)
            && source.kind() != io::ErrorKind::NotFound
        {
            return Err(RepositoryError::Unreadable { path: folder.display().to_string(), source });
        }
        let store = LocalFileSystem::new_with_prefix(folder)
            .map_err(|_| RepositoryError::NotFound { path: folder.display().to_string() })?;
        Ok(Self { store: Arc::new(store) })
    }

    /// The names of the models, in order; folders whose name is no model's are ignored.
    ///
    /// # Errors
    /// [`RepositoryError::Store`].
    pub async fn models(&self) -> Result<Vec<String>, RepositoryError> {
        let mut names = self.folders(None).await?;
        names.retain(|name| is_model_name(name));
        names.sort();
        Ok(names)
    }

    /// The highest version of a model that has a manifest.
    ///
    /// # Errors
    /// [`RepositoryError::NoVersion`], [`RepositoryError::Store`].
    pub async fn newest_version(&self, model: &str) -> Result<u64, RepositoryError> {
        let folders = self.folders(Some(&Path::from(model))).await?;
        let mut versions: Vec<u64> = folders.iter().filter_map(|name| parse_version(name)).collect();
        versions.sort_unstable();
        for version in versions.into_iter().rev() {
            let path = manifest_path(model, version);
            match self.store.head(&Path::from(path.as_str())).await {
                Ok(_) => return Ok(version),
                Err(object_store::Error::NotFound { .. }) => {}
                Err(source) => return Err(RepositoryError::Store { path, source }),
            }
        }
        Err(RepositoryError::NoVersion)
    }

    /// Reads a version and holds it against its manifest.
    ///
    /// # Errors
    /// [`RepositoryError`].
    pub async fn fetch(&self, model: &str, version: u64) -> Result<FetchedModel, RepositoryError> {
        let path = manifest_path(model, version);
        let manifest = self.read(&path, MAX_MANIFEST_BYTES).await?;
        let manifest: Manifest =
            serde_json::from_slice(&manifest).map_err(|source| RepositoryError::Manifest { path, source })?;

        let path = model_path(model, version);
        let bytes = self.read(&path, MAX_MODEL_BYTES).await?;
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

    async fn read(&self, path: &str, limit: u64) -> Result<Vec<u8>, RepositoryError> {
        let store_error = |source| RepositoryError::Store { path: path.to_owned(), source };
        let found = self.store.get(&Path::from(path)).await.map_err(store_error)?;
        let size = found.meta.size;
        if size > limit {
            return Err(RepositoryError::TooLarge { path: path.to_owned(), size, limit });
        }
        Ok(found.bytes().await.map_err(store_error)?.to_vec())
    }

    async fn folders(&self, parent: Option<&Path>) -> Result<Vec<String>, RepositoryError> {
        let listing = self.store.list_with_delimiter(parent).await.map_err(|source| {
            RepositoryError::Store { path: parent.map_or_else(|| "/".to_owned(), Path::to_string), source }
        })?;
        let name = |path: &Path| path.filename().map(str::to_owned);
        Ok(listing.common_prefixes.iter().filter_map(name).collect())
    }
}
