//! The audit log of a repository. Each action has a file that is written before anything is done, and one
//! that says how it ended. So nothing is done without a trace, and an action without an end was interrupted.
//!
//! The files are in a folder whose name cannot be a model's, and are written once like all others. A user who
//! may write to the store may also delete there. Only the store's own log protects against that.

use std::fmt::Display;

use chrono::{DateTime, Utc};
use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use rand::random;
use serde::{Deserialize, Serialize};

use crate::error::RepositoryError;
use crate::inventory::READS_AT_A_TIME;
use crate::store::Repository;
use crate::time;

/// The folder of the log. Engines never list it.
pub(crate) const FOLDER: &str = "_audit";
pub(crate) const BEGUN: &str = "1-begun.json";
pub(crate) const ENDED: &str = "2-ended.json";
/// The largest file that is read, in bytes. This crate writes none that is larger.
const MAX_ENTRY_BYTES: u64 = 64 * 1024;
/// The longest reason that is stored, in characters.
const MAX_REASON: usize = 2000;

/// The user and machine behind an action, as reported by the client. The store identifies them only by their
/// keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// The user's name.
    pub who: String,
    /// The machine.
    pub from: String,
}

/// An action on a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// The command.
    pub command: &'static str,
    /// The model, if the action is about one.
    pub model: Option<String>,
    /// A description for people.
    pub what: String,
}

/// An action in the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditEntry {
    /// The unique id of the action.
    pub id: String,
    /// Its start, in RFC 3339 and UTC.
    pub time: String,
    /// The user.
    pub who: String,
    /// The machine.
    pub from: String,
    /// The command.
    pub command: String,
    /// The model, if the action was about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// A description for people.
    pub what: String,
    /// Its result.
    #[serde(flatten)]
    pub ending: Ending,
}

/// The result of an action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "lowercase")]
pub enum Ending {
    /// It was done.
    Done {
        /// The result, for people.
        result: String,
    },
    /// It failed, and may be done in part.
    Failed {
        /// The error message.
        reason: String,
    },
    /// There is no record of an end: it was interrupted, or is under way.
    Unknown,
}

#[derive(Serialize, Deserialize)]
struct Begun {
    time: String,
    who: String,
    from: String,
    command: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    what: String,
}

#[derive(Serialize, Deserialize)]
struct Ended {
    time: String,
    #[serde(flatten)]
    ending: Ending,
}

impl Repository {
    /// Runs `work` and records its beginning and its end; `result` describes what it returned. If the
    /// beginning cannot be recorded, `work` does not run.
    ///
    /// # Errors
    /// Those of `work`; those of writing; [`RepositoryError::EndNotRecorded`] after work that has been done.
    pub async fn audited<T, E>(
        &self,
        actor: &Actor,
        action: Action,
        work: impl Future<Output = Result<T, E>>,
        result: impl FnOnce(&T) -> String,
    ) -> Result<T, E>
    where
        E: Display + From<RepositoryError>,
    {
        let now = Utc::now();
        let id = format!("{}-{:016x}", name_of(now), random::<u64>());
        let begun = Begun {
            time: time::in_millis(now),
            who: actor.who.clone(),
            from: actor.from.clone(),
            command: action.command.to_owned(),
            model: action.model,
            what: action.what,
        };
        self.put_on_record(&id, BEGUN, &begun).await?;
        let done = work.await;
        let described = done.as_ref().map(result).unwrap_or_default();
        let ending = match &done {
            Ok(_) => Ending::Done { result: described.clone() },
            Err(error) => Ending::Failed { reason: error.to_string().chars().take(MAX_REASON).collect() },
        };
        let ended = self.put_on_record(&id, ENDED, &Ended { time: time::now_in_millis(), ending }).await;
        self.reserve_space().await;
        // What went wrong with the work itself is what its caller must hear.
        let value = done?;
        ended.map_err(|source| RepositoryError::EndNotRecorded {
            result: described,
            source: Box::new(source),
        })?;
        Ok(value)
    }

    async fn put_on_record(
        &self,
        id: &str,
        part: &str,
        entry: &impl Serialize,
    ) -> Result<(), RepositoryError> {
        let path = format!("{FOLDER}/{id}-{part}");
        let text = serde_json::to_string_pretty(entry)
            .map_err(|source| RepositoryError::Json { path: path.clone(), source })?;
        match self.create_own_file(&path, text.into()).await? {
            true => Ok(()),
            false => Err(RepositoryError::Taken { path }),
        }
    }

    /// Returns the recorded actions, the oldest first; with `since`, those from that time on.
    ///
    /// # Errors
    /// Those of reading; [`RepositoryError::Json`] for a file that is no entry.
    pub async fn audit_log(&self, since: Option<DateTime<Utc>>) -> Result<Vec<AuditEntry>, RepositoryError> {
        let prefix = Path::from(FOLDER);
        let listing = match since {
            Some(since) => self
                .store
                .list_with_offset(Some(&prefix), &Path::from(format!("{FOLDER}/{}", name_of(since)))),
            None => self.store.list(Some(&prefix)),
        };
        let files: Vec<_> = listing.try_collect().await.map_err(|source| self.reading(FOLDER, source))?;
        let mut names: Vec<String> = files.iter().map(|file| file.location.to_string()).collect();
        names.sort();
        let begun = names.iter().filter_map(|name| name.strip_suffix(BEGUN));
        let entries = stream::iter(begun).map(|stem| self.audit_entry(stem, &names));
        let entries: Vec<Option<AuditEntry>> = entries.buffered(READS_AT_A_TIME).try_collect().await?;
        Ok(entries.into_iter().flatten().collect())
    }

    /// Reads the entry whose files' names begin with `stem`; `None` if it was removed for its age meanwhile.
    async fn audit_entry(&self, stem: &str, names: &[String]) -> Result<Option<AuditEntry>, RepositoryError> {
        let Some(begun) = self.read_json::<Begun>(&format!("{stem}{BEGUN}")).await? else { return Ok(None) };
        let ended = format!("{stem}{ENDED}");
        let ended = match names.binary_search(&ended) {
            Ok(_) => self.read_json::<Ended>(&ended).await?,
            Err(_) => None,
        };
        let ending = ended.map_or(Ending::Unknown, |ended| ended.ending);
        let id = stem.trim_start_matches(FOLDER).trim_matches(['/', '-']).to_owned();
        let Begun { time, who, from, command, model, what } = begun;
        Ok(Some(AuditEntry { id, time, who, from, command, model, what, ending }))
    }

    async fn read_json<T: for<'de> Deserialize<'de>>(
        &self,
        path: &str,
    ) -> Result<Option<T>, RepositoryError> {
        let bytes = match self.read(path, MAX_ENTRY_BYTES).await {
            Err(RepositoryError::Read { source: object_store::Error::NotFound { .. }, .. }) => {
                return Ok(None);
            }
            read => read?,
        };
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|source| RepositoryError::Json { path: path.to_owned(), source })
    }
}

/// Writes a time for a file's name. Names sort by time.
fn name_of(time: DateTime<Utc>) -> String {
    time.format("%Y%m%dT%H%M%S%3fZ").to_string()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use object_store::memory::InMemory;

    use super::*;

    fn actor() -> Actor {
        Actor { who: "ada".to_owned(), from: "workshop".to_owned() }
    }

    fn action(what: &str) -> Action {
        Action { command: "promote", model: Some("churn".to_owned()), what: what.to_owned() }
    }

    #[tokio::test]
    async fn what_was_done_and_what_failed_and_what_was_cut_off_is_on_record() {
        let repository = Repository::from_store(Arc::new(InMemory::new()));
        let missing = || RepositoryError::NoModel { model: "churn".to_owned() };
        repository
            .audited(&actor(), action("first"), async { Ok::<_, RepositoryError>(2) }, |version| {
                format!("version {version}")
            })
            .await
            .unwrap();
        let failed = async { Err::<(), _>(missing()) };
        let error = repository.audited(&actor(), action("second"), failed, |()| String::new()).await;
        assert_eq!(error.unwrap_err().to_string(), missing().to_string());
        let never = std::future::pending::<Result<(), RepositoryError>>();
        let actor = actor();
        let cut_off = repository.audited(&actor, action("third"), never, |()| String::new());
        assert!(tokio::time::timeout(std::time::Duration::from_millis(50), cut_off).await.is_err());

        let log = repository.audit_log(None).await.unwrap();
        let of: Vec<(&str, &Ending)> = log.iter().map(|entry| (entry.what.as_str(), &entry.ending)).collect();
        let done = Ending::Done { result: "version 2".to_owned() };
        let failed = Ending::Failed { reason: missing().to_string() };
        let mut expected = vec![("first", &done), ("second", &failed), ("third", &Ending::Unknown)];
        // Within a millisecond their order is chance.
        expected.sort_by_key(|(what, _)| of.iter().position(|(other, _)| other == what));
        assert_eq!(of, expected);
        assert!(
            log.iter()
                .all(|entry| entry.who == "ada" && entry.from == "workshop" && entry.command == "promote")
        );
        assert_eq!(repository.audit_log(Some(Utc::now() + chrono::Duration::seconds(1))).await.unwrap(), []);
        assert!(repository.models().await.unwrap().is_empty(), "it is no model");
    }

    #[tokio::test]
    async fn what_cannot_be_put_on_record_is_not_done() {
        let folder = tempfile::tempdir().unwrap();
        // A file where the folder should be.
        std::fs::write(folder.path().join(FOLDER), "").unwrap();
        let config =
            crate::RepositoryConfig { location: folder.path().display().to_string(), ..Default::default() };
        let repository = Repository::open(&config).unwrap();
        let mut done = false;
        let work = async {
            done = true;
            Ok::<_, RepositoryError>(())
        };
        assert!(repository.audited(&actor(), action("anything"), work, |()| String::new()).await.is_err());
        assert!(!done);
    }
}
