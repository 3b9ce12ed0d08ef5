//! Explores every order in which the steps of deletions and moves of pointers can follow each other.
//!
//! A step is one operation on the store. Each task works through a store that stops before every operation,
//! and a scheduler decides whose operation comes next. Two orders that lead to the same files and the same
//! observations are explored once, so the search ends although there are billions of orders.

// A test fails by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod scheduler;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use object_store::memory::InMemory;
use onnward_repository::{
    Deletion, Move, OldRecord, Pointer, PointerChange, Repository, RepositoryError, Watch,
};

use self::scheduler::{Listing, Scheduler};

const MODEL: &str = "churn";
const CHAMPION: &str = "champion";
const ORDERS: u64 = 5_000;

/// The job of a task on the model: each plans first and then applies its plan.
#[derive(Debug, Clone, Copy)]
enum Job {
    Delete(u64),
    Alias(&'static str, Move),
    Pin(Move),
    Publish,
    /// Removes what was old when the others began.
    RemoveOld,
}

/// The orders that are run.
#[derive(Debug, Clone, Copy)]
enum Orders {
    All,
    /// Those in which everything is planned before anything is applied.
    AllOncePlanned,
    /// So many, drawn at random, where there are half a million states.
    Sampled(u64),
}

#[derive(Debug, Clone)]
enum Plan {
    Deletion(Deletion),
    Move(PointerChange),
    Publication,
    Removal(Vec<OldRecord>),
}

/// The result of a task: for a move, the version that the pointer names; for a publication, the new version.
type Report = Result<Option<u64>, RepositoryError>;

#[test]
fn two_deletions_and_a_promotion() {
    let jobs = [Job::Delete(2), Job::Delete(2), Job::Alias(CHAMPION, Move::To(2))];
    run(&[1], &jobs, Listing::Atomic, Orders::AllOncePlanned);
    run(&[1], &jobs, Listing::Atomic, Orders::Sampled(ORDERS));
}

#[test]
fn two_deletions_a_promotion_and_a_rollback_of_the_same_alias() {
    let jobs =
        [Job::Delete(1), Job::Delete(2), Job::Alias(CHAMPION, Move::To(3)), Job::Alias(CHAMPION, Move::Back)];
    run(&[1, 2], &jobs, Listing::Atomic, Orders::Sampled(ORDERS));
}

#[test]
fn a_rollback_and_deletions_of_both_versions_that_it_moves_between() {
    let jobs = [Job::Delete(1), Job::Delete(2), Job::Alias(CHAMPION, Move::Back)];
    run(&[1, 2], &jobs, Listing::Atomic, Orders::All);
}

#[test]
fn a_deletion_a_pin_and_a_promotion_of_one_version() {
    let jobs = [Job::Delete(2), Job::Pin(Move::To(2)), Job::Alias(CHAMPION, Move::To(2))];
    run(&[1], &jobs, Listing::Atomic, Orders::All);
}

/// A local folder is listed file by file while others write to it.
#[test]
fn a_listing_that_is_not_of_one_moment() {
    let jobs = [Job::Delete(2), Job::Alias(CHAMPION, Move::To(2))];
    run(&[1], &jobs, Listing::Torn, Orders::All);
    let jobs = [Job::Delete(2), Job::Alias(CHAMPION, Move::To(2)), Job::Alias(CHAMPION, Move::To(3))];
    run(&[1], &jobs, Listing::Torn, Orders::Sampled(ORDERS));
}

/// A champion that has often moved loses its oldest entries, and no move or rollback that goes on meanwhile.
#[test]
fn old_records_go_while_pointers_move_and_versions_are_published() {
    let often: Vec<u64> = (0..14).map(|number| 1 + number % 2).collect();
    for step in [Move::To(3), Move::Back] {
        let jobs = [Job::RemoveOld, Job::Alias(CHAMPION, step), Job::Publish, Job::RemoveOld];
        run(&often, &jobs, Listing::Atomic, Orders::Sampled(300));
        run(&often, &jobs, Listing::Torn, Orders::Sampled(300));
    }
    let jobs = [Job::RemoveOld, Job::Delete(3), Job::Alias(CHAMPION, Move::To(3))];
    run(&often, &jobs, Listing::Atomic, Orders::Sampled(300));
}

fn pointer(job: Job) -> Option<(Pointer, Move)> {
    match job {
        Job::Delete(_) | Job::Publish | Job::RemoveOld => None,
        Job::Alias(name, step) => Some((Pointer::Alias(name.to_owned()), step)),
        Job::Pin(step) => Some((Pointer::Pin, step)),
    }
}

async fn plan(job: Job, repository: &Repository, begun: DateTime<Utc>) -> Result<Plan, RepositoryError> {
    match job {
        Job::Publish => Ok(Plan::Publication),
        Job::RemoveOld => repository.find_old_records(MODEL, begun).await.map(Plan::Removal),
        Job::Delete(version) => repository.plan_deletion(MODEL, version).await.map(Plan::Deletion),
        Job::Alias(_, step) | Job::Pin(step) => {
            let pointer = pointer(job).map_or(Pointer::Pin, |(pointer, _)| pointer);
            repository.plan_move(MODEL, &pointer, step).await.map(Plan::Move)
        }
    }
}

async fn apply(plan: Plan, repository: &Repository) -> Report {
    match plan {
        Plan::Deletion(deletion) => repository.apply_deletion(&deletion).await.map(|()| None),
        Plan::Move(change) => repository.apply_move(&change).await.map(|()| change.to),
        Plan::Publication => repository
            .publish(MODEL, b"another".to_vec(), None)
            .await
            .map(|published| Some(published.version)),
        Plan::Removal(records) => {
            for (_, removed) in repository.remove_old(records).await {
                removed?;
            }
            Ok(None)
        }
    }
}

/// Runs orders of the jobs' steps, once the alias has named each of `promoted` in turn.
fn run(promoted: &[u64], jobs: &[Job], listing: Listing, orders: Orders) {
    let store = InMemory::new();
    let repository = Repository::from_store(Arc::new(store.fork()));
    for _ in 0..3 {
        repository.publish(MODEL, b"the model".to_vec(), None).now_or_never().unwrap().unwrap();
    }
    for version in promoted {
        let promotion = plan(Job::Alias(CHAMPION, Move::To(*version)), &repository, Utc::now());
        let promotion = promotion.now_or_never().unwrap().unwrap();
        apply(promotion, &repository).now_or_never().unwrap().unwrap();
    }
    let scheduler = Scheduler::new(repository.store().clone(), listing);
    let planned = jobs.iter().map(|job| match orders {
        Orders::AllOncePlanned => plan(*job, &repository, Utc::now()).now_or_never().unwrap().ok(),
        Orders::All | Orders::Sampled(_) => None,
    });
    let planned: Vec<Option<Plan>> = planned.collect();
    let start = |task: usize, repository: Repository| {
        let (job, planned, begun) = (jobs[task], planned[task].clone(), Utc::now());
        let work = async move {
            let plan = match planned {
                Some(plan) => plan,
                None => plan(job, &repository, begun).await?,
            };
            apply(plan, &repository).await
        };
        work.boxed()
    };
    let at_the_end = |repository: &Repository, reports: &[Report], order: &str| {
        check_at_the_end(repository, jobs, reports, order);
    };
    match orders {
        Orders::All | Orders::AllOncePlanned => {
            let explored = scheduler.explore(jobs.len(), start, check_always, at_the_end);
            println!("{jobs:?}: {explored:?}");
            assert!(explored.ends > 0);
        }
        Orders::Sampled(count) => scheduler.sample(jobs.len(), 0..count, start, check_always, at_the_end),
    }
}

/// Checks that an engine that polls now finds every version that a pointer names.
fn check_always(repository: &Repository, order: &dyn Fn() -> String) {
    let mut watch = Watch::new(repository.clone());
    let mut snapshot = watch.snapshot().now_or_never().unwrap().unwrap();
    let model = snapshot.models.remove(MODEL).unwrap().unwrap();
    for version in model.aliases.values().chain(&model.pin) {
        let is_there = model.versions.contains_key(version);
        assert!(is_there, "a pointer names the deleted version {version}: {}", order());
    }
}

/// Checks that all reported results hold, every failure has a reason, and no file is left behind.
fn check_at_the_end(repository: &Repository, jobs: &[Job], reports: &[Report], order: &str) {
    let status = repository.status(MODEL).now_or_never().unwrap().unwrap();
    let is_there = |version: u64| status.versions.iter().any(|found| found.version == version);
    let named = |pointer: &Pointer| match pointer {
        Pointer::Alias(name) => {
            status.aliases.iter().find(|found| found.alias == *name).map(|found| found.version)
        }
        Pointer::Pin => status.pin.as_ref().map(|pin| pin.version),
    };
    let named_versions = status.aliases.iter().map(|found| found.version);
    for version in named_versions.chain(status.pin.as_ref().map(|pin| pin.version)) {
        assert!(is_there(version), "a pointer names the deleted version {version}: {order}");
    }
    for (job, report) in jobs.iter().zip(reports) {
        match (report, pointer(*job)) {
            (Err(error), _) => assert!(is_a_conflict(error), "{error}: {order}"),
            (Ok(Some(version)), None) => assert!(is_there(*version), "{version} is lost: {order}"),
            (Ok(None), None) => {
                assert!(!matches!(job, Job::Delete(version) if is_there(*version)), "{order}")
            }
            (Ok(to), Some((pointer, _))) => {
                let is_the_only_move = jobs
                    .iter()
                    .zip(reports)
                    .filter(|(other, report)| {
                        report.is_ok() && self::pointer(**other).is_some_and(|(other, _)| other == pointer)
                    })
                    .count()
                    == 1;
                assert!(!is_the_only_move || named(&pointer) == *to, "{pointer} was moved back: {order}");
            }
        }
    }
    for file in scheduler::files(repository.store().as_ref()) {
        let name = file.rsplit('/').next().unwrap();
        let is_known = ["model.onnx", "manifest.json", "deleted.json"].contains(&name);
        let is_entry = name.len() == "00000000000000000001.json".len();
        assert!(is_known || is_entry, "{file} is left behind: {order}");
    }
}

/// Returns whether a task lost against another one, rather than failed.
fn is_a_conflict(error: &RepositoryError) -> bool {
    matches!(
        error,
        RepositoryError::InUse { .. }
            | RepositoryError::UnknownVersion { .. }
            | RepositoryError::Deleted { .. }
            | RepositoryError::Conflict { .. }
            | RepositoryError::NoHistory { .. }
    )
}
