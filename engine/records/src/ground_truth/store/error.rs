use redb::{CommitError, DatabaseError, StorageError, TableError, TransactionError};
use thiserror::Error;

/// The reason why the prediction store cannot be used.
#[derive(Debug, Error)]
pub enum StoreError {
    /// Another engine has it open.
    #[error("another engine has it open; give each engine a folder of its own")]
    InUse,
    /// An older or newer Onnward created it.
    #[error("its format is {found}, but this engine reads {known}; use another folder")]
    OtherFormat {
        /// The format of the file.
        found: u64,
        /// The format that this engine reads.
        known: u64,
    },
    /// A record in it is incomplete.
    #[error("{what} in it is incomplete: the file is damaged; move it away to start a new one")]
    Incomplete {
        /// The incomplete record.
        what: &'static str,
    },
    /// The file is damaged or not a prediction store.
    #[error("the file is damaged or not a prediction store ({0}); move it away to start a new one")]
    Damaged(String),
    /// The file cannot be read or written.
    #[error("{0}")]
    Io(String),
}

impl From<redb::Error> for StoreError {
    fn from(error: redb::Error) -> Self {
        match error {
            redb::Error::DatabaseAlreadyOpen => Self::InUse,
            // redb has no error of its own for a file that was never one of its files.
            redb::Error::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                Self::Damaged(error.to_string())
            }
            redb::Error::Io(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                Self::Damaged(error.to_string())
            }
            redb::Error::Io(error) => Self::Io(error.to_string()),
            redb::Error::PreviousIo => Self::Io("an earlier read or write failed".to_owned()),
            other => Self::Damaged(other.to_string()),
        }
    }
}

/// redb has an error type for each of its calls.
macro_rules! from_redb {
    ($($error:ty),*) => {
        $(impl From<$error> for StoreError {
            fn from(error: $error) -> Self {
                redb::Error::from(error).into()
            }
        })*
    };
}

from_redb!(CommitError, DatabaseError, StorageError, TableError, TransactionError);
