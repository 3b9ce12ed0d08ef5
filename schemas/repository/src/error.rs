use std::error::Error as _;
use std::fmt;
use std::io;
use std::time::Duration;

use object_store::client::{HttpError, HttpErrorKind};
use thiserror::Error;

use crate::pointer::Pointer;
use crate::signature::SignatureError;
use crate::store::{NoAnswer, NoListing, Unreadable};

/// The reason why an operation on a model repository failed.
#[derive(Debug, Error)]
pub enum RepositoryError {
    /// The local folder does not exist.
    #[error(
        "there is no model repository at {path}: name another folder with --repository, or train into this \
         one first"
    )]
    NotFound {
        /// The folder.
        path: String,
    },
    /// The location is not a repository's, or cannot be reached with these settings.
    #[error("cannot open the model repository {location}: {problem}")]
    Location {
        /// The location, without credentials.
        location: String,
        /// The problem.
        problem: String,
    },
    /// A name cannot be a folder's name.
    #[error(
        "{0:?} cannot name a model or an alias: use 1 to 64 of a-z, 0-9, '-', '_' and '.', a letter or a \
         digit first"
    )]
    Name(String),
    /// The store failed while a file was read.
    #[error("cannot read {path} from the model repository: {}", reason(.source))]
    Read {
        /// The file.
        path: String,
        /// The store's error.
        source: object_store::Error,
    },
    /// The store failed while a file was written or deleted.
    #[error("cannot write {path} to the model repository: {}", reason(.source))]
    Write {
        /// The file.
        path: String,
        /// The store's error.
        source: object_store::Error,
    },
    /// The store does not answer, or stopped in the middle of a file.
    #[error(
        "cannot {what}: the store {store} did not respond for {timeout:?}: check the network and the endpoint"
    )]
    Timeout {
        /// The operation: `read` or `write`, and the file.
        what: String,
        /// The store.
        store: String,
        /// The longest silence that is accepted.
        timeout: Duration,
    },
    /// A file was not sent in time.
    #[error(
        "cannot write {path}: the store {store} did not receive its {bytes} bytes within {} s, which is less than \
         1 KiB/s: check the network",
        .after.as_secs()
    )]
    SlowUpload {
        /// The file.
        path: String,
        /// The store.
        store: String,
        /// Its size in bytes.
        bytes: usize,
        /// The time that it had.
        after: Duration,
    },
    /// A file arrives too slowly.
    #[error(
        "cannot read {path}: the store {store} sent {bytes} bytes of it in {} s, which is less than 1 KiB/s: check \
         the network and the store",
        .window.as_secs()
    )]
    SlowDownload {
        /// The file.
        path: String,
        /// The store.
        store: String,
        /// The bytes that arrived.
        bytes: u64,
        /// The time in which they arrived.
        window: Duration,
    },
    /// The store does not create files conditionally.
    #[error(
        "cannot write to {store}: it ignores `If-None-Match: *` and lets one of two writers overwrite the other's \
         version: update the store, or use one that has conditional writes"
    )]
    Unconditional {
        /// The store.
        store: String,
    },
    /// A pointer cannot be read, so it is not known which version it names.
    #[error("it is not known what the {pointer} of {model} names: {reason}")]
    UnreadablePointer {
        /// The model.
        model: String,
        /// The pointer.
        pointer: Pointer,
        /// The reason.
        reason: String,
    },
    /// An action was done, but its end is not in the audit log.
    #[error("done ({result}), but the audit log does not say so: {source}")]
    EndNotRecorded {
        /// The result of the action.
        result: String,
        /// The reason.
        source: Box<RepositoryError>,
    },
    /// The repository has no files of this model.
    #[error("the model repository has no model {model}: publish a version of it first")]
    NoModel {
        /// The model.
        model: String,
    },
    /// A model has no version with a manifest.
    #[error(
        "no version has a manifest.json, which is written last: publishing has not finished, or a file was copied \
         by hand, which `onnward-exporter publish` publishes"
    )]
    NoVersion,
    /// A version does not exist, or was published only in part.
    #[error("{model} has no version {version}: {hint}")]
    UnknownVersion {
        /// The model.
        model: String,
        /// The version.
        version: u64,
        /// The command that helps.
        hint: String,
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
    /// There is no memory to read an artifact.
    #[error("{path} is not read: {reason}")]
    NoMemory {
        /// The file.
        path: String,
        /// The figures, and the remedy.
        reason: String,
    },
    /// A path is a pipe, a socket or a device.
    #[error("{path} is not a regular file: replace it, or remove the version")]
    NotAFile {
        /// The path.
        path: String,
    },
    /// A manifest or a pointer's entry cannot be parsed.
    #[error("{path} is invalid: {source}")]
    Malformed {
        /// The file.
        path: String,
        /// The parser's error.
        source: serde_json::Error,
    },
    /// A file that should be text is not.
    #[error("{path} is invalid: it is not UTF-8 text")]
    NotText {
        /// The file.
        path: String,
    },
    /// An artifact is not the one that its manifest describes.
    #[error("{path} is not the file that its manifest describes ({what}): publish it again as a new version")]
    Mismatch {
        /// The file.
        path: String,
        /// The difference between the two.
        what: String,
    },
    /// A pointer was moved by another program since the move was planned.
    #[error(
        "{pointer} of {model} was changed concurrently, so nothing was changed: check it with `{command}` and \
         retry"
    )]
    Conflict {
        /// The model.
        model: String,
        /// The pointer.
        pointer: Pointer,
        /// The command that shows it.
        command: String,
    },
    /// The next entry of a pointer is empty: its writer is at work, or was killed.
    #[error(
        "the {pointer} of {model} was not moved, since {path} is empty: a command is writing it, or was killed: \
         retry in ten minutes, or once no command is at work, remove it with `{command}`"
    )]
    EmptyEntry {
        /// The model.
        model: String,
        /// The pointer.
        pointer: Pointer,
        /// The entry.
        path: String,
        /// The command that removes it.
        command: String,
    },
    /// A pointer that is not set cannot be moved back or deleted.
    #[error("{model} has no {pointer}, so it cannot be moved back or removed: see `{command}`")]
    NotSet {
        /// The model.
        model: String,
        /// The pointer.
        pointer: Pointer,
        /// The command that shows what is set.
        command: String,
    },
    /// There is no earlier version to roll back to.
    #[error(
        "{pointer} of {model} has no previous version, only {version}: choose another version from `{command}` \
         and promote it"
    )]
    NoHistory {
        /// The model.
        model: String,
        /// The pointer.
        pointer: Pointer,
        /// The version that it names.
        version: u64,
        /// The command that lists the versions.
        command: String,
    },
    /// A version that is in use cannot be deleted.
    #[error("cannot delete version {version} of {model}: {used_as}")]
    InUse {
        /// The model.
        model: String,
        /// The version.
        version: u64,
        /// Its use, described for people.
        used_as: String,
    },
    /// A pointer cannot be moved to a version that is being deleted.
    #[error(
        "version {version} of {model} is being deleted, so nothing was changed: name another \
         version; if the deletion was interrupted, run `{command}` again, or remove \
         {model}/{version}/deleting-*.json to keep the version"
    )]
    Deleted {
        /// The model.
        model: String,
        /// The version.
        version: u64,
        /// The command that deletes it.
        command: String,
    },
    /// A model that pointers name cannot be deleted.
    #[error(
        "cannot delete the model {model} while it has pointers ({pointers}): `{command}` removes them, too"
    )]
    ModelInUse {
        /// The model.
        model: String,
        /// The pointers.
        pointers: String,
        /// The command that deletes it nevertheless.
        command: String,
    },
    /// A copy needs the number of another version.
    #[error(
        "cannot copy version {version} of {model}, since {how}, and a signature is valid for one number only: \
         see `{command}`, and publish the file as a new version instead"
    )]
    NumberTaken {
        /// The model.
        model: String,
        /// The version.
        version: u64,
        /// The use of the number.
        how: &'static str,
        /// The command that lists the versions.
        command: String,
    },
    /// A tag cannot be stored.
    #[error("the tag {tag} cannot be stored: {problem}")]
    Tag {
        /// The tag, or what is wrong with all of them.
        tag: String,
        /// The rule.
        problem: String,
    },
    /// The tags of a version were changed by another program.
    #[error(
        "the tags of version {version} of {model} were changed concurrently, so nothing was changed: retry"
    )]
    TagsChanged {
        /// The model.
        model: String,
        /// The version.
        version: u64,
    },
    /// A file of a new version was written by another program.
    #[error("{path} already exists, because another program published the same version: publish again")]
    Taken {
        /// The file.
        path: String,
    },
    /// A model has a version with the largest number.
    #[error(
        "no version number is left for {model}: remove the folders with the largest numbers, or use another name"
    )]
    NoNumberLeft {
        /// The model.
        model: String,
    },
    /// A version that can be read from the cache alone is not there.
    #[error("version {version} of {model} is not in the cache, and the model repository cannot be reached")]
    NotCached {
        /// The model.
        model: String,
        /// The version.
        version: u64,
    },
    /// A folder cannot be used as a cache.
    #[error("cannot use {folder} as a cache: {source}: name a folder that this user may write")]
    Cache {
        /// The folder.
        folder: String,
        /// The file system's error.
        source: std::io::Error,
    },
    /// A version cannot be signed.
    #[error(transparent)]
    Signature(SignatureError),
    /// A manifest would be too large to be read.
    #[error(
        "{model} is not published: its manifest would have {bytes} bytes, and {limit} are read: shorten the names of its classes \
         and its tags", limit = crate::fetch::MAX_MANIFEST_BYTES
    )]
    ManifestTooLarge {
        /// The model.
        model: String,
        /// The size of the manifest.
        bytes: u64,
    },
    /// A file cannot be written as JSON, or is not the JSON that it should be.
    #[error("cannot write {path} as JSON: {source}")]
    Json {
        /// The file.
        path: String,
        /// The serializer's error.
        source: serde_json::Error,
    },
}

impl RepositoryError {
    /// Returns whether the store failed, or refused the credentials, so that the same operation may succeed
    /// later. Every other error stays until a file in the repository changes.
    pub fn is_transient(&self) -> bool {
        use object_store::Error;
        match self {
            Self::NotFound { .. } | Self::NoMemory { .. } => true,
            Self::Read { source, .. } | Self::Write { source, .. }
                if matches!(source, Error::PermissionDenied { .. } | Error::Unauthenticated { .. }) =>
            {
                true
            }
            error => error.is_outage(),
        }
    }

    /// Returns whether the store did not do its part: it was not reached, was too slow or failed. That passes by
    /// itself.
    pub fn is_outage(&self) -> bool {
        use object_store::Error;
        match self {
            Self::Timeout { .. } | Self::SlowUpload { .. } | Self::SlowDownload { .. } => true,
            Self::Read { source, .. } | Self::Write { source, .. } => {
                matches!(source, Error::Generic { .. } | Error::JoinError { .. })
            }
            _ => false,
        }
    }
}

const NOT_PERMITTED: &str =
    "the store denied access: check the credentials and their permissions for this bucket";
const NOT_THERE: &str = "it does not exist: check the location";

/// Describes a store's error as part of a sentence: without the XML that S3 sends, and with advice.
pub(crate) fn reason(error: &object_store::Error) -> String {
    use object_store::Error;
    if let Some(listing) = cause_of::<NoListing>(error) {
        return listing.to_string();
    }
    if let Some(answer) = cause_of::<NoAnswer>(error) {
        return answer.to_string();
    }
    let causes = causes(error);
    if let Some(answer) = causes.iter().find_map(|cause| StoreAnswer::parse(cause)) {
        return answer.to_string();
    }
    if is_full(error) {
        return "the disk is full: free some space on it".to_owned();
    }
    match error {
        Error::Generic { source, .. } if source.is::<Unreadable>() => {
            format!("{source}: check the permissions of the folder")
        }
        Error::NotFound { .. } => NOT_THERE.to_owned(),
        Error::AlreadyExists { .. } => "others are writing the same file: try again".to_owned(),
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => NOT_PERMITTED.to_owned(),
        _ => {
            let is_said = |words: &str| causes.iter().any(|cause| cause.contains(words));
            // Of a listing object_store keeps the answer's status in the text alone.
            if is_said("status code: 401") || is_said("status code: 403") {
                return NOT_PERMITTED.to_owned();
            }
            if is_said("status code: 404") {
                return NOT_THERE.to_owned();
            }
            if let Some(status) = causes.iter().find_map(|cause| failed_status(cause)) {
                return format!("the store responded with {status}");
            }
            if is_said("Received redirect without LOCATION") || is_said("status code: 301") {
                return OTHER_REGION.to_owned();
            }
            if is_said("status code: 30") {
                return REDIRECTED.to_owned();
            }
            if METADATA_PATHS.into_iter().any(is_said) {
                return no_credentials();
            }
            let first = causes.first().map(String::as_str).unwrap_or_default();
            let text = match causes.last() {
                Some(last) if is_said("error sending request") => {
                    format!("the store does not respond ({last}): check the endpoint and the network")
                }
                Some(last) if !first.contains(last.as_str()) => format!("{first}: {last}"),
                _ => first.to_owned(),
            };
            let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            text.trim_end_matches([':', ' ']).to_owned()
        }
    }
}

const REDIRECTED: &str = "the store redirects to another address: check the endpoint";
/// The paths of the service from which a machine in a cloud gets the keys of its role.
const METADATA_PATHS: [&str; 2] = ["/latest/api/token", "/latest/meta-data/iam"];

/// Says that no keys were found. AWS's profiles are not read: its command line exports the keys of one.
pub(crate) fn no_credentials() -> String {
    let profile = std::env::var("AWS_PROFILE").ok().filter(|profile| !profile.is_empty());
    let profile = profile.map(|profile| {
        format!(
            "; of the profile {profile}, `eval \"$(aws configure export-credentials --profile {profile} --format env)\"` \
             sets them"
        )
    });
    format!(
        "no credentials were found, and this machine has no role: set AWS_ACCESS_KEY_ID and \
         AWS_SECRET_ACCESS_KEY{}",
        profile.unwrap_or_default()
    )
}

const OTHER_REGION: &str = "the bucket is in another region: name it with s3.region or AWS_REGION";

/// The error document of an S3 store.
#[derive(Debug, PartialEq, Eq)]
struct StoreAnswer<'a> {
    code: &'a str,
    message: Option<&'a str>,
    region: Option<&'a str>,
}

impl<'a> StoreAnswer<'a> {
    /// Finds the document in the text of an error.
    fn parse(text: &'a str) -> Option<Self> {
        let (_, document) = text.split_once("<Error")?;
        let element = |name: &str| {
            let (_, rest) = document.split_once(&format!("<{name}>"))?;
            let (value, _) = rest.split_once(&format!("</{name}>"))?;
            Some(value.trim()).filter(|value| !value.is_empty())
        };
        Some(Self { code: element("Code")?, message: element("Message"), region: element("Region") })
    }
}

impl fmt::Display for StoreAnswer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MAX_MESSAGE_CHARS: usize = 300;
        let Self { code, message, region } = self;
        let advice = match *code {
            "InvalidAccessKeyId" => "the store does not know the access key: check its id",
            "SignatureDoesNotMatch" => {
                "the secret access key is wrong: check it, and that no proxy changes requests"
            }
            "RequestTimeTooSkewed" => "the clock of this machine differs from the store's: set it",
            "ExpiredToken" | "InvalidToken" | "TokenRefreshRequired" => {
                "the session token is not valid any more: get a new one"
            }
            "AccessDenied" | "AllAccessDisabled" | "AccountProblem" => {
                "the store denied access: the key lacks the permission for this; check its policy for this bucket"
            }
            "NoSuchBucket" => "the bucket does not exist: check the location",
            "NoSuchKey" => NOT_THERE,
            "PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException" => {
                return match region {
                    Some(region) => write!(
                        f,
                        "the bucket is in the region {region}: name it with s3.region or AWS_REGION ({code})"
                    ),
                    None => write!(f, "{OTHER_REGION} ({code})"),
                };
            }
            _ => {
                let message: String =
                    message.unwrap_or("no reason is given").chars().take(MAX_MESSAGE_CHARS).collect();
                let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
                return write!(f, "the store refused it: {} ({code})", message.trim_end_matches('.'));
            }
        };
        write!(f, "{advice} ({code})")
    }
}

/// Returns the region that a store names in an error.
pub(crate) fn told_region(error: &object_store::Error) -> Option<String> {
    causes(error).iter().find_map(|cause| Some(StoreAnswer::parse(cause)?.region?.to_owned()))
}

/// Returns the cause of a type among the causes of an error.
pub(crate) fn cause_of<T: std::error::Error + 'static>(error: &object_store::Error) -> Option<&T> {
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(found) = inner.downcast_ref() {
            return Some(found);
        }
        cause = inner.source();
    }
    None
}

/// Returns whether a write failed because the disk, or the user's part of it, is full.
pub(crate) fn is_full(error: &object_store::Error) -> bool {
    let kind = cause_of::<io::Error>(error).map(io::Error::kind);
    matches!(kind, Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
}

/// Returns the status of a failure of the store, without what differs between attempts.
fn failed_status(cause: &str) -> Option<&str> {
    let (_, status) = cause.split_once("status code: ")?;
    let end = status.find([':', '\n', '<']).unwrap_or(status.len());
    let status = status.get(..end)?.trim();
    status.starts_with('5').then_some(status)
}

/// Returns whether the store did not answer in time.
pub(crate) fn is_timeout(error: &object_store::Error) -> bool {
    cause_of::<HttpError>(error).is_some_and(|http| http.kind() == HttpErrorKind::Timeout)
}

/// Returns the messages of an error and all its causes.
fn causes(error: &object_store::Error) -> Vec<String> {
    let mut causes = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(inner) = cause {
        causes.push(inner.to_string());
        cause = inner.source();
    }
    causes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> String {
        reason(&object_store::Error::Generic { store: "S3", source: text.to_owned().into() })
    }

    #[test]
    fn each_code_of_a_store_is_one_sentence_with_its_remedy() {
        let answer = |code: &str, more: &str| {
            said(&format!(
                "Server returned non-2xx status code: 403 Forbidden: <?xml version=\"1.0\"?>\n<Error xmlns=\"x\">\
                 <Code>{code}</Code><Message>This is\n why.</Message>{more}</Error>"
            ))
        };
        for (code, expected) in [
            ("InvalidAccessKeyId", "check its id"),
            ("SignatureDoesNotMatch", "secret access key is wrong"),
            ("RequestTimeTooSkewed", "clock"),
            ("AccessDenied", "lacks the permission"),
            ("ExpiredToken", "session token"),
            ("EntityTooLarge", "the store refused it: This is why (EntityTooLarge)"),
        ] {
            let sentence = answer(code, "");
            assert!(sentence.contains(expected) && sentence.contains(code), "{sentence}");
            assert!(!sentence.contains(['<', '\n']), "{sentence}");
        }
        let sentence = answer("AuthorizationHeaderMalformed", "<Region>eu-west-1</Region>");
        assert!(sentence.contains("region eu-west-1: name it"), "{sentence}");
    }

    #[test]
    fn an_answer_without_a_code_is_told_by_its_status() {
        for (text, expected) in [
            ("Server returned non-2xx status code: 403 Forbidden: ", "denied access"),
            ("Server returned non-2xx status code: 404 Not Found: ", "does not exist"),
            (
                "Server returned non-2xx status code: 503 Service Unavailable: <html>",
                "503 Service Unavailable",
            ),
        ] {
            let sentence = said(text);
            assert!(sentence.contains(expected) && !sentence.contains('<'), "{sentence}");
        }
    }
}
