//! A file that is polled for changes.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use sha2::{Digest, Sha256};

/// The maximum size of a file of keys or certificates.
const MAX_BYTES: u64 = 1 << 20;

/// A file with the result of its last read.
#[derive(Debug)]
pub struct WatchedFile {
    path: PathBuf,
    last: Mutex<Option<LastRead>>,
}

#[derive(Debug, PartialEq, Eq)]
enum LastRead {
    Content([u8; 32]),
    Failure(String),
}

/// The result of one read of a file.
#[derive(Debug)]
pub struct Polled {
    /// The content, or the reason why the file cannot be read.
    pub content: io::Result<Vec<u8>>,
    /// Whether the result differs from the last one, so that each is reported once.
    pub has_changed: bool,
}

impl WatchedFile {
    /// Creates a watched file without reading it.
    pub fn new(path: PathBuf) -> Self {
        Self { path, last: Mutex::new(None) }
    }

    /// Returns the path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the file and compares the result with the last one.
    pub fn poll(&self) -> Polled {
        let content = self.read();
        let now = match &content {
            Ok(bytes) => LastRead::Content(Sha256::digest(bytes).into()),
            Err(error) => LastRead::Failure(error.to_string()),
        };
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let has_changed = last.as_ref() != Some(&now);
        *last = Some(now);
        Polled { content, has_changed }
    }

    /// Reads the file. `None` if the result equals the last one.
    pub fn changed_content(&self) -> Option<io::Result<Vec<u8>>> {
        let Polled { content, has_changed } = self.poll();
        has_changed.then_some(content)
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
