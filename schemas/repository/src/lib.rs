//! The model repository: versions of models and the pointers to them, in a local folder or an object store.
//!
//! Every file is written once and never changed, which is all that every store can promise: local disks have no
//! conditional update, only "create if it is not there". A version is `model.onnx` and, written last, `manifest.json`. A
//! [`Pointer`] (an alias, or the pin) is a folder of numbered entries of which the highest holds; whoever moves one
//! writes the entry after the one that they saw. Of two who do so at once one finds the number taken, and nothing of
//! theirs has happened. The entries are the pointer's history, which is what a rollback goes back in.

mod archive;
mod audit;
mod cache;
mod config;
mod delete;
mod error;
mod fetch;
mod folder;
mod inventory;
mod pointer;
mod publish;
mod remembered;
mod signature;
mod stamp;
mod store;
mod watch;

pub use archive::{Archive, ArchiveError};
pub use audit::{Action, Actor, AuditEntry, Ending};
pub use cache::Cache;
pub use config::{RepositoryConfig, S3Config, Secret};
pub use delete::Deletion;
pub use error::RepositoryError;
pub use fetch::{FetchedModel, Fetcher};
pub use folder::make_writable;
pub use inventory::{AliasStatus, ModelStatus, PinStatus, VersionStatus};
pub use pointer::{Move, Pointer, PointerChange};
pub use publish::{NewVersion, Published};
pub use remembered::{Remembered, RememberedModel};
pub use signature::{
    KeyId, NewKey, Signature, SignatureError, Signed, Signer, Subject, TrustedKeys, generate_key,
};
pub use stamp::Stamp;
pub use store::{Repository, check_name, prepare_tls};
pub use watch::{DecidedBy, Look, ModelLook, Target, Watch};

/// The alias that an engine follows and that a promotion moves, unless another is named.
pub const DEFAULT_ALIAS: &str = "champion";
