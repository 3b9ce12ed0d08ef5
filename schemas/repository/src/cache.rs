//! Artifacts on a local disk, each under its digest.
//!
//! Several engines may share a folder, and each may be killed at any point. A file is written whole under another name,
//! held by a lock, and then renamed: what has its final name is whole, and what has another name and no lock has lost its
//! writer. And every file is held against its digest whenever it is read, so that nothing rests on that.

use std::fs::{self, DirBuilder, File, FileTimes, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use onnward_schemas::sha256_hex;
use tempfile::NamedTempFile;

use crate::error::RepositoryError;

/// Whole artifacts, named by their digests.
const OBJECTS: &str = "objects";
/// What was served last.
const STATE: &str = "state";
/// What is being written.
const PARTIAL: &str = "partial";
/// How often a new name is tried for a file that is to be written.
const ATTEMPTS: usize = 4;

/// A folder of artifacts that have been downloaded, bounded in size. A clone is the same cache.
#[derive(Debug, Clone)]
pub struct Cache {
    folder: PathBuf,
    max_bytes: u64,
}

/// An artifact in the cache.
struct Object {
    path: PathBuf,
    digest: String,
    size: u64,
    used: SystemTime,
}

impl Cache {
    /// Opens a cache and makes its folder if it is not there, for this user alone. Removes what writers who are gone have
    /// left unfinished, and what is over the bound.
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

    /// The artifact of this digest, of at most `limit` bytes. One that is not what its name says is removed.
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

    /// Keeps an artifact whose digest has been checked. One that cannot be kept is a warning: whoever asked has it.
    pub(crate) fn keep(&self, digest: &str, bytes: &[u8]) {
        let Some(path) = self.object_path(digest) else { return };
        let size = bytes.len() as u64;
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

    /// Where the state of this key is written.
    pub(crate) fn state_path(&self, key: &str) -> PathBuf {
        self.folder.join(STATE).join(format!("{key}.json"))
    }

    /// Every state that is written.
    pub(crate) fn states(&self) -> Vec<PathBuf> {
        files(&self.folder.join(STATE))
    }

    /// Writes a file so that it is whole or not there, whenever this is cut short.
    pub(crate) fn write_whole(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.make_folders()?;
        let mut file = self.partial_file()?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    }

    /// Where an artifact lies; none for what is no digest, which could lead anywhere.
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

    /// A new file to write, locked and readable by this user alone, which goes when it is dropped.
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

    /// Removes the unfinished files of writers who are gone.
    fn remove_leftovers(&self) {
        for path in files(&self.folder.join(PARTIAL)) {
            let Ok(file) = File::open(&path) else { continue };
            if file.try_lock().is_ok() {
                remove(&path);
            }
        }
    }

    /// Removes artifacts until `incoming` bytes more are within the bound: first those that nobody remembers as served,
    /// and of these first the one that was not used for longest.
    fn make_room(&self, incoming: u64) {
        let mut objects = self.objects();
        let mut total = objects.iter().fold(incoming, |sum, object| sum.saturating_add(object.size));
        if total <= self.max_bytes {
            return;
        }
        let remembered = self.remembered_digests();
        let now = SystemTime::now();
        for object in objects.iter().filter(|object| object.used > now) {
            // A clock was wrong. From here on it ages like the others.
            touch(&object.path);
        }
        objects
            .sort_by_key(|object| (remembered.contains(&object.digest), object.used.min(now), object.used));
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

/// A file's bytes, if there are no more than `limit`.
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

/// The files in a folder; none if it cannot be read.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_file()).collect()
}

/// Notes that a file was used just now. Whoever may read it need not be allowed to.
fn touch(path: &Path) {
    let times = FileTimes::new().set_modified(SystemTime::now());
    let _ = File::open(path).and_then(|file| file.set_times(times));
}

/// Removes a file; whether it is gone.
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

fn is_digest(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

#[cfg(test)]
mod tests;
