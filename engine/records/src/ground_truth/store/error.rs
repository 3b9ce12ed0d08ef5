use redb::{CommitError, DatabaseError, StorageError, TableError, TransactionError};
use thiserror::Error;

/// Why the store of predictions cannot be used.
#[derive(Debug, Error)]
pub enum StoreError {
    /// Another engine has it.
    #[error("another engine has it open; give each engine a folder of its own")]
    InUse,
    /// A newer or an older Onnward has made it.
    #[error("its format is {found}, and this engine knows {known}; name another folder")]
    OtherFormat {
        /// The format of the file.
        found: u64,
        /// The format that is known here.
        known: u64,
    },
    /// What is in it is not what is ever written there.
    #[error("{what} in it is not whole: the file is damaged; move it away, and a new one is begun")]
    Torn {
        /// What is not whole.
        what: &'static str,
    },
    /// The file is no such store, or is damaged.
    #[error("the file is damaged or is no store of predictions ({0}); move it away, and a new one is begun")]
    Damaged(String),
    /// The system cannot read or write it.
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
            redb::Error::PreviousIo => Self::Io("reading or writing it failed before".to_owned()),
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
