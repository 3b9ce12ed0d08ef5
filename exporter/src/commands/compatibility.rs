//! Whether a version can take the place of the one that is served, without an error for any client.

use std::env;

use onnward_repository::{DEFAULT_ALIAS, Deletion, ModelStatus, PointerChange, Repository, shell_quoted};
use onnward_schemas::compatibility::{Difference, differences};
use onnward_schemas::{Manifest, Schema};
use serde::Serialize;

use super::CommandError;
use super::version_file::read_version;

/// The flag that lets a version of other rows take a place nevertheless.
const OTHER_SCHEMA: &str = "--other-schema";
/// Options whose values may be secret: an error does not repeat them.
const SECRET_OPTIONS: [&str; 1] = ["--webhook"];

/// The comparison of a version with the one that is served now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Compatibility {
    /// The version that is served now.
    pub served: u64,
    /// The version that takes its place, once it has a number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
    /// The differences that break its clients.
    pub differences: Vec<Difference>,
    /// The reason why the served version cannot be compared, if it cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown: Option<String>,
}

/// The handling of a version of other rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtherSchema {
    /// It is refused.
    Refused,
    /// It is allowed.
    Allowed,
}

impl From<bool> for OtherSchema {
    fn from(is_allowed: bool) -> Self {
        if is_allowed { Self::Allowed } else { Self::Refused }
    }
}

/// A version that is to be served.
#[derive(Clone, Copy)]
pub enum Candidate<'a> {
    /// A version of the repository.
    Published(u64),
    /// A model that is not published yet.
    New(&'a Schema),
}

/// Compares what engines serve before and after a move of a pointer; `None` if they notice nothing.
///
/// # Errors
/// [`CommandError::OtherSchema`] for a version of other rows that is not allowed; those of reading.
pub async fn check_move(
    repository: &Repository,
    change: &PointerChange,
    other_schema: OtherSchema,
) -> Result<Option<Compatibility>, CommandError> {
    if !change.changes {
        return Ok(None);
    }
    let status = repository.status(&change.model).await?;
    match status.served_by_move(change) {
        (Some(served), Some(version)) if served != version => {
            let candidate = Candidate::Published(version);
            check(repository, &status, served, candidate, other_schema).await.map(Some)
        }
        _ => Ok(None),
    }
}

/// Compares a model that is to be published with each version whose place it would take: that of engines that
/// follow `alias`, and, as the highest version, that of engines whose alias is not set.
///
/// # Errors
/// Those of [`check_move`].
pub async fn check_publication(
    repository: &Repository,
    status: Option<&ModelStatus>,
    candidate: Candidate<'_>,
    alias: Option<&str>,
    other_schema: OtherSchema,
) -> Result<Option<Compatibility>, CommandError> {
    let Some(status) = status else { return Ok(None) };
    let mut found = None;
    for served in replaced(status, candidate, alias) {
        let compared = check(repository, status, served, candidate, other_schema).await?;
        if found.is_none() || !compared.differences.is_empty() {
            found = Some(compared);
        }
    }
    Ok(found)
}

/// Compares a version that is to be deleted with the one that takes its place; `None` if it is not served.
///
/// # Errors
/// Those of [`check_move`].
pub async fn check_deletion(
    repository: &Repository,
    deletion: &Deletion,
    other_schema: OtherSchema,
) -> Result<Option<Compatibility>, CommandError> {
    let status = repository.status(&deletion.model).await?;
    let mut after = status.clone();
    after.versions.retain(|found| found.version != deletion.version);
    match (status.served(DEFAULT_ALIAS), after.served(DEFAULT_ALIAS)) {
        (Some(served), Some(version)) if served != version => {
            let candidate = Candidate::Published(version);
            check(repository, &status, served, candidate, other_schema).await.map(Some)
        }
        _ => Ok(None),
    }
}

/// Returns the versions that a new version takes the place of.
fn replaced(status: &ModelStatus, candidate: Candidate<'_>, alias: Option<&str>) -> Vec<u64> {
    if status.pin.is_some() {
        return Vec::new();
    }
    let is_set = |alias: &str| status.aliases.iter().any(|found| found.alias == alias);
    let takes_default =
        alias == Some(DEFAULT_ALIAS) || (!is_set(DEFAULT_ALIAS) && matches!(candidate, Candidate::New(_)));
    let followers = alias.into_iter().chain(takes_default.then_some(DEFAULT_ALIAS));
    let mut replaced: Vec<u64> = followers.filter_map(|alias| status.served(alias)).collect();
    replaced.retain(|served| !matches!(candidate, Candidate::Published(version) if version == *served));
    replaced.sort_unstable();
    replaced.dedup();
    replaced
}

async fn check(
    repository: &Repository,
    status: &ModelStatus,
    served: u64,
    candidate: Candidate<'_>,
    other_schema: OtherSchema,
) -> Result<Compatibility, CommandError> {
    let compared = compare(repository, status, served, candidate).await?;
    if let Some(reason) = &compared.unknown {
        eprintln!("warning: version {served} is served and cannot be compared: {reason}");
    }
    if compared.differences.is_empty() || other_schema == OtherSchema::Allowed {
        return Ok(compared);
    }
    Err(CommandError::OtherSchema {
        model: status.model.clone(),
        served,
        differences: compared.differences,
        command: command_with(OTHER_SCHEMA, env::args()),
    })
}

/// Compares a version with the served one, as far as that can be read. Two manifests that describe the same
/// requests and responses spare both downloads.
async fn compare(
    repository: &Repository,
    status: &ModelStatus,
    served: u64,
    candidate: Candidate<'_>,
) -> Result<Compatibility, CommandError> {
    let manifest = |version: u64| {
        status
            .versions
            .iter()
            .find(|found| found.version == version)
            .and_then(|found| found.manifest.as_ref())
    };
    if let Candidate::Published(version) = candidate
        && let (Some(one), Some(other)) = (manifest(served), manifest(version))
        && describe_the_same(one, other)
    {
        return Ok(Compatibility { served, next: Some(version), differences: Vec::new(), unknown: None });
    }
    let published;
    let (schema, next) = match candidate {
        Candidate::New(schema) => (schema, None),
        Candidate::Published(version) => {
            published = read_version(repository, &status.model, version).await?.schema;
            (&published, Some(version))
        }
    };
    let (differences, unknown) = match read_version(repository, &status.model, served).await {
        Ok(old) => (differences(&old.schema, schema), None),
        // A served version that cannot be read must not keep a good one from taking its place.
        Err(error) => (Vec::new(), Some(error.to_string())),
    };
    Ok(Compatibility { served, next, differences, unknown })
}

/// Returns whether two manifests say that their models take the same requests and answer alike.
fn describe_the_same(one: &Manifest, other: &Manifest) -> bool {
    let same_requests = one.fingerprint.is_some() && one.fingerprint == other.fingerprint;
    let summaries = one.summary.as_ref().zip(other.summary.as_ref());
    same_requests && summaries.is_some_and(|(one, other)| one.answers_like(other))
}

/// Returns this command with one more flag, as a user types it.
pub fn command_with(flag: &str, arguments: impl Iterator<Item = String>) -> String {
    let mut words = vec!["onnward-exporter".to_owned()];
    let mut arguments = arguments.skip(1);
    while let Some(argument) = arguments.next() {
        let name = argument.split('=').next().unwrap_or_default();
        if SECRET_OPTIONS.contains(&name) {
            if !argument.contains('=') {
                arguments.next();
            }
        } else {
            words.push(shell_quoted(&argument));
        }
    }
    words.push(flag.to_owned());
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_command_is_repeated_without_what_may_be_secret() {
        let typed =
            "x promote churn 2 --webhook https://hooks.example/T0/secret --webhook=https://h/s --repository";
        let arguments = typed.split(' ').chain(["our models"]).map(str::to_owned);
        assert_eq!(
            command_with(OTHER_SCHEMA, arguments),
            "onnward-exporter promote churn 2 --repository 'our models' --other-schema"
        );
    }
}
