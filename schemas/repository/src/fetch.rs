use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt;
use futures_util::stream::BoxStream;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use onnward_schemas::layout::{CONFIG_FILE, SIGNATURES_FOLDER, manifest_path, model_path};
use onnward_schemas::{Manifest, sha256_hex};
use tokio::time::Instant;

use crate::cache::{Cache, CacheUsage};
use crate::error::RepositoryError;
use crate::last_known_good::{CacheRecord, LastKnownGood};
use crate::store::{LEAST_SPEED, Repository, check_name};

pub(crate) const MAX_MANIFEST_BYTES: u64 = 1024 * 1024;
const MAX_CONFIG_BYTES: u64 = 64 * 1024;
pub(crate) const MAX_SIGNATURE_BYTES: u64 = 64 * 1024;
const MAX_SIGNATURES: usize = 32;

/// All files of a version; the artifact agrees with the manifest.
#[derive(Clone, PartialEq)]
pub struct FetchedModel {
    /// The manifest.
    pub manifest: Manifest,
    /// The manifest's text, which signatures cover.
    pub manifest_text: String,
    /// The texts of the signatures, in the order of their files' names. They have not been verified.
    pub signatures: Vec<String>,
    /// The text of `config.toml`, where there is one.
    pub config: Option<String>,
    /// The artifact; its digest and size are the manifest's.
    pub bytes: Vec<u8>,
    /// Whether the artifact was read from the cache and not from the store.
    pub from_cache: bool,
}

/// Shows everything but the bytes of the files.
impl fmt::Debug for FetchedModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { manifest, signatures, config, from_cache, .. } = self;
        let mut shown = f.debug_struct("FetchedModel");
        shown.field("manifest", manifest).field("signatures", &signatures.len());
        shown.field("config", config).field("from_cache", from_cache).finish_non_exhaustive()
    }
}

/// A reader of versions, with a cache where there is one, and with one bound for every artifact. A clone
/// shares the cache.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use onnward_repository::{Cache, Fetcher, Repository, RepositoryConfig};
///
/// let folder = tempfile::tempdir()?;
/// let location = folder.path().join("models").display().to_string();
/// let repository = Repository::create(&RepositoryConfig { location, ..RepositoryConfig::default() })?;
/// repository.publish("churn", b"an ONNX file".to_vec(), None).await?;
///
/// let cache = Cache::open(&folder.path().join("cache"), 1 << 30)?;
/// let fetcher = Fetcher::new(repository, Some(cache), 512 << 20);
/// let first = fetcher.fetch("churn", 1).await?;
/// let second = fetcher.fetch("churn", 1).await?;
/// assert_eq!(second.bytes, b"an ONNX file");
/// assert!(!first.from_cache && second.from_cache);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Fetcher {
    repository: Repository,
    cache: Option<Cache>,
    max_model_bytes: u64,
    admission: Admission,
}

/// Decides by its size whether an artifact is read.
#[derive(Clone)]
struct Admission(Arc<dyn Fn(u64) -> Result<(), String> + Send + Sync>);

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Admission")
    }
}

/// The small files of a version.
pub(crate) struct Texts {
    pub manifest: Manifest,
    pub manifest_text: String,
    pub signatures: Vec<String>,
    pub config: Option<String>,
}

impl Fetcher {
    /// Creates a fetcher for `repository` that keeps artifacts in `cache` and refuses any of more than
    /// `max_model_bytes`.
    pub fn new(repository: Repository, cache: Option<Cache>, max_model_bytes: u64) -> Self {
        Self { repository, cache, max_model_bytes, admission: Admission(Arc::new(|_| Ok(()))) }
    }

    /// Asks `admit` before an artifact is read: with its size in bytes, and for the reason to refuse it. It is
    /// retried later, since memory may be free then.
    #[must_use]
    pub fn with_admission(self, admit: impl Fn(u64) -> Result<(), String> + Send + Sync + 'static) -> Self {
        Self { admission: Admission(Arc::new(admit)), ..self }
    }

    /// Reads a version and checks the artifact against its manifest. An artifact that is in the cache is not
    /// downloaded. If the cache fails, the artifact is downloaded and a warning is logged.
    ///
    /// # Errors
    /// [`RepositoryError::UnknownVersion`] without a manifest, [`RepositoryError::Mismatch`] if the manifest
    /// describes another artifact, [`RepositoryError::ModelTooLarge`], [`RepositoryError::TooLarge`],
    /// [`RepositoryError::Malformed`], [`RepositoryError::NotText`]; those of reading.
    pub async fn fetch(&self, model: &str, version: u64) -> Result<FetchedModel, RepositoryError> {
        let texts = self.texts(model, version).await?;
        if let Some(bytes) = self.cached(&texts.manifest).await? {
            return Ok(texts.with(bytes, true));
        }
        self.download(model, version, texts, self.cache.clone()).await
    }

    /// Reads a version from the store alone, to find out whether its files still are what they were. The
    /// cache is neither read nor changed.
    ///
    /// # Errors
    /// Those of [`Fetcher::fetch`].
    pub async fn fetch_from_store(&self, model: &str, version: u64) -> Result<FetchedModel, RepositoryError> {
        let texts = self.texts(model, version).await?;
        self.download(model, version, texts, None).await
    }

    /// Reads the small files of a version whose artifact is not too large.
    async fn texts(&self, model: &str, version: u64) -> Result<Texts, RepositoryError> {
        let texts = self.repository.texts(model, version).await?;
        self.check_size(model, version, &texts.manifest)?;
        Ok(texts)
    }

    /// Reads the artifact that the manifest describes, and keeps it in `cache`.
    async fn download(
        &self,
        model: &str,
        version: u64,
        texts: Texts,
        cache: Option<Cache>,
    ) -> Result<FetchedModel, RepositoryError> {
        let bytes = self.repository.artifact(model, version, &texts.manifest).await?;
        let manifest = texts.manifest.clone();
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

    /// Reads a version from the cache alone, as `record` describes it. The store is not accessed.
    ///
    /// # Errors
    /// [`RepositoryError::NotCached`] if the cache no longer has the artifact;
    /// [`RepositoryError::Malformed`].
    pub async fn fetch_cached(
        &self,
        model: &str,
        record: &CacheRecord,
    ) -> Result<FetchedModel, RepositoryError> {
        let CacheRecord { version, manifest_text, signatures, config, .. } = record.clone();
        let manifest = parse_manifest(&manifest_path(model, version), &manifest_text)?;
        self.check_size(model, version, &manifest)?;
        let bytes = self.cached(&manifest).await?;
        let bytes = bytes.ok_or_else(|| RepositoryError::NotCached { model: model.to_owned(), version })?;
        Ok(Texts { manifest, manifest_text, signatures, config }.with(bytes, true))
    }

    /// Saves into the cache which versions an engine that follows `alias` serves, for a start while the store
    /// is down. A failure is logged as a warning; without a cache nothing happens.
    pub async fn save_last_known_good(&self, alias: &str, served: &LastKnownGood) {
        let Some(cache) = self.cache.clone() else { return };
        let (place, alias, served) = (self.repository.place().to_owned(), alias.to_owned(), served.clone());
        if let Err(error) = blocking(move || cache.save(&place, &alias, &served)).await {
            tracing::warn!(%error, "the served versions cannot be saved for a start without the store");
        }
    }

    /// Returns whether served versions can be read without the store.
    pub fn keeps_artifacts(&self) -> bool {
        self.cache.as_ref().is_some_and(Cache::keeps_artifacts)
    }

    /// Returns how full the cache is; `None` without one, or with one that keeps no artifacts.
    pub async fn cache_usage(&self) -> Option<CacheUsage> {
        let cache = self.cache.clone().filter(Cache::keeps_artifacts)?;
        blocking(move || cache.usage()).await.ok()
    }

    /// Loads what [`Fetcher::save_last_known_good`] saved last for this repository and alias, in this engine
    /// or in another that shares the cache. A failure is logged as a warning.
    pub async fn load_last_known_good(&self, alias: &str) -> Option<LastKnownGood> {
        let (cache, alias) = (self.cache.clone()?, alias.to_owned());
        let place = self.repository.place().to_owned();
        blocking(move || cache.load(&place, &alias)).await.ok().flatten()
    }

    /// Refuses an artifact that is too large by its manifest, before any of it is read.
    fn check_size(&self, model: &str, version: u64, manifest: &Manifest) -> Result<(), RepositoryError> {
        let (size, limit) = (manifest.size_bytes, self.max_model_bytes);
        if size > limit {
            return Err(RepositoryError::ModelTooLarge { path: model_path(model, version), size, limit });
        }
        (self.admission.0)(size)
            .map_err(|reason| RepositoryError::NoMemory { path: model_path(model, version), reason })
    }

    /// Returns the artifact from the cache, where it is there.
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
    /// Reads a version's manifest.
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
                return Err(self.missing_version(model, version).await);
            }
            other => other?,
        };
        Ok((parse_manifest(&path, &text)?, text))
    }

    /// Reads the small files of a version.
    pub(crate) async fn texts(&self, model: &str, version: u64) -> Result<Texts, RepositoryError> {
        let (manifest, manifest_text) = self.manifest_and_text(model, version).await?;
        let folder = Path::from(format!("{model}/{version}"));
        let files = self.list_files(&folder).await?;
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

    /// Reads a version's artifact, of the size that its manifest says.
    async fn artifact(
        &self,
        model: &str,
        version: u64,
        manifest: &Manifest,
    ) -> Result<Vec<u8>, RepositoryError> {
        let path = model_path(model, version);
        let size = manifest.size_bytes;
        self.check_regular(&path).await?;
        let found = match self.store.get(&Path::from(path.as_str())).await {
            Err(object_store::Error::NotFound { .. }) => {
                return Err(RepositoryError::Mismatch { path, what: "it does not exist".to_owned() });
            }
            other => other.map_err(|source| self.reading(&path, source))?,
        };
        if found.meta.size != size {
            let what = format!("{} bytes instead of {size}", found.meta.size);
            return Err(RepositoryError::Mismatch { path, what });
        }
        if !self.is_object_store() {
            // A local file is read in one piece, up to the size that its metadata said.
            return Ok(found.bytes().await.map_err(|source| self.reading(&path, source))?.into());
        }
        self.collect(&path, found.into_stream(), size).await
    }

    /// Collects a file of `size` bytes, and stops reading if the store sends more.
    async fn collect(
        &self,
        path: &str,
        mut pieces: BoxStream<'_, object_store::Result<Bytes>>,
        size: u64,
    ) -> Result<Vec<u8>, RepositoryError> {
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
        let window = self.speed_window();
        let least = window.as_secs().saturating_mul(LEAST_SPEED);
        let (mut since, mut before) = (Instant::now(), 0);
        while let Some(piece) = pieces.try_next().await.map_err(|source| self.reading(path, source))? {
            if since.elapsed() >= window {
                let received = bytes.len() as u64 - before;
                if received < least {
                    return Err(self.slow(path, received, since.elapsed()));
                }
                (since, before) = (Instant::now(), bytes.len() as u64);
            }
            if (bytes.len() + piece.len()) as u64 > size {
                let what = format!("more than {size} bytes");
                return Err(RepositoryError::Mismatch { path: path.to_owned(), what });
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }

    /// Reads a text file of at most `limit` bytes.
    pub(crate) async fn read_text(&self, path: &str, limit: u64) -> Result<String, RepositoryError> {
        let bytes = self.read(path, limit).await?;
        String::from_utf8(bytes).map_err(|_| RepositoryError::NotText { path: path.to_owned() })
    }
}

/// Parses a manifest. One that was made by hand may begin with a byte order mark, and may have its digests in
/// upper case, as tools on Windows write them.
pub(crate) fn parse_manifest(path: &str, text: &str) -> Result<Manifest, RepositoryError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let manifest: Manifest = serde_json::from_str(text)
        .map_err(|source| RepositoryError::Malformed { path: path.to_owned(), source })?;
    let fingerprint = manifest.fingerprint.map(|digest| digest.to_ascii_lowercase());
    Ok(Manifest { sha256: manifest.sha256.to_ascii_lowercase(), fingerprint, ..manifest })
}

/// Compares an artifact with the digest in its manifest.
fn check_digest(path: &str, manifest: &Manifest, bytes: &[u8]) -> Result<(), RepositoryError> {
    let digest = sha256_hex(bytes);
    if digest == manifest.sha256 {
        return Ok(());
    }
    let what = format!("sha256 {digest} instead of {}", manifest.sha256);
    Err(RepositoryError::Mismatch { path: path.to_owned(), what })
}

/// Runs work that blocks, or computes for a while, on a thread for that.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, RepositoryError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|source| RepositoryError::Read { path: "a file".to_owned(), source: source.into() })
}
