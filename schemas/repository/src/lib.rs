//! The model repository: versions of models and the pointers to them, in a local folder or an object store.
//!
//! Every file is created if it does not exist, and never changed. This is the one conditional write that
//! every store has: local disks have no conditional update.
//!
//! - A version is `model.onnx` and `manifest.json`, which is written last ([`Repository::publish`]).
//! - A [`Pointer`] is an alias or the pin: a folder of numbered entries, of which the highest counts. A move
//!   writes the entry after the one that was seen ([`Repository::plan_move`]). Of two moves at once, one
//!   finds the number taken and changes nothing. The entries are the history that a rollback goes back in.
//! - A deletion and a move of a pointer announce themselves before they check for each other
//!   ([`Repository::apply_deletion`], [`Repository::apply_move`]). So a pointer never names a deleted
//!   version.
//! - A [`Fetcher`] reads versions through a [`Cache`], and a [`Watch`] finds out which version is to be
//!   served.

mod archive;
mod audit;
mod cache;
mod config;
mod copy;
mod delete;
mod delete_model;
mod error;
mod fetch;
mod folder;
mod hint;
mod history;
mod intent;
mod inventory;
mod last_known_good;
mod numbered_log;
mod pointer;
mod publish;
mod repair;
mod retention;
mod served;
mod signature;
mod stamp;
mod store;
mod tags;
mod time;
mod watch;

pub use archive::{Archive, ArchiveError};
pub use audit::{Action, Actor, AuditEntry, Ending};
pub use cache::{Cache, CacheUsage};
pub use config::{RepositoryConfig, S3Config, Secret};
pub use copy::{Copied, CopyPlan};
pub use delete::Deletion;
pub use delete_model::ModelDeletion;
pub use error::RepositoryError;
pub use fetch::{FetchedModel, Fetcher};
pub use folder::make_writable;
pub use hint::quoted as shell_quoted;
pub use history::HistoryEntry;
pub use inventory::{AliasStatus, ModelStatus, PinStatus, VersionStatus};
pub use last_known_good::{CacheRecord, LastKnownGood, OpeningRecord};
pub use pointer::{Move, Pointer, PointerChange};
pub use publish::{About, NewVersion, Published};
pub use repair::{Damage, DamageKind};
pub use retention::{OldRecord, RecordKind};
pub use signature::{
    KeyId, NewKey, Signature, SignatureError, Signed, Signer, Subject, TrustedKeys, generate_key,
};
pub use stamp::Stamp;
pub use store::{Repository, check_name, prepare_tls};
pub use tags::{TagChange, Tags, check_tags};
pub use watch::{DecidedBy, ModelSnapshot, Snapshot, Target, Watch};

/// The alias that an engine follows and that a promotion moves, unless another is named.
pub const DEFAULT_ALIAS: &str = "champion";
