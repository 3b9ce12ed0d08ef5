//! A cache of artifacts on a local disk, each under its digest.
//!
//! Several engines may share a folder, and each may be killed at any point. A file is written under another
//! name, held by a lock, and then renamed. So a file with its final name is complete, and one with another
//! name and no lock has lost its writer. Every file is also checked against its digest when it is read.

use std::fs::{self, DirBuilder, File, FileTimes, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use onnward_schemas::{is_digest, sha256_hex};
use tempfile::NamedTempFile;

use crate::error::RepositoryError;

/// Complete artifacts, named by their digests.
const OBJECTS: &str = "objects";
/// The versions that were served last.
const STATE: &str = "state";
/// Files that are being written.
const PARTIAL: &str = "partial";
/// The maximum number of names that are tried for a file.
const ATTEMPTS: usize = 4;

/// A folder of downloaded artifacts, with a bound on its size. A clone is the same cache.
#[derive(Debug, Clone)]
pub struct Cache {
    folder: PathBuf,
    max_bytes: u64,
}

/// How full a cache is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheUsage {
    /// The number of artifacts.
    pub artifacts: usize,
    /// Their size in bytes.
    pub bytes: u64,
    /// The maximum size in bytes.
    pub max_bytes: u64,
}

/// An artifact in the cache.
struct Object {
    path: PathBuf,
    digest: String,
    size: u64,
    used: SystemTime,
}

impl Cache {
    /// Opens a cache and creates its folder, for this user alone. Removes the unfinished files of writers
    /// that have ended, and artifacts beyond the bound.
    ///
    /// # Errors
    /// [`RepositoryError::Cache`] if the folder can neither be found nor made.
    pub fn open(folder: &Path, max_bytes: u64) -> Result<Self, RepositoryError> {
        let cache = Self { folder: folder.to_owned(), max_bytes };
        let made = cache.make_folders().and_then(|()| fs::read_dir(cache.folder.join(OBJECTS)));
        made.map_err(|source| RepositoryError::Cache { folder: folder.display().to_string(), source })?;
        cache.remove_leftovers();
        cache.make_room(0);
        Ok(cache)
    }

    /// Returns whether the cache keeps artifacts. One of no bytes only keeps which versions are served.
    pub fn keeps_artifacts(&self) -> bool {
        self.max_bytes > 0
    }

    /// Returns how full the cache is.
    pub fn usage(&self) -> CacheUsage {
        let objects = self.objects();
        let bytes = objects.iter().fold(0, |sum: u64, object| sum.saturating_add(object.size));
        CacheUsage { artifacts: objects.len(), bytes, max_bytes: self.max_bytes }
    }

    /// Reads the artifact with this digest, of at most `limit` bytes. A file with another digest is removed.
    pub(crate) fn read(&self, digest: &str, limit: u64) -> Option<Vec<u8>> {
        let path = self.object_path(digest)?;
        let problem = match read_whole(&path, limit) {
            Ok(bytes) if sha256_hex(&bytes) == digest => {
                touch(&path);
                return Some(bytes);
            }
            Ok(_) => "its bytes are not those that its name says".to_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => error.to_string(),
        };
        tracing::warn!(path = %path.display(), problem, "a file of the cache is damaged: it is fetched again");
        remove(&path);
        None
    }

    /// Stores an artifact whose digest has been checked. A failure is logged as a warning, because the caller
    /// has the artifact anyway.
    pub(crate) fn keep(&self, digest: &str, bytes: &[u8]) {
        let Some(path) = self.object_path(digest) else { return };
        let size = bytes.len() as u64;
        if !self.keeps_artifacts() {
            return;
        }
        if size > self.max_bytes {
            let max_bytes = self.max_bytes;
            tracing::warn!(digest, size, max_bytes, "an artifact is larger than the cache and is not kept");
            return;
        }
        self.make_room(size);
        if let Err(error) = self.write_whole(&path, bytes) {
            tracing::warn!(path = %path.display(), %error, "an artifact cannot be kept in the cache");
        }
        // Others may have written at the same time.
        self.make_room(0);
    }

    /// Returns the path of the state with this key.
    pub(crate) fn state_path(&self, key: &str) -> PathBuf {
        self.folder.join(STATE).join(format!("{key}.json"))
    }

    /// Returns the paths of all states.
    pub(crate) fn states(&self) -> Vec<PathBuf> {
        files(&self.folder.join(STATE))
    }

    /// Writes a file atomically: if this is interrupted, the file is complete or not there.
    pub(crate) fn write_whole(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.make_folders()?;
        let mut file = self.partial_file()?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    }

    /// Returns the path of an artifact; `None` if `digest` is not a digest, since it could point outside the
    /// folder.
    fn object_path(&self, digest: &str) -> Option<PathBuf> {
        is_digest(digest).then(|| self.folder.join(OBJECTS).join(digest))
    }

    fn make_folders(&self) -> io::Result<()> {
        let mut builder = DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        [OBJECTS, STATE, PARTIAL].iter().try_for_each(|part| builder.create(self.folder.join(part)))
    }

    /// Creates a locked file that only this user can read, and that is removed when it is dropped.
    fn partial_file(&self) -> io::Result<NamedTempFile> {
        for _ in 0..ATTEMPTS {
            let file = NamedTempFile::new_in(self.folder.join(PARTIAL))?;
            match file.as_file().try_lock() {
                Ok(()) if file.path().exists() => return Ok(file),
                // Before it was locked, it was taken for a leftover.
                Ok(()) | Err(TryLockError::WouldBlock) => {}
                // Where there are no locks, nothing is taken for a leftover.
                Err(TryLockError::Error(_)) => return Ok(file),
            }
        }
        Err(io::Error::other("its unfinished files are removed as soon as they are made"))
    }

    /// Removes the unfinished files of writers that have ended.
    fn remove_leftovers(&self) {
        for path in files(&self.folder.join(PARTIAL)) {
            let Ok(file) = File::open(&path) else { continue };
            if file.try_lock().is_ok() {
                remove(&path);
            }
        }
    }

    /// Removes artifacts until `incoming` more bytes fit: first those that no engine served last, and of
    /// these first the least recently used.
    fn make_room(&self, incoming: u64) {
        let mut objects = self.objects();
        let mut total = objects.iter().fold(incoming, |sum, object| sum.saturating_add(object.size));
        if total <= self.max_bytes {
            return;
        }
        let served = self.last_known_good_digests();
        let now = SystemTime::now();
        for object in objects.iter().filter(|object| object.used > now) {
            // A clock was wrong. From here on it ages like the others.
            touch(&object.path);
        }
        objects.sort_by_key(|object| (served.contains(&object.digest), object.used.min(now), object.used));
        for object in objects {
            if total <= self.max_bytes {
                return;
            }
            if remove(&object.path) {
                total -= object.size;
            }
        }
    }

    fn objects(&self) -> Vec<Object> {
        let object = |path: PathBuf| {
            let digest = path.file_name()?.to_str().filter(|name| is_digest(name))?.to_owned();
            let about = fs::metadata(&path).ok()?;
            Some(Object { digest, size: about.len(), used: about.modified().ok()?, path })
        };
        files(&self.folder.join(OBJECTS)).into_iter().filter_map(object).collect()
    }
}

/// Reads a file of at most `limit` bytes.
pub(crate) fn read_whole(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    if size > limit {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it has {size} bytes")));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Returns the files in a folder; none if it cannot be read.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_file()).collect()
}

/// Sets the time at which a file was used to now. A user who may only read the file need not be allowed to.
fn touch(path: &Path) {
    let times = FileTimes::new().set_modified(SystemTime::now());
    let _ = File::open(path).and_then(|file| file.set_times(times));
}

/// Removes a file and returns whether it is gone.
fn remove(path: &Path) -> bool {
    match fs::remove_file(path) {
        Ok(()) => true,
        Err(error) if error.kind() == io::ErrorKind::NotFound => true,
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "a file of the cache cannot be removed");
            false
        }
    }
}

#[cfg(test)]
mod tests;
