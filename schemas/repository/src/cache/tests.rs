use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::last_known_good::{CacheRecord, LastKnownGood};
use crate::watch::DecidedBy;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const PLENTY: u64 = 1 << 20;

/// Caches ten bytes that were last used so long ago, and returns their digest.
fn keep(cache: &Cache, byte: u8, age: Duration) -> String {
    let bytes = [byte; 10];
    let digest = sha256_hex(&bytes);
    cache.keep(&digest, &bytes);
    set_used(cache, &digest, SystemTime::now() - age);
    digest
}

fn set_used(cache: &Cache, digest: &str, time: SystemTime) {
    let file = File::open(cache.object_path(digest).unwrap()).unwrap();
    file.set_times(FileTimes::new().set_modified(time)).unwrap();
}

fn open(max_bytes: u64) -> (TempDir, Cache) {
    let folder = TempDir::new().unwrap();
    let cache = Cache::open(folder.path(), max_bytes).unwrap();
    (folder, cache)
}

#[test]
fn what_was_not_used_for_longest_goes_first() {
    let (folder, cache) = open(30);
    let [oldest, middle, newest] =
        [(1, 3), (2, 2), (3, 1)].map(|(byte, days)| keep(&cache, byte, DAY * days));
    assert!(cache.read(&oldest, PLENTY).is_some(), "which is a use");
    let added = keep(&cache, 4, Duration::ZERO);
    assert_eq!(cache.read(&middle, PLENTY), None);
    for digest in [&oldest, &newest, &added] {
        assert!(cache.read(digest, PLENTY).is_some());
    }
    Cache::open(folder.path(), 10).unwrap();
    assert_eq!(cache.objects().len(), 1, "a lower bound holds from the start");
}

#[test]
fn what_is_larger_than_the_bound_is_not_kept_and_drives_nothing_out() {
    let (_folder, cache) = open(15);
    let digest = keep(&cache, 1, DAY);
    let large = [2; 16];
    cache.keep(&sha256_hex(&large), &large);
    assert!(cache.read(&digest, PLENTY).is_some());
    assert_eq!(cache.objects().len(), 1);
}

#[test]
fn a_file_from_the_future_ages_like_the_others() {
    let (_folder, cache) = open(20);
    let future = keep(&cache, 1, Duration::ZERO);
    set_used(&cache, &future, SystemTime::now() + DAY * 365);
    let old = keep(&cache, 2, DAY);
    keep(&cache, 3, Duration::ZERO);
    assert_eq!(cache.read(&old, PLENTY), None, "to be from the future is no reason to go first");
    keep(&cache, 4, Duration::ZERO);
    assert_eq!(cache.read(&future, PLENTY), None, "nor to stay for ever");
}

#[test]
fn an_artifact_that_was_served_last_is_evicted_last() {
    let (_folder, cache) = open(20);
    let served = keep(&cache, 1, DAY * 100);
    let model = CacheRecord {
        version: 1,
        decided_by: DecidedBy::HighestVersion,
        manifest_text: format!(r#"{{"sha256": "{served}", "size_bytes": 10, "created": ""}}"#),
        signatures: Vec::new(),
        config: None,
    };
    let known = LastKnownGood { models: [("churn".to_owned(), model)].into(), ..LastKnownGood::default() };
    cache.save("somewhere", "champion", &known);
    for byte in 2..6 {
        keep(&cache, byte, Duration::ZERO);
    }
    assert!(cache.read(&served, PLENTY).is_some());
    assert_eq!(cache.objects().len(), 2);
}

#[test]
fn the_leftovers_of_the_dead_are_removed_and_the_files_of_the_living_are_not() {
    let (folder, cache) = open(100);
    let mut living = cache.partial_file().unwrap();
    living.write_all(b"half").unwrap();
    // A process that is killed leaves its file and loses its lock.
    let (dead, path) = cache.partial_file().unwrap().keep().unwrap();
    drop(dead);
    let again = Cache::open(folder.path(), 100).unwrap();
    assert!(!path.exists());
    assert!(living.path().exists());
    let digest = sha256_hex(b"half");
    living.persist(again.object_path(&digest).unwrap()).unwrap();
    assert_eq!(again.read(&digest, PLENTY).as_deref(), Some(b"half".as_slice()));
}

#[test]
fn a_folder_that_is_taken_away_is_made_again() {
    let (folder, cache) = open(100);
    keep(&cache, 1, DAY);
    fs::remove_dir_all(folder.path()).unwrap();
    let digest = keep(&cache, 2, DAY);
    assert!(cache.read(&digest, PLENTY).is_some());
}

#[cfg(unix)]
#[test]
fn nobody_else_can_read_it() {
    use std::os::unix::fs::PermissionsExt;

    let parent = TempDir::new().unwrap();
    let folder = parent.path().join("a/cache");
    let cache = Cache::open(&folder, 100).unwrap();
    let digest = keep(&cache, 1, DAY);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    assert_eq!(mode(&cache.object_path(&digest).unwrap()), 0o600);
}
