use bytes::Bytes;
use thiserror::Error;

use crate::config::RepositoryConfig;
use crate::error::RepositoryError;
use crate::store::Repository;

/// A place to put files in, and never to change them: a folder or the prefix of an object store, opened as a model repository is.
#[derive(Debug, Clone)]
pub struct Archive(Repository);

/// Why a file is not in an archive.
#[derive(Debug, Error)]
pub enum ArchiveError {
    /// It names no place, or a folder that cannot be written.
    #[error("cannot open {location} to write to it: {problem}")]
    Open {
        /// The place, without credentials.
        location: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The store failed or was silent; the file may be there all the same.
    #[error("cannot write {path} to {place}: {source}")]
    Write {
        /// The file.
        path: String,
        /// The archive.
        place: String,
        /// What the store says.
        source: Box<RepositoryError>,
    },
    /// Another file has this path.
    #[error("cannot write {path} to {place}: another file is there already")]
    Taken {
        /// The file.
        path: String,
        /// The archive.
        place: String,
    },
}

impl Archive {
    /// Opens the place; a local folder that is not there is made. Nothing is asked of an object store yet.
    ///
    /// # Errors
    /// [`ArchiveError::Open`].
    pub fn open(config: &RepositoryConfig) -> Result<Self, ArchiveError> {
        Repository::create(config).map(Self).map_err(|error| {
            let problem = match error {
                RepositoryError::Location { problem, .. } => problem,
                other => other.to_string(),
            };
            ArchiveError::Open { location: config.location.clone(), problem }
        })
    }

    /// Where it is, to be shown: the folder, or the URL and the endpoint.
    pub fn place(&self) -> &str {
        self.0.place()
    }

    /// Puts a whole file under a path of its own, such as `churn/2026-11-22/104501-3f1c-1.jsonl`. It may be put again after an
    /// error, which can mean that only the answer was lost.
    ///
    /// # Errors
    /// [`ArchiveError::Write`], [`ArchiveError::Taken`].
    pub async fn put(&self, path: &str, bytes: Bytes) -> Result<(), ArchiveError> {
        let (at, place) = (path.to_owned(), self.place().to_owned());
        match self.0.create_own_file(path, bytes).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(ArchiveError::Taken { path: at, place }),
            Err(source) => Err(ArchiveError::Write { path: at, place, source: Box::new(source) }),
        }
    }
}

impl From<Repository> for Archive {
    fn from(repository: Repository) -> Self {
        Self(repository)
    }
}
