//! `gc`: deletes old versions, and the records that grow with every command.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use chrono::{DateTime, TimeDelta, Utc};
use onnward_repository::{Action, Deletion, OldRecord, RecordKind, Repository, RepositoryError};
use serde::Serialize;

use super::CommandError;
use super::audit::on_record;
use super::repository::block_on;
use super::results::{would, write_deletion};
use super::stdout::print;
use crate::cli::repository::GcArguments;

/// The result of `gc`.
#[derive(Default, Serialize)]
struct Collected {
    /// The versions that were deleted.
    deleted: Vec<Deletion>,
    /// The records that went for their age.
    removed: Vec<OldRecord>,
    /// The number and size of what went, by kind.
    totals: Vec<Total>,
    /// Versions that were taken into use while the others were deleted.
    kept_back: Vec<KeptBack>,
    /// Models that could not be cleaned up.
    passed_over: Vec<PassedOver>,
    dry_run: bool,
}

/// A kind of what went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(untagged)]
enum Kind {
    Version(VersionKind),
    Record(RecordKind),
}

/// The kind of a version, beside those of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
enum VersionKind {
    Version,
}

/// The number and size of what went of one kind.
#[derive(Serialize)]
struct Total {
    kind: Kind,
    count: usize,
    size_bytes: u64,
}

/// A version that is not deleted, because it was taken into use.
#[derive(Serialize)]
struct KeptBack {
    model: String,
    version: u64,
    used_as: String,
}

/// A model that could not be cleaned up.
#[derive(Serialize)]
struct PassedOver {
    model: String,
    reason: String,
}

pub fn gc(arguments: &GcArguments) -> Result<(), CommandError> {
    let GcArguments { model, keep, older_than, change } = arguments;
    // By this machine's clock: the stores that sign requests refuse one that is a quarter of an hour off.
    let age = TimeDelta::from_std(*older_than).unwrap_or(TimeDelta::MAX);
    let before = Utc::now().checked_sub_signed(age).unwrap_or(DateTime::<Utc>::MIN_UTC);
    let collected = block_on(async {
        let repository = Repository::open(&change.target.config())?.with_reserve();
        let work = collect(&repository, arguments, before);
        if change.dry_run {
            return work.await;
        }
        let versions = keep.map(|keep| format!("versions but for the highest {keep} and those in use, and "));
        let what = format!("{}records before {}", versions.unwrap_or_default(), before.format("%Y-%m-%d"));
        let on_record_as = Action { command: "gc", model: model.clone(), what };
        on_record(&repository, on_record_as, work, summary).await
    })?;
    print(change.target.output, &collected)?;
    let models = collected.passed_over.iter().map(|passed| format!("{}: {}", passed.model, passed.reason));
    let models: Vec<String> = models.collect();
    if models.is_empty() { Ok(()) } else { Err(CommandError::PassedOver { models }) }
}

async fn collect(
    repository: &Repository,
    arguments: &GcArguments,
    before: DateTime<Utc>,
) -> Result<Collected, CommandError> {
    let GcArguments { model, keep, change, .. } = arguments;
    let models = match model {
        Some(model) => vec![model.clone()],
        None => repository.models().await?,
    };
    let keep = keep.map(|keep| usize::try_from(keep).unwrap_or(usize::MAX));
    let mut collected = Collected { dry_run: change.dry_run, ..Collected::default() };
    for name in models {
        match collected.clean_up(repository, &name, keep, before).await {
            Ok(()) => {}
            // The folder is not a model.
            Err(RepositoryError::NoModel { .. }) if model.is_none() => {}
            // A store that is down, or a disk that is full, concerns every model.
            Err(error) if repository.is_down(&error) || matches!(error, RepositoryError::Write { .. }) => {
                return Err(error.into());
            }
            Err(error) => collected.passed_over.push(PassedOver { model: name, reason: error.to_string() }),
        }
    }
    if model.is_none() {
        collected.remove(repository, repository.find_old_audit(before).await?).await?;
    }
    collected.totals = collected.count();
    Ok(collected)
}

impl Collected {
    /// Cleans up a model. Everything is planned before anything is deleted.
    async fn clean_up(
        &mut self,
        repository: &Repository,
        model: &str,
        keep: Option<usize>,
        before: DateTime<Utc>,
    ) -> Result<(), RepositoryError> {
        let versions = match keep {
            Some(keep) => repository.plan_gc(model, keep).await?,
            None => Vec::new(),
        };
        let records = repository.find_old_records(model, before).await?;
        for deletion in versions {
            let done = if self.dry_run { Ok(()) } else { repository.apply_deletion(&deletion).await };
            if self.kept_back(done)? {
                self.deleted.push(deletion);
            }
        }
        self.remove(repository, records).await
    }

    async fn remove(
        &mut self,
        repository: &Repository,
        records: Vec<OldRecord>,
    ) -> Result<(), RepositoryError> {
        if self.dry_run {
            self.removed.extend(records);
            return Ok(());
        }
        let mut failed = Ok(());
        for (record, done) in repository.remove_old(records).await {
            match self.kept_back(done) {
                Ok(true) => self.removed.push(record),
                Ok(false) => {}
                Err(error) => failed = Err(error),
            }
        }
        failed
    }

    /// Returns whether a deletion was done. What was taken into use meanwhile is kept and noted.
    fn kept_back(&mut self, done: Result<(), RepositoryError>) -> Result<bool, RepositoryError> {
        match done {
            Ok(()) => Ok(true),
            Err(RepositoryError::InUse { model, version, used_as }) => {
                self.kept_back.push(KeptBack { model, version, used_as });
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    fn count(&self) -> Vec<Total> {
        let versions = self.deleted.iter().map(|one| (Kind::Version(VersionKind::Version), one.size_bytes));
        let records = self.removed.iter().map(|one| (Kind::Record(one.kind), one.size_bytes));
        let mut totals: BTreeMap<Kind, (usize, u64)> = BTreeMap::new();
        for (kind, size_bytes) in versions.chain(records) {
            let (count, bytes) = totals.entry(kind).or_default();
            *count += 1;
            *bytes += size_bytes;
        }
        let total = |(kind, (count, size_bytes))| Total { kind, count, size_bytes };
        totals.into_iter().map(total).collect()
    }
}

/// Describes the result in one line, for the audit log.
fn summary(collected: &Collected) -> String {
    let totals: Vec<String> = collected.totals.iter().map(|total| format!("{total} removed")).collect();
    if totals.is_empty() { "nothing is deleted".to_owned() } else { totals.join(", ") }
}

impl Display for Total {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { kind, count, size_bytes } = self;
        let (one, more) = match kind {
            Kind::Version(VersionKind::Version) => ("version", "versions"),
            Kind::Record(RecordKind::Audit) => ("record of the audit log", "records of the audit log"),
            Kind::Record(RecordKind::HalfUpload) => ("half upload", "half uploads"),
            Kind::Record(RecordKind::PointerEntry) => {
                ("earlier move of a pointer", "earlier moves of pointers")
            }
            Kind::Record(RecordKind::Tombstone) => ("mark of a deleted version", "marks of deleted versions"),
        };
        write!(f, "{count} {}, {size_bytes} bytes", if *count == 1 { one } else { more })
    }
}

impl Display for Collected {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for deletion in &self.deleted {
            write_deletion(f, deletion, self.dry_run)?;
        }
        let records = self.totals.iter().filter(|total| matches!(total.kind, Kind::Record(_)));
        for total in records {
            writeln!(f, "{}removed  {total}", would(self.dry_run))?;
        }
        for KeptBack { model, version, used_as } in &self.kept_back {
            writeln!(f, "kept     {model} version {version}: {used_as}")?;
        }
        for PassedOver { model, .. } in &self.passed_over {
            writeln!(f, "passed over  {model}")?;
        }
        if self.totals.is_empty() && self.kept_back.is_empty() && self.passed_over.is_empty() {
            writeln!(f, "there is nothing to delete")?;
        }
        Ok(())
    }
}
