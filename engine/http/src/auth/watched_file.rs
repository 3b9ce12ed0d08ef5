//! A file that is looked at again and again.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use sha2::{Digest, Sha256};

/// What is larger is no file of keys.
const MAX_BYTES: u64 = 1 << 20;

/// A file, and what it was like when it was looked at last.
#[derive(Debug)]
pub struct WatchedFile {
    path: PathBuf,
    seen: Mutex<Option<Seen>>,
}

#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Content([u8; 32]),
    Failure(String),
}

impl WatchedFile {
    /// Nothing is read yet.
    pub fn new(path: PathBuf) -> Self {
        Self { path, seen: Mutex::new(None) }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it holds, or why it cannot be read; `None` if that is as it was the last time, so that nothing is said of it twice.
    pub fn news(&self) -> Option<io::Result<Vec<u8>>> {
        let content = self.read();
        let now = match &content {
            Ok(bytes) => Seen::Content(Sha256::digest(bytes).into()),
            Err(error) => Seen::Failure(error.to_string()),
        };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        (seen.as_ref() != Some(&now)).then(|| {
            *seen = Some(now);
            content
        })
    }

    /// What it holds now, however often it is asked.
    pub fn content(&self) -> io::Result<Vec<u8>> {
        self.news().unwrap_or_else(|| self.read())
    }

    fn read(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let limit = MAX_BYTES + 1;
        std::fs::File::open(&self.path)?.take(limit).read_to_end(&mut bytes)?;
        if bytes.len() as u64 == limit {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("it has more than {MAX_BYTES} bytes"),
            ));
        }
        Ok(bytes)
    }
}
