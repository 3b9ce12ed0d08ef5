use std::fmt;
use std::io;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use onnward_schemas::layout::is_model_name;
use tokio::sync::OnceCell;
use url::Url;

use crate::config::RepositoryConfig;
use crate::error::{RepositoryError, cause_of, is_full, is_timeout};
use crate::folder::make_writable;
pub(crate) use crate::store::local::Unreadable;
use crate::store::local::{LocalFolder, free_reserve, remove_with_folder, reserve_space, staged_files};
use crate::store::passed_over::PassedOver;
pub(crate) use crate::store::remote::client::LEAST_SPEED;
pub(crate) use crate::store::remote::client::NoAnswer;
use crate::store::remote::client::SlowUpload;
pub(crate) use crate::store::remote::listing::NoListing;
pub use crate::store::remote::prepare_tls;
use crate::store::remote::{Remote, remote};

mod local;
mod passed_over;
mod remote;

/// The file with which it is tried whether a store creates files conditionally. No model has this name.
const CREATION_PROBE: &str = "_conditional-writes.json";
/// How often a file is tried to be created that others are writing, and the pause after the first time.
const CREATION_ATTEMPTS: u32 = 4;
const CREATION_PAUSE: Duration = Duration::from_millis(200);

/// An open model repository.
#[derive(Clone)]
pub struct Repository {
    pub(crate) store: Arc<dyn ObjectStore>,
    /// The folder, if the repository is a local one.
    pub(crate) root: Option<PathBuf>,
    place: String,
    /// The longest silence of the store that is accepted.
    timeout: Duration,
    /// What listings leave out.
    pub(crate) passed_over: Arc<PassedOver>,
    /// Whether it was checked that the store creates a file only where there is none. `None` for a store that does.
    creation: Option<Arc<OnceCell<()>>>,
    /// Whether a write takes the reserved space of a full disk.
    takes_reserve: bool,
}

/// Shows the store without its settings, which hold keys.
impl fmt::Debug for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Repository({})", self.store)
    }
}

impl Repository {
    /// Opens a repository for reading. A local folder must exist. Settings of an object store that `config`
    /// does not hold come from the environment. No request is sent yet.
    ///
    /// # Errors
    /// [`RepositoryError::NotFound`] for a local folder that is not there, [`RepositoryError::Location`].
    pub fn open(config: &RepositoryConfig) -> Result<Self, RepositoryError> {
        Self::open_at(config)
    }

    /// Opens a repository to plan what [`Repository::create`] would write to. A local folder that does not
    /// exist, but could be created, counts as an empty repository and is not created.
    ///
    /// # Errors
    /// [`RepositoryError::Location`].
    pub fn open_or_empty(config: &RepositoryConfig) -> Result<Self, RepositoryError> {
        match (Self::open(config), place(&config.location)?) {
            (Err(RepositoryError::NotFound { .. }), Place::Folder(_)) => {
                Ok(Self::from_store(Arc::new(InMemory::new())))
            }
            (opened, _) => opened,
        }
    }

    /// Opens a repository for writing. A local folder is created if it does not exist. One that cannot be
    /// written is refused now, not after hours of training.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use onnward_repository::{Repository, RepositoryConfig};
    ///
    /// let folder = tempfile::tempdir()?;
    /// let location = folder.path().join("models").display().to_string();
    /// let repository = Repository::create(&RepositoryConfig { location, ..RepositoryConfig::default() })?;
    /// assert!(repository.models().await?.is_empty());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`RepositoryError::Location`].
    pub fn create(config: &RepositoryConfig) -> Result<Self, RepositoryError> {
        if let Place::Folder(folder) = place(&config.location)? {
            make_writable(&folder).map_err(|error| cannot_be_written(config, &error))?;
        }
        Self::open_at(config)
    }

    fn open_at(config: &RepositoryConfig) -> Result<Self, RepositoryError> {
        match place(&config.location)? {
            Place::Folder(folder) => local(&folder),
            Place::Store(url) => {
                let passed_over = Arc::<PassedOver>::default();
                let Remote { store, endpoint } = remote(&url, config, &passed_over)?;
                let endpoint = endpoint.map(|endpoint| format!(" at {endpoint}")).unwrap_or_default();
                let place = format!("{}{endpoint}", config.location);
                Ok(Self {
                    store,
                    root: None,
                    place,
                    timeout: config.timeout,
                    passed_over,
                    creation: Some(Arc::default()),
                    takes_reserve: false,
                })
            }
        }
    }

    /// Uses a place whose every file has a name that nobody else chooses, so that no two writers meet.
    pub(crate) fn with_own_names(self) -> Self {
        Self { creation: None, ..self }
    }

    /// Uses the space that a local repository has reserved, if its disk is full. It is for commands that free space, or
    /// move a pointer back: they need a few small files themselves.
    pub fn with_reserve(self) -> Self {
        Self { takes_reserve: true, ..self }
    }

    /// Uses a store that is open already.
    pub fn from_store(store: Arc<dyn ObjectStore>) -> Self {
        Self {
            place: store.to_string(),
            store,
            root: None,
            timeout: Duration::MAX,
            passed_over: Arc::default(),
            creation: None,
            takes_reserve: false,
        }
    }

    /// Returns the location for display: the folder, or the URL and the endpoint.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Returns whether the repository is in an object store, and not in a local folder.
    pub fn is_object_store(&self) -> bool {
        self.root.is_none()
    }

    /// Returns the store, for operations that this crate does not have.
    pub fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// Returns the names that listings have left out, because they cannot be those of a model's files.
    pub fn passed_over(&self) -> Vec<String> {
        self.passed_over.reported()
    }

    /// Returns the error for a store that failed while it was read.
    pub(crate) fn reading(&self, path: &str, source: object_store::Error) -> RepositoryError {
        if is_timeout(&source) {
            return self.silent(format!("read {path}"));
        }
        RepositoryError::Read { path: path.to_owned(), source }
    }

    /// Returns the error for a store that failed while it was written.
    pub(crate) fn writing(&self, path: &str, source: object_store::Error) -> RepositoryError {
        if let Some(SlowUpload { bytes, after }) = cause_of(&source) {
            let (path, store) = (path.to_owned(), self.place.clone());
            return RepositoryError::SlowUpload { path, store, bytes: *bytes, after: *after };
        }
        if is_timeout(&source) {
            return self.silent(format!("write {path}"));
        }
        RepositoryError::Write { path: path.to_owned(), source }
    }

    /// Returns the window in which a download must bring what [`LEAST_SPEED`] brings.
    pub(crate) fn speed_window(&self) -> Duration {
        self.timeout.saturating_mul(6)
    }

    /// Returns the error for a download that is too slow.
    pub(crate) fn slow(&self, path: &str, bytes: u64, window: Duration) -> RepositoryError {
        RepositoryError::SlowDownload { path: path.to_owned(), store: self.place.clone(), bytes, window }
    }

    fn silent(&self, what: String) -> RepositoryError {
        RepositoryError::Timeout { what, store: self.place.clone(), timeout: self.timeout }
    }

    /// Creates a file; returns `false` if there is one already.
    pub(crate) async fn create_file(&self, path: &str, bytes: Bytes) -> Result<bool, RepositoryError> {
        if let Some(checked) = &self.creation {
            checked.get_or_try_init(|| self.check_creation()).await?;
        }
        let mut attempt = 1;
        loop {
            let Err(source) = self.put_new(path, bytes.clone()).await else { return Ok(true) };
            if !matches!(source, object_store::Error::AlreadyExists { .. }) {
                return Err(self.writing(path, source));
            }
            if self.creation.is_none() || self.has_file(path).await? {
                return Ok(false);
            }
            // Somebody else is writing it (S3: 409), or was and failed.
            if attempt == CREATION_ATTEMPTS {
                return Err(self.writing(path, source));
            }
            tokio::time::sleep(CREATION_PAUSE * attempt).await;
            attempt += 1;
        }
    }

    async fn put_new(&self, path: &str, bytes: Bytes) -> Result<(), object_store::Error> {
        let put = async || {
            let options = PutOptions::from(PutMode::Create);
            self.store.put_opts(&Path::from(path), PutPayload::from(bytes.clone()), options).await.map(drop)
        };
        match put().await {
            Err(error) if self.takes_reserve && is_full(&error) && self.free_reserve().await => put().await,
            done => done,
        }
    }

    async fn free_reserve(&self) -> bool {
        let Some(root) = self.root.clone() else { return false };
        tokio::task::spawn_blocking(move || free_reserve(&root)).await.unwrap_or(false)
    }

    /// Checks that the store creates a file only where there is none. Some ignore that header, and let the last of
    /// several writers win. The file that this is tried with stays, so it is created once.
    async fn check_creation(&self) -> Result<(), RepositoryError> {
        for _ in 0..2 {
            match self.put_new(CREATION_PROBE, Bytes::from_static(b"{}\n")).await {
                Ok(()) => {}
                Err(object_store::Error::AlreadyExists { .. }) => return Ok(()),
                Err(source) => return Err(self.writing(CREATION_PROBE, source)),
            }
        }
        Err(RepositoryError::Unconditional { store: self.place.clone() })
    }

    /// Creates a file whose content nobody else writes. If the same content is there already, an earlier
    /// attempt had succeeded and only its response was lost.
    pub(crate) async fn create_own_file(&self, path: &str, bytes: Bytes) -> Result<bool, RepositoryError> {
        if self.create_file(path, bytes.clone()).await? {
            return Ok(true);
        }
        let found = self.read(path, bytes.len() as u64).await;
        Ok(found.is_ok_and(|found| found == bytes))
    }

    /// Removes a file. A file that does not exist is no error.
    pub(crate) async fn remove_file(&self, path: &Path) -> Result<(), RepositoryError> {
        match self.store.delete(path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(source) => Err(self.writing(path.as_ref(), source)),
        }
    }

    /// Returns whether a file exists.
    pub(crate) async fn has_file(&self, path: &str) -> Result<bool, RepositoryError> {
        match self.store.head(&Path::from(path)).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(source) => Err(self.reading(path, source)),
        }
    }

    /// Refuses a local folder that was removed after it was opened.
    pub(crate) async fn check_root(&self) -> Result<(), RepositoryError> {
        let Some(root) = self.root.clone() else { return Ok(()) };
        let path = root.display().to_string();
        match tokio::task::spawn_blocking(move || root.is_dir()).await {
            Ok(true) => Ok(()),
            _ => Err(RepositoryError::NotFound { path }),
        }
    }

    /// Refuses a path of a local folder that is no regular file. Opening a pipe waits for a writer, and a
    /// device never ends.
    pub(crate) async fn check_regular(&self, path: &str) -> Result<(), RepositoryError> {
        let Some(root) = &self.root else { return Ok(()) };
        let file = root.join(path);
        // What does not exist is reported by whoever reads it.
        let is_special =
            move || std::fs::metadata(file).is_ok_and(|found| !found.is_file() && !found.is_dir());
        match tokio::task::spawn_blocking(is_special).await {
            Ok(true) => Err(RepositoryError::NotAFile { path: path.to_owned() }),
            _ => Ok(()),
        }
    }

    /// Returns whether an error in reading a file that was just listed means that the whole store is down. An
    /// unreadable file of a local disk, or a file that a store refuses to return, does not affect the others.
    pub fn is_down(&self, error: &RepositoryError) -> bool {
        let is_general = match error {
            RepositoryError::Timeout { .. } => true,
            RepositoryError::Read { source, .. } => matches!(source, object_store::Error::Generic { .. }),
            _ => false,
        };
        self.root.is_none() && is_general
    }

    /// Finds the files of a local folder that were never completed, in a model's folder or everywhere.
    pub(crate) async fn staged_files(&self, model: Option<&str>) -> Vec<ObjectMeta> {
        let Some(root) = self.root.clone() else { return Vec::new() };
        let (prefix, passed_over) = (model.map(Path::from), Arc::clone(&self.passed_over));
        let work = move || staged_files(&root, prefix.as_ref(), &passed_over);
        tokio::task::spawn_blocking(work).await.unwrap_or_default()
    }

    /// Removes the last file of a folder, and in a local folder also the folder, or a file that was never completed.
    pub(crate) async fn remove_with_folder(&self, path: &Path) -> Result<(), RepositoryError> {
        let Some(root) = self.root.clone() else { return self.remove_file(path).await };
        let removed = path.clone();
        let work = move || {
            remove_with_folder(&root, &removed).map_err(|source| object_store::Error::Generic {
                store: "LocalFolder",
                source: source.into(),
            })
        };
        let done = tokio::task::spawn_blocking(work).await;
        done.map_err(Into::into).flatten().map_err(|source| self.writing(path.as_ref(), source))
    }

    /// Reserves space in a local folder, so that commands that free space, or move a pointer back, work on a full disk.
    pub(crate) async fn reserve_space(&self) {
        if let Some(root) = self.root.clone() {
            let _ = tokio::task::spawn_blocking(move || reserve_space(&root)).await;
        }
    }

    /// Lists the files of a folder, and of those in it.
    pub(crate) async fn list_files(&self, folder: &Path) -> Result<Vec<ObjectMeta>, RepositoryError> {
        let files = self.store.list(Some(folder)).try_collect().await;
        files.map_err(|source| self.reading(folder.as_ref(), source))
    }

    /// Reads a file of at most `limit` bytes.
    pub(crate) async fn read(&self, path: &str, limit: u64) -> Result<Vec<u8>, RepositoryError> {
        let fail = |source| self.reading(path, source);
        self.check_regular(path).await?;
        let found = self.store.get(&Path::from(path)).await.map_err(fail)?;
        let size = found.meta.size;
        if size > limit {
            return Err(RepositoryError::TooLarge { path: path.to_owned(), size, limit });
        }
        Ok(found.bytes().await.map_err(fail)?.to_vec())
    }
}

/// Returns the path of what cannot be read, where a listing goes on without it.
pub(crate) fn unreadable_path(error: &object_store::Error) -> Option<Path> {
    let object_store::Error::Generic { source, .. } = error else { return None };
    source.downcast_ref::<Unreadable>().map(|unreadable| unreadable.path.clone())
}

/// Refuses a name that cannot be a model's or an alias's.
///
/// # Errors
/// [`RepositoryError::Name`].
pub fn check_name(name: &str) -> Result<(), RepositoryError> {
    if is_model_name(name) { Ok(()) } else { Err(RepositoryError::Name(name.to_owned())) }
}

enum Place {
    Folder(PathBuf),
    Store(Url),
}

fn place(location: &str) -> Result<Place, RepositoryError> {
    let wrong = |location: &str, problem: &str| {
        Err(RepositoryError::Location { location: location.to_owned(), problem: problem.to_owned() })
    };
    // A drive's letter is no scheme.
    let Some((scheme, rest)) = location.split_once("://") else { return Ok(Place::Folder(location.into())) };
    let Ok(url) = Url::parse(location) else {
        // It may hold a password.
        return wrong(&format!("{scheme}://…"), "it is not a URL");
    };
    if !url.username().is_empty() || url.password().is_some() {
        let problem = "a URL must not hold credentials: set them in the configuration or in AWS_ACCESS_KEY_ID \
                       and AWS_SECRET_ACCESS_KEY";
        return wrong(&format!("{scheme}://…"), problem);
    }
    if url.query().is_some() || url.fragment().is_some() {
        return wrong(&format!("{scheme}://…"), "a URL of a repository ends with its path");
    }
    match scheme {
        "file" => match url.to_file_path() {
            Ok(folder) => Ok(Place::Folder(folder)),
            Err(()) if rest.starts_with('/') => wrong(location, "it does not name a local folder"),
            Err(()) => {
                wrong(location, "write an absolute path, as in file:///srv/models, or just the folder")
            }
        },
        _ if url.host_str().is_none_or(str::is_empty) => {
            wrong(location, "it names no bucket: write it as in s3://bucket/prefix")
        }
        _ => Ok(Place::Store(url)),
    }
}

fn cannot_be_written(config: &RepositoryConfig, error: &io::Error) -> RepositoryError {
    let problem = format!("the folder cannot be written: {error}");
    RepositoryError::Location { location: config.location.clone(), problem }
}

fn local(folder: &FilePath) -> Result<Repository, RepositoryError> {
    let missing = || RepositoryError::NotFound { path: folder.display().to_string() };
    if let Err(error) = std::fs::read_dir(folder) {
        if error.kind() == std::io::ErrorKind::NotFound {
            return Err(missing());
        }
        let (location, problem) = (folder.display().to_string(), error.to_string());
        return Err(RepositoryError::Location { location, problem });
    }
    // Links stay: they may be pointed elsewhere while the repository is open.
    let root = std::path::absolute(folder).map_err(|_| missing())?;
    let passed_over = Arc::<PassedOver>::default();
    let store = Arc::new(LocalFolder::new(root.clone(), Arc::clone(&passed_over)));
    let place = root.display().to_string();
    Ok(Repository { root: Some(root), place, passed_over, ..Repository::from_store(store) })
}
