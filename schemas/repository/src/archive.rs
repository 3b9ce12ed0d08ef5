use bytes::Bytes;
use thiserror::Error;

use crate::config::RepositoryConfig;
use crate::error::RepositoryError;
use crate::store::Repository;

/// A folder, or a prefix of an object store, for files that are written once. It is opened as a model
/// repository is.
#[derive(Debug, Clone)]
pub struct Archive(Repository);

/// The reason why a file could not be written to an archive.
#[derive(Debug, Error)]
pub enum ArchiveError {
    /// The location is none, or a folder that cannot be written.
    #[error("cannot open {location} to write to it: {problem}")]
    Open {
        /// The location, without credentials.
        location: String,
        /// The problem.
        problem: String,
    },
    /// The store failed or did not answer. The file may be there all the same.
    #[error("cannot write {path} to {place}: {source}")]
    Write {
        /// The file.
        path: String,
        /// The archive.
        place: String,
        /// The store's error.
        source: Box<RepositoryError>,
    },
    /// Another file has this path already.
    #[error("cannot write {path} to {place}: another file already exists there")]
    Taken {
        /// The file.
        path: String,
        /// The archive.
        place: String,
    },
}

impl Archive {
    /// Opens an archive, and creates a local folder that does not exist. No request is sent to an object
    /// store yet.
    ///
    /// # Errors
    /// [`ArchiveError::Open`].
    pub fn open(config: &RepositoryConfig) -> Result<Self, ArchiveError> {
        let opened = Repository::create(config).map(|repository| Self(repository.with_own_names()));
        opened.map_err(|error| {
            let problem = match error {
                RepositoryError::Location { problem, .. } => problem,
                other => other.to_string(),
            };
            ArchiveError::Open { location: config.location.clone(), problem }
        })
    }

    /// Returns the location for display: the folder, or the URL and the endpoint.
    pub fn place(&self) -> &str {
        self.0.place()
    }

    /// Writes a whole file under a path of its own, such as `churn/2026-11-22/104501-3f1c-1.jsonl`. After an
    /// error it may be written again: the error can mean that only the response was lost.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use onnward_repository::{Archive, ArchiveError, RepositoryConfig};
    ///
    /// let folder = tempfile::tempdir()?;
    /// let location = folder.path().display().to_string();
    /// let archive = Archive::open(&RepositoryConfig { location, ..RepositoryConfig::default() })?;
    /// archive.put("churn/2026-11-22/1.jsonl", "{}\n".into()).await?;
    /// let refused = archive.put("churn/2026-11-22/1.jsonl", "another".into()).await;
    /// assert!(matches!(refused, Err(ArchiveError::Taken { .. })));
    /// # Ok(())
    /// # }
    /// ```
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
