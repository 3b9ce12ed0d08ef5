use std::fmt;

use bytes::Bytes;
use futures_util::TryStreamExt;
use futures_util::stream::BoxStream;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt};
use onnward_schemas::layout::{CONFIG_FILE, SIGNATURES_FOLDER, manifest_path, model_path};
use onnward_schemas::{Manifest, sha256_hex};

use crate::cache::Cache;
use crate::error::RepositoryError;
use crate::remembered::{Remembered, RememberedModel};
use crate::store::{Repository, check_name};

const MAX_MANIFEST_BYTES: u64 = 64 * 1024;
const MAX_CONFIG_BYTES: u64 = 64 * 1024;
pub(crate) const MAX_SIGNATURE_BYTES: u64 = 64 * 1024;
const MAX_SIGNATURES: usize = 32;
/// The largest artifact that is read, unless less or more is allowed.
const MAX_MODEL_BYTES: u64 = 1024 * 1024 * 1024;

/// Everything that there is of a version; the artifact agrees with the manifest.
#[derive(Clone, PartialEq, Eq)]
pub struct FetchedModel {
    /// The manifest.
    pub manifest: Manifest,
    /// The manifest as it is written, which is what signatures are made over.
    pub manifest_text: String,
    /// The texts of the signatures, by the names of their files. They have not been verified.
    pub signatures: Vec<String>,
    /// The text of `config.toml`, where there is one.
    pub config: Option<String>,
    /// The artifact; its digest and size are the manifest's.
    pub bytes: Vec<u8>,
    /// Whether the artifact was in the cache and has not been asked of the store.
    pub from_cache: bool,
}

/// Without what may be a gigabyte.
impl fmt::Debug for FetchedModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { manifest, signatures, config, from_cache, .. } = self;
        let mut shown = f.debug_struct("FetchedModel");
        shown.field("manifest", manifest).field("signatures", &signatures.len());
        shown.field("config", config).field("from_cache", from_cache).finish_non_exhaustive()
    }
}

/// Reads versions, through a cache where there is one. A clone reads through the same.
#[derive(Debug, Clone)]
pub struct Fetcher {
    repository: Repository,
    cache: Option<Cache>,
    max_model_bytes: u64,
}

/// The small files of a version.
pub(crate) struct Texts {
    pub manifest: Manifest,
    pub manifest_text: String,
    pub signatures: Vec<String>,
    pub config: Option<String>,
}

impl Fetcher {
    /// Reads from `repository`; what has been read is kept in `cache` and not asked of the store again.
    pub fn new(repository: Repository, cache: Option<Cache>) -> Self {
        Self { repository, cache, max_model_bytes: MAX_MODEL_BYTES }
    }

    /// Reads no artifact of more bytes than these.
    pub fn with_max_model_bytes(self, max_model_bytes: u64) -> Self {
        Self { max_model_bytes, ..self }
    }

    /// Reads a version and holds the artifact against its manifest. An artifact that the cache has is not asked of the
    /// store; a cache that fails costs the time of a download, and a warning in the log.
    ///
    /// # Errors
    /// [`RepositoryError::UnknownVersion`] without a manifest, [`RepositoryError::Mismatch`] if the artifact is another
    /// than the manifest describes, [`RepositoryError::ModelTooLarge`], [`RepositoryError::TooLarge`],
    /// [`RepositoryError::Malformed`], [`RepositoryError::NotText`]; those of reading.
    pub async fn fetch(&self, model: &str, version: u64) -> Result<FetchedModel, RepositoryError> {
        let texts = self.repository.texts(model, version).await?;
        self.check_size(model, version, &texts.manifest)?;
        if let Some(bytes) = self.cached(&texts.manifest).await? {
            return Ok(texts.with(bytes, true));
        }
        let bytes = self.repository.artifact(model, version, &texts.manifest).await?;
        let (cache, manifest) = (self.cache.clone(), texts.manifest.clone());
        let path = model_path(model, version);
        let bytes = blocking(move || {
            check_digest(&path, &manifest, &bytes)?;
            if let Some(cache) = cache {
                cache.keep(&manifest.sha256, &bytes);
            }
            Ok(bytes)
        })
        .await??;
        Ok(texts.with(bytes, false))
    }

    /// A version as it was remembered, with its artifact from the cache alone: the store is not asked.
    ///
    /// # Errors
    /// [`RepositoryError::NotCached`] if the cache no longer has the artifact; [`RepositoryError::Malformed`].
    pub async fn fetch_remembered(
        &self,
        model: &str,
        remembered: &RememberedModel,
    ) -> Result<FetchedModel, RepositoryError> {
        let RememberedModel { version, manifest_text, signatures, config, .. } = remembered.clone();
        let manifest = parse_manifest(&manifest_path(model, version), &manifest_text)?;
        self.check_size(model, version, &manifest)?;
        let bytes = self.cached(&manifest).await?;
        let bytes = bytes.ok_or_else(|| RepositoryError::NotCached { model: model.to_owned(), version })?;
        Ok(Texts { manifest, manifest_text, signatures, config }.with(bytes, true))
    }

    /// Writes into the cache what is being served to those who follow `alias`, for a start while the store is down. What
    /// cannot be written is a warning in the log; without a cache nothing happens.
    pub async fn remember(&self, alias: &str, remembered: &Remembered) {
        let Some(cache) = self.cache.clone() else { return };
        let (place, alias, remembered) =
            (self.repository.place().to_owned(), alias.to_owned(), remembered.clone());
        if let Err(error) = blocking(move || cache.remember(&place, &alias, &remembered)).await {
            tracing::warn!(%error, "what is served could not be remembered");
        }
    }

    /// What [`Fetcher::remember`] wrote last for this repository and alias, by this engine or another that shares the
    /// cache. What cannot be read is a warning in the log.
    pub async fn recall(&self, alias: &str) -> Option<Remembered> {
        let (cache, alias) = (self.cache.clone()?, alias.to_owned());
        let place = self.repository.place().to_owned();
        blocking(move || cache.recall(&place, &alias)).await.ok().flatten()
    }

    /// Refuses an artifact that its manifest calls too large: nothing of it is asked for.
    fn check_size(&self, model: &str, version: u64, manifest: &Manifest) -> Result<(), RepositoryError> {
        let (size, limit) = (manifest.size_bytes, self.max_model_bytes);
        if size <= limit {
            return Ok(());
        }
        Err(RepositoryError::ModelTooLarge { path: model_path(model, version), size, limit })
    }

    async fn cached(&self, manifest: &Manifest) -> Result<Option<Vec<u8>>, RepositoryError> {
        let Some(cache) = self.cache.clone() else { return Ok(None) };
        let (digest, size) = (manifest.sha256.clone(), manifest.size_bytes);
        let limit = self.max_model_bytes;
        let bytes = blocking(move || cache.read(&digest, limit)).await?;
        // A manifest with the digest of one file and the size of another describes neither.
        Ok(bytes.filter(|bytes| bytes.len() as u64 == size))
    }
}

impl Texts {
    fn with(self, bytes: Vec<u8>, from_cache: bool) -> FetchedModel {
        let Self { manifest, manifest_text, signatures, config } = self;
        FetchedModel { manifest, manifest_text, signatures, config, bytes, from_cache }
    }
}

impl Repository {
    /// As [`Fetcher::fetch`] without a cache.
    ///
    /// # Errors
    /// Those of [`Fetcher::fetch`].
    pub async fn fetch(&self, model: &str, version: u64) -> Result<FetchedModel, RepositoryError> {
        Fetcher::new(self.clone(), None).fetch(model, version).await
    }

    /// A version's manifest.
    pub(crate) async fn manifest(&self, model: &str, version: u64) -> Result<Manifest, RepositoryError> {
        Ok(self.manifest_and_text(model, version).await?.0)
    }

    async fn manifest_and_text(
        &self,
        model: &str,
        version: u64,
    ) -> Result<(Manifest, String), RepositoryError> {
        check_name(model)?;
        let path = manifest_path(model, version);
        let text = match self.read_text(&path, MAX_MANIFEST_BYTES).await {
            Err(RepositoryError::Read { source: object_store::Error::NotFound { .. }, .. }) => {
                return Err(RepositoryError::UnknownVersion { model: model.to_owned(), version });
            }
            other => other?,
        };
        Ok((parse_manifest(&path, &text)?, text))
    }

    /// The small files of a version.
    pub(crate) async fn texts(&self, model: &str, version: u64) -> Result<Texts, RepositoryError> {
        let (manifest, manifest_text) = self.manifest_and_text(model, version).await?;
        let folder = Path::from(format!("{model}/{version}"));
        let fail = |source| self.reading(folder.as_ref(), source);
        let files: Vec<ObjectMeta> = self.store.list(Some(&folder)).try_collect().await.map_err(fail)?;
        let mut files: Vec<Path> = files.into_iter().map(|file| file.location).collect();
        files.sort();

        let signature_folder = folder.clone().join(SIGNATURES_FOLDER);
        let is_signature =
            |path: &&Path| path.prefix_matches(&signature_folder) && path.extension() == Some("json");
        let mut signatures = Vec::new();
        for path in files.iter().filter(is_signature).take(MAX_SIGNATURES) {
            signatures.push(self.read_text(path.as_ref(), MAX_SIGNATURE_BYTES).await?);
        }
        let config_path = folder.join(CONFIG_FILE);
        let config = match files.contains(&config_path) {
            true => Some(self.read_text(config_path.as_ref(), MAX_CONFIG_BYTES).await?),
            false => None,
        };
        Ok(Texts { manifest, manifest_text, signatures, config })
    }

    /// A version's artifact, of the size that its manifest says.
    async fn artifact(
        &self,
        model: &str,
        version: u64,
        manifest: &Manifest,
    ) -> Result<Vec<u8>, RepositoryError> {
        let path = model_path(model, version);
        let size = manifest.size_bytes;
        let found = match self.store.get(&Path::from(path.as_str())).await {
            Err(object_store::Error::NotFound { .. }) => {
                return Err(RepositoryError::Mismatch { path, what: "it is not there".to_owned() });
            }
            other => other.map_err(|source| self.reading(&path, source))?,
        };
        if found.meta.size != size {
            let what = format!("{} bytes instead of {size}", found.meta.size);
            return Err(RepositoryError::Mismatch { path, what });
        }
        if !self.is_object_store() {
            // A local file is read up to the size that was announced, and at once.
            return Ok(found.bytes().await.map_err(|source| self.reading(&path, source))?.into());
        }
        self.collect(&path, found.into_stream(), size).await
    }

    /// A file's bytes, of which there are as many as were announced: a store that sends more is not read further.
    async fn collect(
        &self,
        path: &str,
        mut pieces: BoxStream<'_, object_store::Result<Bytes>>,
        size: u64,
    ) -> Result<Vec<u8>, RepositoryError> {
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
        while let Some(piece) = pieces.try_next().await.map_err(|source| self.reading(path, source))? {
            if (bytes.len() + piece.len()) as u64 > size {
                let what = format!("more than {size} bytes");
                return Err(RepositoryError::Mismatch { path: path.to_owned(), what });
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }

    pub(crate) async fn read_text(&self, path: &str, limit: u64) -> Result<String, RepositoryError> {
        let bytes = self.read(path, limit).await?;
        String::from_utf8(bytes).map_err(|_| RepositoryError::NotText { path: path.to_owned() })
    }
}

fn parse_manifest(path: &str, text: &str) -> Result<Manifest, RepositoryError> {
    serde_json::from_str(text).map_err(|source| RepositoryError::Malformed { path: path.to_owned(), source })
}

fn check_digest(path: &str, manifest: &Manifest, bytes: &[u8]) -> Result<(), RepositoryError> {
    let digest = sha256_hex(bytes);
    if digest == manifest.sha256 {
        return Ok(());
    }
    let what = format!("sha256 {digest} instead of {}", manifest.sha256);
    Err(RepositoryError::Mismatch { path: path.to_owned(), what })
}

/// Runs what blocks or computes for a while where it holds nobody up.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, RepositoryError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|source| RepositoryError::Read { path: "a file".to_owned(), source: source.into() })
}
