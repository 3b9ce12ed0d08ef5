use std::error::Error as _;
use std::time::Duration;

use object_store::client::{HttpError, HttpErrorKind};
use thiserror::Error;

use crate::pointer::Pointer;
use crate::signature::SignatureError;

/// Why something cannot be done in a model repository.
#[derive(Debug, Error)]
pub enum RepositoryError {
    /// The local folder is not there.
    #[error(
        "there is no model repository at {path}: name a folder with --repository, or train into it first"
    )]
    NotFound {
        /// The folder.
        path: String,
    },
    /// The place cannot be a repository, or cannot be reached with these settings.
    #[error("cannot open the model repository {location}: {problem}")]
    Location {
        /// The place, without credentials.
        location: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A name cannot be a folder's.
    #[error(
        "{0:?} cannot name a model or an alias: use 1 to 64 of a-z, 0-9, '-', '_' and '.', a letter or a digit first"
    )]
    Name(String),
    /// The store failed while something was read.
    #[error("cannot read {path} from the model repository: {}", reason(.source))]
    Read {
        /// What was read.
        path: String,
        /// What the store says.
        source: object_store::Error,
    },
    /// The store failed while something was written or deleted.
    #[error("cannot write {path} to the model repository: {}", reason(.source))]
    Write {
        /// What was written.
        path: String,
        /// What the store says.
        source: object_store::Error,
    },
    /// The store does not answer, or has stopped in the middle of a file.
    #[error(
        "cannot {what}: the store {store} was silent for {timeout:?}: check the network and the endpoint"
    )]
    Timeout {
        /// What was being done: `read` or `write`, and the file.
        what: String,
        /// The store.
        store: String,
        /// How long it was waited for.
        timeout: Duration,
    },
    /// The repository has nothing of this model.
    #[error("the model repository has no model {model}: publish a version of it first")]
    NoModel {
        /// The model.
        model: String,
    },
    /// A model has no version with a manifest.
    #[error(
        "it has no version with a manifest.json: the manifest is written last, so publishing has not ended"
    )]
    NoVersion,
    /// A version is not there, or has been published only in part.
    #[error(
        "{model} has no version {version} with a manifest.json: list what there is with \
         `onnward-exporter versions {model}`"
    )]
    UnknownVersion {
        /// The model.
        model: String,
        /// The version.
        version: u64,
    },
    /// A file is larger than is accepted.
    #[error("{path} has {size} bytes, more than the {limit} that are accepted")]
    TooLarge {
        /// The file.
        path: String,
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// An artifact is larger than is accepted.
    #[error(
        "{path} has {size} bytes, more than the {limit} that are accepted: make the model smaller, or raise \
         models.max_bytes in the engine's configuration"
    )]
    ModelTooLarge {
        /// The file.
        path: String,
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// A manifest or a pointer's entry does not read.
    #[error("{path} is not what it should be: {source}")]
    Malformed {
        /// The file.
        path: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A file that should be text is not.
    #[error("{path} is not what it should be: it is not UTF-8 text")]
    NotText {
        /// The file.
        path: String,
    },
    /// An artifact is not the one that its manifest describes.
    #[error("{path} is not the file that its manifest describes ({what}): publish it again as a new version")]
    Mismatch {
        /// The file.
        path: String,
        /// How the two differ.
        what: String,
    },
    /// A pointer was moved by another since it was looked at.
    #[error(
        "{pointer} of {model} was moved by somebody else at the same time, so nothing was changed: look at it with \
         `onnward-exporter versions {model}` and decide again"
    )]
    Conflict {
        /// The model.
        model: String,
        /// The pointer.
        pointer: Pointer,
    },
    /// A pointer that is not set was to be moved back or deleted.
    #[error("{model} has no {pointer}: set it with `onnward-exporter {}`", .pointer.command(.model))]
    NotSet {
        /// The model.
        model: String,
        /// The pointer.
        pointer: Pointer,
    },
    /// There is nothing to roll back to.
    #[error(
        "{pointer} of {model} has named no version before {version}: to change it, promote another version"
    )]
    NoHistory {
        /// The model.
        model: String,
        /// The pointer.
        pointer: Pointer,
        /// What it names.
        version: u64,
    },
    /// A version that is in use was to be deleted.
    #[error("version {version} of {model} is not deleted: it is {used_as}")]
    InUse {
        /// The model.
        model: String,
        /// The version.
        version: u64,
        /// What it is used as, in words.
        used_as: String,
    },
    /// A version was deleted while a pointer was moved to it.
    #[error("version {version} of {model} was deleted at the same time, so nothing was changed")]
    Deleted {
        /// The model.
        model: String,
        /// The version.
        version: u64,
    },
    /// A version's manifest was written by somebody else.
    #[error("{path} is there already, though its version was new: publish again")]
    Taken {
        /// The file.
        path: String,
    },
    /// A model's versions have reached the largest number.
    #[error(
        "there is no version left for {model}: delete the folder with the largest number, or use another name"
    )]
    NoNumberLeft {
        /// The model.
        model: String,
    },
    /// A version that was to be taken from the cache alone is not there.
    #[error("version {version} of {model} is not in the cache, and the model repository cannot be asked")]
    NotCached {
        /// The model.
        model: String,
        /// The version.
        version: u64,
    },
    /// A folder cannot be a cache.
    #[error("cannot use {folder} as a cache: {source}: name a folder that this user may write")]
    Cache {
        /// The folder.
        folder: String,
        /// What the file system says.
        source: std::io::Error,
    },
    /// A version cannot be signed.
    #[error(transparent)]
    Signature(SignatureError),
    /// Something cannot be written as JSON.
    #[error("cannot write {path} as JSON: {source}")]
    Json {
        /// The file.
        path: String,
        /// What is wrong.
        source: serde_json::Error,
    },
}

impl RepositoryError {
    /// Whether the store failed, or refused the credentials, and the same may well succeed later. Everything else stays
    /// wrong until a file in the repository changes.
    pub fn is_transient(&self) -> bool {
        use object_store::Error;
        match self {
            Self::NotFound { .. } | Self::Timeout { .. } => true,
            Self::Read { source, .. } | Self::Write { source, .. } => matches!(
                source,
                Error::Generic { .. }
                    | Error::JoinError { .. }
                    | Error::PermissionDenied { .. }
                    | Error::Unauthenticated { .. }
            ),
            _ => false,
        }
    }
}

const NOT_PERMITTED: &str =
    "the store does not permit it: check the credentials and what they may do in this bucket";
const NOT_THERE: &str = "it is not there: check the location";

/// What a store says, as part of a sentence: without the pages of XML that S3 sends, and with what to do about it.
pub(crate) fn reason(error: &object_store::Error) -> String {
    use object_store::Error;
    match error {
        Error::NotFound { .. } => NOT_THERE.to_owned(),
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => NOT_PERMITTED.to_owned(),
        other => {
            let causes = causes(other);
            let is_said = |words: &str| causes.iter().any(|cause| cause.contains(words));
            // Of a listing object_store keeps the answer's status in the text alone.
            if is_said("status code: 401") || is_said("status code: 403") {
                return NOT_PERMITTED.to_owned();
            }
            if is_said("status code: 404") {
                return NOT_THERE.to_owned();
            }
            if let Some(status) = causes.iter().find_map(|cause| failed_status(cause)) {
                return format!("the store answers {status}");
            }
            let first = causes.first().map(String::as_str).unwrap_or_default();
            let text = match causes.last() {
                Some(last) if is_said("error sending request") => {
                    format!("the store does not answer ({last}): check the endpoint and the network")
                }
                Some(last) if !first.contains(last.as_str()) => format!("{first}: {last}"),
                _ => first.to_owned(),
            };
            // An answer's body is XML.
            let text = text.split("<?xml").next().unwrap_or_default();
            let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            text.trim_end_matches([':', ' ']).to_owned()
        }
    }
}

/// The status of the store's own failure, without what differs from one attempt to the next.
fn failed_status(cause: &str) -> Option<&str> {
    let (_, status) = cause.split_once("status code: ")?;
    let end = status.find([':', '\n', '<']).unwrap_or(status.len());
    let status = status.get(..end)?.trim();
    status.starts_with('5').then_some(status)
}

/// Whether it was waited for the store in vain.
pub(crate) fn is_timeout(error: &object_store::Error) -> bool {
    let mut cause = error.source();
    while let Some(inner) = cause {
        if inner.downcast_ref::<HttpError>().is_some_and(|http| http.kind() == HttpErrorKind::Timeout) {
            return true;
        }
        cause = inner.source();
    }
    false
}

/// What an error and all its causes say.
fn causes(error: &object_store::Error) -> Vec<String> {
    let mut causes = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(inner) = cause {
        causes.push(inner.to_string());
        cause = inner.source();
    }
    causes
}
