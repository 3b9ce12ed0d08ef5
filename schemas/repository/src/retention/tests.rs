//! The rule on generated repositories: what goes is old and of no use, and nothing else changes.

use std::sync::Arc;

use chrono::TimeDelta;
use object_store::memory::InMemory;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::inventory::ModelStatus;
use crate::pointer::Move;

const MODEL: &str = "churn";
const STEPS: usize = 300;

/// A repository that many random commands have changed, and a time in the middle of them.
struct Generated {
    repository: Repository,
    middle: DateTime<Utc>,
}

/// Does something that a user may do. What is refused changes nothing.
async fn step(repository: &Repository, random: &mut ChaCha8Rng) {
    let next = repository.plan_publish(MODEL, b"next", None).await.unwrap().version;
    let version = if random.random_range(0..4) == 0 { next - 1 } else { random.random_range(1..next) };
    let clears = random.random_range(0..20) == 0;
    let names = ["champion", "challenger"];
    let alias = Pointer::Alias(names[random.random_range(0..names.len())].to_owned());
    let (pointer, step) = match random.random_range(0..14) {
        0..=2 => {
            repository.publish(MODEL, b"a model".to_vec(), None).await.unwrap();
            return;
        }
        3 | 4 => {
            if let Ok(deletion) = repository.plan_deletion(MODEL, version).await {
                let _ = repository.apply_deletion(&deletion).await;
            }
            return;
        }
        5 => {
            repository.create_file(&format!("{MODEL}/{next}/model.onnx"), "half".into()).await.unwrap();
            return;
        }
        6 => (alias, Move::Back),
        7 => (Pointer::Pin, if clears { Move::Clear } else { Move::To(version) }),
        8 if clears => (alias, Move::Clear),
        _ => (alias, Move::To(version)),
    };
    if let Ok(change) = repository.plan_move(MODEL, &pointer, step).await {
        repository.apply_move(&change).await.unwrap();
    }
}

async fn generate(seed: u64) -> Generated {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let repository = Repository::from_store(Arc::new(InMemory::new()));
    repository.publish(MODEL, b"a model".to_vec(), None).await.unwrap();
    let until_middle = random.random_range(0..STEPS);
    let mut middle = Utc::now();
    for number in 0..STEPS {
        step(&repository, &mut random).await;
        if number == until_middle {
            middle = Utc::now();
        }
    }
    Generated { repository, middle }
}

async fn files(repository: &Repository) -> Vec<ModelFile> {
    repository.model_files(MODEL).await.unwrap().1
}

/// Returns the number of moves that each alias remembers.
async fn moves_of(repository: &Repository, status: &ModelStatus) -> Vec<usize> {
    let mut moves = Vec::new();
    for alias in &status.aliases {
        moves.push(repository.history(MODEL, &alias.alias).await.unwrap().len());
    }
    moves
}

async fn remove(repository: &Repository, records: Vec<OldRecord>) {
    for (record, removed) in repository.remove_old(records).await {
        removed.unwrap_or_else(|error| panic!("{record:?}: {error}"));
    }
}

/// Returns the versions that an alias names now and after each further rollback.
async fn rollbacks(repository: &Repository, status: &ModelStatus) -> Vec<Vec<Option<u64>>> {
    let mut all = Vec::new();
    for alias in &status.aliases {
        let pointer = Pointer::Alias(alias.alias.clone());
        let mut state = repository.state(MODEL, &pointer).await.unwrap().entry;
        let mut versions = Vec::new();
        while let Some(entry) = state.take().filter(|_| versions.len() <= ALWAYS_KEPT) {
            versions.push(entry.version);
            if let Some(before) = entry.rollback_to {
                state = repository.find_entry(MODEL, &pointer, before).await.unwrap();
            }
        }
        all.push(versions);
    }
    all
}

#[tokio::test]
async fn what_goes_is_old_and_of_no_use_and_nothing_else_changes() {
    let mut by_kind: BTreeMap<RecordKind, usize> = BTreeMap::new();
    for seed in 0..30 {
        let Generated { repository, middle } = generate(seed).await;
        let before = if seed % 3 == 0 { Utc::now() + TimeDelta::days(1) } else { middle };
        let status = repository.status(MODEL).await.unwrap();
        let expected = rollbacks(&repository, &status).await;
        let moves = moves_of(&repository, &status).await;
        let next = repository.plan_publish(MODEL, b"next", None).await.unwrap().version;
        let all = files(&repository).await;
        let old = repository.find_old_records(MODEL, before).await.unwrap();
        assert_eq!(files(&repository).await.len(), all.len(), "finding removes nothing");
        for record in &old {
            let record_path = Path::from(record.path.as_str());
            let inside = |file: &&ModelFile| file.path.prefix_matches(&record_path);
            assert!(all.iter().filter(inside).all(|file| file.changed < before), "{record:?}");
            *by_kind.entry(record.kind).or_default() += 1;
        }
        remove(&repository, old).await;
        // What half uploads leave is a mark, and old at once where the time is to come.
        let marks = repository.find_old_records(MODEL, before).await.unwrap();
        assert!(marks.iter().all(|record| record.kind == RecordKind::Tombstone), "seed {seed}");
        remove(&repository, marks).await;

        assert_eq!(repository.status(MODEL).await.unwrap(), status, "seed {seed}");
        assert_eq!(rollbacks(&repository, &status).await, expected, "seed {seed}");
        assert_eq!(repository.plan_publish(MODEL, b"next", None).await.unwrap().version, next, "seed {seed}");
        assert_eq!(repository.find_old_records(MODEL, before).await.unwrap(), [], "seed {seed}");
        for (before, after) in moves.iter().zip(moves_of(&repository, &status).await) {
            assert!(after >= *before.min(&ALWAYS_KEPT), "{after} of {before}, seed {seed}");
        }
        if before > Utc::now() {
            no_more_is_left_than_the_rule_says(&files(&repository).await);
        }
    }
    let kinds: Vec<_> = by_kind.into_iter().filter(|(_, count)| *count > 20).map(|(kind, _)| kind).collect();
    assert_eq!(kinds, [RecordKind::HalfUpload, RecordKind::PointerEntry, RecordKind::Tombstone]);
}

/// Checks that what remains does not grow with the number of commands, once everything is old.
fn no_more_is_left_than_the_rule_says(files: &[ModelFile]) {
    for (pointer, numbers) in entries_of(files) {
        assert!(numbers.len() <= 2 * ALWAYS_KEPT, "{pointer}: {numbers:?}");
    }
    let versions = files_of_versions(files);
    let deleted = versions.values().filter(|files| files.iter().any(|file| file.parts[1] == "deleted.json"));
    assert!(deleted.count() <= ALWAYS_KEPT);
    let halves = versions.values().filter(|files| files.iter().all(|file| file.parts[1] == "model.onnx"));
    assert_eq!(halves.count(), 0);
}

#[test]
fn an_action_is_on_record_until_all_of_it_is_old() {
    let now = Utc::now();
    let file = |name: &str, hours: i64| (format!("_audit/{name}"), 100, now - TimeDelta::hours(hours));
    let files = vec![
        file("20260101T000000000Z-a-2-ended.json", 50),
        file("20260101T000000000Z-a-1-begun.json", 51),
        // It took long, and ended lately.
        file("20260102T000000000Z-b-1-begun.json", 49),
        file("20260102T000000000Z-b-2-ended.json", 1),
        // It was interrupted.
        file("20260103T000000000Z-c-1-begun.json", 49),
        file("20260104T000000000Z-d-1-begun.json", 1),
        file("notes.txt", 100),
    ];
    let old = old_audit(files, now - TimeDelta::hours(48));
    let names: Vec<&str> = old.iter().map(|record| record.path.trim_start_matches("_audit/")).collect();
    let expected = ["20260101T000000000Z-a-1-begun.json", "20260101T000000000Z-a-2-ended.json"];
    assert_eq!(names, [&expected[..], &["20260103T000000000Z-c-1-begun.json"]].concat());
}
