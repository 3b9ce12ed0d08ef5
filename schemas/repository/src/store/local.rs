//! A repository in a local folder.
//!
//! object_store's own listing of a folder fails as a whole at the first name that is no path, link that leads in a
//! circle or folder that cannot be read. Here, names that cannot be a model's are passed over, and a folder that
//! cannot be read is an error of its own between the files.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryFutureExt, stream};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};
use thiserror::Error as ThisError;

use super::passed_over::PassedOver;
use crate::audit;

const STORE: &str = "LocalFolder";
/// The file whose space some commands take where the disk is full. No model has this name.
const RESERVE_FILE: &str = "_reserved-space";
/// The size of that file: enough for the records, intents and entries of several commands.
const RESERVE_BYTES: usize = 256 * 1024;
/// The number of parts of the longest path in a repository, `model/aliases/champion/1.json`. A link to the root of the
/// disk makes no more of it part of a repository.
const MAX_DEPTH: usize = 4;

/// A folder or a file of a repository that cannot be read.
#[derive(Debug, ThisError)]
#[error("{reason}")]
pub struct Unreadable {
    /// Its path from the repository's root.
    pub path: Path,
    reason: io::ErrorKind,
}

/// A local folder as an object store.
#[derive(Debug)]
pub struct LocalFolder {
    /// The folder. If it is a link, each operation follows it anew.
    root: PathBuf,
    passed_over: Arc<PassedOver>,
}

impl LocalFolder {
    /// Uses a folder. It need not exist.
    pub fn new(root: PathBuf, passed_over: Arc<PassedOver>) -> Self {
        Self { root, passed_over }
    }

    /// Returns the store of the folder that the root names now.
    fn store(&self) -> Result<LocalFileSystem> {
        // Flushed before its manifest is written, a file is whole after a crash if its manifest is there.
        Ok(LocalFileSystem::new_with_prefix(&self.root)?.with_fsync(true))
    }

    fn walk(&self, prefix: Option<&Path>) -> Walk {
        Walk::new(&self.root, prefix, Wanted::Whole, &self.passed_over)
    }
}

impl fmt::Display for LocalFolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{STORE}({})", self.root.display())
    }
}

/// What is in a folder.
enum Child {
    Folder(Path),
    File(ObjectMeta),
}

/// The files that a search finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// Those that are written.
    Whole,
    /// Those that are being written, or whose writers were killed.
    Staged,
}

/// A search for files in a folder.
struct Walk {
    root: PathBuf,
    start: PathBuf,
    wanted: Wanted,
    passed_over: Arc<PassedOver>,
}

impl Walk {
    fn new(root: &FilePath, prefix: Option<&Path>, wanted: Wanted, passed_over: &Arc<PassedOver>) -> Self {
        let root = root.canonicalize().unwrap_or_else(|_| root.to_owned());
        let start = prefix.map_or_else(|| root.clone(), |prefix| root.join(prefix.as_ref()));
        Self { root, start, wanted, passed_over: Arc::clone(passed_over) }
    }

    /// Lists the files below the start.
    fn files(&self) -> Vec<Result<ObjectMeta>> {
        let mut found = Vec::new();
        self.visit(&self.start, 1, &mut |child| match child {
            Ok(Child::Folder(_)) => {}
            Ok(Child::File(file)) => found.push(Ok(file)),
            Err(error) => found.push(Err(error)),
        });
        found
    }

    /// Lists the files and folders at the start.
    fn children(&self) -> Result<ListResult> {
        let mut folders = BTreeSet::new();
        let mut objects = Vec::new();
        let mut failed = None;
        self.visit(&self.start, MAX_DEPTH, &mut |child| match child {
            Ok(Child::Folder(folder)) => {
                folders.insert(folder);
            }
            Ok(Child::File(file)) => objects.push(file),
            Err(error) => failed = Some(error),
        });
        match failed {
            Some(error) => Err(error),
            None => Ok(ListResult {
                common_prefixes: folders.into_iter().collect(),
                objects,
                extensions: Default::default(),
            }),
        }
    }

    /// Visits what is in a folder, and what is below, as far as a repository reaches.
    fn visit(&self, folder: &FilePath, depth: usize, found: &mut impl FnMut(Result<Child>)) {
        let entries = match std::fs::read_dir(folder) {
            Ok(entries) => entries,
            // It was removed meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => return found(Err(self.unreadable(folder, &error))),
        };
        for entry in entries {
            let place = match entry {
                Ok(entry) => entry.path(),
                Err(error) => {
                    found(Err(self.unreadable(folder, &error)));
                    continue;
                }
            };
            let Some(path) = self.path(&place) else { continue };
            match self.child(&place, path, folder) {
                Ok(Some(child)) => {
                    let is_folder = matches!(child, Child::Folder(_));
                    found(Ok(child));
                    if is_folder && depth < MAX_DEPTH && !self.is_append_only(&place) {
                        self.visit(&place, depth + 1, found);
                    }
                }
                Ok(None) => {}
                Err(error) => found(Err(error)),
            }
        }
    }

    /// Returns whether a folder is left out of a search through everything: the audit log grows with every command,
    /// and engines look every few seconds.
    fn is_append_only(&self, folder: &FilePath) -> bool {
        self.wanted == Wanted::Whole && self.start == self.root && folder == self.root.join(audit::FOLDER)
    }

    /// Returns the folder or the file at a place. What is neither, or a link that leads in a circle, is passed over.
    fn child(&self, place: &FilePath, path: Path, folder: &FilePath) -> Result<Option<Child>> {
        let metadata = match std::fs::metadata(place) {
            Ok(metadata) => metadata,
            // It was removed meanwhile, or a link leads nowhere.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            // The standard library has no stable name for a link that leads to itself.
            Err(error) if error.kind() != io::ErrorKind::PermissionDenied && place.is_symlink() => {
                self.passed_over.report(&self.shown(place), "the link cannot be followed");
                return Ok(None);
            }
            Err(error) => return Err(self.unreadable(place, &error)),
        };
        if metadata.is_dir() {
            if place.is_symlink() && leads_above(place, folder) {
                self.passed_over.report(&self.shown(place), "the link leads to a folder that it is in");
                return Ok(None);
            }
            return Ok(Some(Child::Folder(path)));
        }
        let is_wanted = metadata.is_file() && is_staged(&path) == (self.wanted == Wanted::Staged);
        Ok(is_wanted.then(|| {
            Child::File(ObjectMeta {
                location: path,
                last_modified: metadata.modified().map(DateTime::<Utc>::from).unwrap_or_default(),
                size: metadata.len(),
                e_tag: Some(tag(&metadata)),
                version: None,
            })
        }))
    }

    fn unreadable(&self, place: &FilePath, error: &io::Error) -> Error {
        let path = self.path(place).unwrap_or_default();
        Error::Generic { store: STORE, source: Box::new(Unreadable { path, reason: error.kind() }) }
    }

    /// Returns a path from the repository's root. A name that cannot be one is passed over.
    fn path(&self, place: &FilePath) -> Option<Path> {
        let name = self.shown(place);
        let text = place.strip_prefix(&self.root).ok().and_then(FilePath::to_str);
        match text.map(Path::parse) {
            Some(Ok(path)) => Some(path),
            Some(Err(_)) => {
                self.passed_over.report(&name, "its name has characters that no file of a model has");
                None
            }
            None => {
                self.passed_over.report(&name, "its name is not valid UTF-8");
                None
            }
        }
    }

    fn shown(&self, place: &FilePath) -> String {
        place.strip_prefix(&self.root).unwrap_or(place).to_string_lossy().into_owned()
    }
}

/// Returns whether a link leads to the folder that it is in, or to one above.
fn leads_above(link: &FilePath, folder: &FilePath) -> bool {
    let (target, folder) = (link.canonicalize(), folder.canonicalize());
    target.is_ok_and(|target| folder.is_ok_and(|folder| folder.starts_with(target)))
}

/// Returns whether a file is one that object_store has not finished writing: `name#1`.
fn is_staged(path: &Path) -> bool {
    let suffix = path.filename().and_then(|name| name.split_once('#')).map(|(_, suffix)| suffix);
    suffix.is_some_and(|suffix| !suffix.is_empty() && suffix.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Finds the files in a folder of a repository, or in all, that are being written or whose writers were killed.
pub fn staged_files(
    root: &FilePath,
    prefix: Option<&Path>,
    passed_over: &Arc<PassedOver>,
) -> Vec<ObjectMeta> {
    let walk = Walk::new(root, prefix, Wanted::Staged, passed_over);
    // What cannot be read is reported by whoever needs it.
    walk.files().into_iter().flatten().collect()
}

/// Removes a file of a repository that no store has finished writing, or that is the last one of its folder. The
/// folder goes too if it is empty then.
///
/// # Errors
/// Those of the system; a file that is not there is none.
pub fn remove_with_folder(root: &FilePath, path: &Path) -> io::Result<()> {
    let place = root.join(path.as_ref());
    match fs::remove_file(&place) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    if let Some(folder) = place.parent().filter(|folder| *folder != root) {
        // It is not empty, which is the usual case.
        let _ = fs::remove_dir(folder);
    }
    Ok(())
}

/// Gives up the space that was reserved. Returns whether there was some.
pub fn free_reserve(root: &FilePath) -> bool {
    fs::remove_file(root.join(RESERVE_FILE)).is_ok()
}

/// Reserves space on the disk of a repository, as far as there is some.
pub fn reserve_space(root: &FilePath) {
    let place = root.join(RESERVE_FILE);
    let mut words = RESERVE_BYTES / 8;
    while words > 0 {
        let Ok(mut file) = OpenOptions::new().write(true).create_new(true).open(&place) else { return };
        // Some file systems store repeated bytes without space.
        let bytes: Vec<u8> = (0..words).flat_map(|_| rand::random::<u64>().to_ne_bytes()).collect();
        if file.write_all(&bytes).and_then(|()| file.sync_all()).is_ok() {
            return;
        }
        let _ = fs::remove_file(&place);
        words /= 2;
    }
}

/// Returns a tag that changes with the file.
fn tag(metadata: &std::fs::Metadata) -> String {
    let changed = metadata.modified().ok().and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
    format!("\"{:x}-{:x}-{:x}\"", inode(metadata), changed.unwrap_or_default().as_micros(), metadata.len())
}

#[cfg(unix)]
fn inode(metadata: &std::fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn inode(_: &std::fs::Metadata) -> u64 {
    0
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await?
}

/// Returns whether a write failed because the file system has no hard links.
fn has_no_links(error: &Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(inner) = cause {
        if let Some(error) = inner.downcast_ref::<io::Error>() {
            return matches!(
                error.kind(),
                io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied | io::ErrorKind::TooManyLinks
            );
        }
        cause = inner.source();
    }
    false
}

/// Creates a file where there are no hard links. The empty file claims the name; the whole one replaces it. Until
/// then, an empty file counts as none.
fn create_without_links(place: &FilePath, payload: &PutPayload) -> io::Result<PutResult> {
    OpenOptions::new().write(true).create_new(true).open(place)?;
    let replaced = replace(place, payload);
    if replaced.is_err() {
        let _ = std::fs::remove_file(place);
    }
    let e_tag = Some(tag(&replaced?));
    Ok(PutResult { e_tag, version: None, extensions: Default::default() })
}

/// Replaces a file as a whole.
fn replace(place: &FilePath, payload: &PutPayload) -> io::Result<std::fs::Metadata> {
    let folder = place.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let name = place.file_name().unwrap_or_default().to_string_lossy();
    // The name is that of a file which is being written.
    let prefix = format!("{name}-");
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix).suffix("#1");
    // As any other file; the process' mask takes what it takes.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut staged = builder.tempfile_in(folder)?;
    payload.iter().try_for_each(|bytes| staged.write_all(bytes))?;
    staged.as_file().sync_all()?;
    let metadata = staged.as_file().metadata()?;
    staged.persist(place).map_err(|error| error.error)?;
    if cfg!(unix) {
        File::open(folder)?.sync_all()?;
    }
    Ok(metadata)
}

#[async_trait]
impl ObjectStore for LocalFolder {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let store = self.store()?;
        let creates = matches!(options.mode, PutMode::Create);
        match store.put_opts(location, payload.clone(), options).await {
            Err(error) if creates && has_no_links(&error) => {
                let (place, path) = (store.path_to_filesystem(location)?, location.to_string());
                blocking(move || {
                    create_without_links(&place, &payload).map_err(|source| match source.kind() {
                        io::ErrorKind::AlreadyExists => Error::AlreadyExists { path, source: source.into() },
                        // It was not the link that is not permitted.
                        io::ErrorKind::PermissionDenied => error,
                        _ => Error::Generic { store: STORE, source: source.into() },
                    })
                })
                .await
            }
            other => other,
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.store()?.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.store()?.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        match self.store() {
            Ok(store) => store.delete_stream(locations),
            Err(error) => stream::once(async { Err(error) }).boxed(),
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let walk = self.walk(prefix);
        let files = blocking(move || Ok(walk.files()));
        files.map_ok(stream::iter).try_flatten_stream().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let walk = self.walk(prefix);
        blocking(move || walk.children()).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.store()?.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.store()?.rename_opts(from, to, options).await
    }
}
