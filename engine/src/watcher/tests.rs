use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use onnward_repository::{Cache, Move, Pointer, Repository, RepositoryConfig, S3Config};
use tempfile::TempDir;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::{Instant, sleep};

use super::*;
use crate::fixtures::backends::{Fake, SERVING, artifact, loader};
use crate::registry::Slot;
use crate::reload::{self, Reloader};

const INTERVAL: Duration = Duration::from_secs(5);
/// More than the artifacts of these tests have.
const MAX_BYTES: u64 = 1_234_567;

/// A watcher of a folder.
struct Watched {
    folder: TempDir,
    repository: Repository,
    registry: Arc<Registry>,
    metrics: Arc<Metrics>,
    reloader: Reloader,
    parts: Arc<Parts>,
}

impl Watched {
    fn new(loaded_versions: usize) -> Self {
        Self::with_cache(loaded_versions, |_| None)
    }

    /// `cache` opens a cache in this folder.
    fn with_cache(loaded_versions: usize, cache: impl FnOnce(&Path) -> Option<Cache>) -> Self {
        let folder = TempDir::new().unwrap();
        let cache = cache(&folder.path().join(".cache"));
        let repository = Repository::create(&config(folder.path())).unwrap();
        let registry = Arc::new(Registry::new(None, Vec::new()));
        let (reloader, nudges) = reload::channel();
        let loader = loader(&[Fake { score: crate::fixtures::first_feature_in_hundredths, ..SERVING }]);
        let metrics = Arc::clone(&loader.metrics);
        let parts = Parts {
            location: repository.place().to_owned(),
            fetcher: Fetcher::new(repository.clone(), cache, MAX_BYTES),
            repository: repository.clone(),
            keys: TrustedKeys::default(),
            remembered: Mutex::default(),
            alias: "champion".to_owned(),
            loaded_versions,
            config: WatchConfig { interval: INTERVAL, max_backoff: 4 * INTERVAL },
            loader,
            registry: Arc::clone(&registry),
            metrics: Arc::clone(&metrics),
            openings: Semaphore::new(1),
        };
        let parts = Arc::new(parts);
        tokio::spawn(watch(Arc::clone(&parts), nudges));
        Self { folder, repository, registry, metrics, reloader, parts }
    }

    /// Publishes a version, which differs from every other.
    async fn publish(&self, model: &str) -> u64 {
        let next = self.repository.plan_publish(model, b"", None).await.unwrap().version;
        let bytes = artifact(next as f64);
        self.repository.publish(model, bytes, None).await.unwrap().version
    }

    async fn step(&self, model: &str, pointer: Pointer, step: Move) {
        let change = self.repository.plan_move(model, &pointer, step).await.unwrap();
        self.repository.apply_move(&change).await.unwrap();
    }

    async fn promote(&self, version: u64) {
        self.step("churn", champion(), Move::To(version)).await;
    }

    async fn reload(&self) {
        self.reloader.reload().await.unwrap();
    }

    fn slot(&self) -> Arc<Slot> {
        self.registry.slot("churn").unwrap_or_default()
    }

    fn serving(&self) -> Option<u64> {
        Some(self.registry.get("churn")?.version)
    }

    fn file(&self, path: &str) -> std::path::PathBuf {
        self.folder.path().join(path)
    }

    fn is_counted(&self, line: &str) -> bool {
        let text = String::from_utf8(self.metrics.render(&self.registry.states()).unwrap()).unwrap();
        text.lines().any(|printed| printed == line)
    }
}

fn config(folder: &Path) -> RepositoryConfig {
    RepositoryConfig {
        location: folder.display().to_string(),
        s3: S3Config::default(),
        ..RepositoryConfig::default()
    }
}

fn champion() -> Pointer {
    Pointer::Alias("champion".to_owned())
}

#[tokio::test(start_paused = true)]
async fn a_new_version_serves_after_an_interval_without_being_asked_for() {
    let watched = Watched::new(3);
    watched.reload().await;
    assert!(watched.registry.is_loaded() && watched.serving().is_none());
    watched.publish("churn").await;
    let start = Instant::now();
    while watched.serving().is_none() {
        sleep(Duration::from_millis(10)).await;
    }
    assert!(start.elapsed() <= INTERVAL * 2, "{:?}", start.elapsed());
    assert!(
        watched
            .is_counted(r#"onnward_swaps_total{model="churn",outcome="swapped",reason="highest_version"} 1"#)
    );
}

#[tokio::test]
async fn the_pin_decides_before_the_alias_and_the_one_before_stays_warm() {
    let watched = Watched::new(3);
    for _ in 0..3 {
        watched.publish("churn").await;
    }
    watched.reload().await;
    assert_eq!(watched.serving(), Some(3));
    watched.promote(1).await;
    watched.reload().await;
    assert_eq!((watched.serving(), watched.slot().previous), (Some(1), Some(3)));
    let warm = Arc::clone(watched.slot().version(3).unwrap());
    watched.step("churn", Pointer::Pin, Move::To(2)).await;
    watched.reload().await;
    assert_eq!((watched.serving(), watched.slot().loaded()), (Some(2), vec![1, 2]));
    drop(warm);
    watched.step("churn", Pointer::Pin, Move::Clear).await;
    let before = Arc::clone(watched.slot().version(1).unwrap());
    watched.reload().await;
    assert!(Arc::ptr_eq(&before, &watched.registry.get("churn").unwrap()), "a rollback loads nothing");
    assert!(watched.is_counted(r#"onnward_model_version{model="churn",role="serving",version="1"} 1"#));
    assert!(watched.is_counted(r#"onnward_model_version{model="churn",role="previous",version="2"} 1"#));
    assert!(!watched.is_counted(r#"onnward_model_version{model="churn",role="serving",version="2"} 1"#));
}

#[tokio::test]
async fn versions_that_aliases_name_are_loaded_as_far_as_there_is_room() {
    for (room, expected) in [(1, vec![1]), (2, vec![1, 2]), (3, vec![1, 2, 3])] {
        let watched = Watched::new(room);
        for version in 1..=4 {
            watched.publish("churn").await;
            let name = ["champion", "a", "b", "c"][version - 1];
            watched.step("churn", Pointer::Alias(name.to_owned()), Move::To(version as u64)).await;
        }
        watched.reload().await;
        assert_eq!(watched.slot().loaded(), expected);
    }
}

#[tokio::test]
async fn a_version_that_fails_leaves_what_is_served_and_is_tried_again_when_its_files_change() {
    let watched = Watched::new(3);
    watched.publish("churn").await;
    watched.reload().await;
    watched.repository.publish("churn", b"no model".to_vec(), None).await.unwrap();
    watched.reload().await;
    let slot = watched.slot();
    assert_eq!((watched.serving(), slot.is_failing), (Some(1), true));
    let problem = slot.last_error.clone().unwrap();
    assert_eq!((problem.version, problem.step), (Some(2), "artifact"));
    let counted = |times: u32| {
        format!(r#"onnward_swaps_total{{model="churn",outcome="failed",reason="artifact"}} {times}"#)
    };
    assert!(watched.is_counted(&counted(1)));
    watched.reload().await;
    assert!(watched.is_counted(&counted(2)), "whoever asks for a reload has it tried again");

    let good = watched.publish("churn").await;
    watched.reload().await;
    assert_eq!((watched.serving(), watched.slot().is_failing), (Some(good), false));
}

#[tokio::test(start_paused = true)]
async fn a_version_that_failed_and_is_wished_again_still_fails_without_being_tried() {
    let watched = Watched::new(3);
    watched.publish("churn").await;
    watched.repository.publish("churn", b"no model".to_vec(), None).await.unwrap();
    for (version, is_failing) in [(2, true), (1, false), (2, true)] {
        watched.promote(version).await;
        sleep(INTERVAL * 2).await;
        assert_eq!(watched.slot().is_failing, is_failing, "version {version}");
    }
    assert_eq!(watched.slot().last_error.as_ref().unwrap().version, Some(2));
    assert!(watched.is_counted(r#"onnward_swaps_total{model="churn",outcome="failed",reason="artifact"} 1"#));
}

#[tokio::test(start_paused = true)]
async fn a_pointer_that_cannot_be_read_is_told_of_once_and_changes_nothing() {
    let watched = Watched::new(3);
    watched.publish("churn").await;
    watched.reload().await;
    let entry = watched.file("churn/pin/00000000000000000001.json");
    std::fs::create_dir_all(entry.parent().unwrap()).unwrap();
    std::fs::write(&entry, "{").unwrap();
    sleep(INTERVAL * 10).await;
    assert!(watched.slot().is_failing);
    assert_eq!(watched.serving(), Some(1));
    assert!(
        watched.is_counted(r#"onnward_swaps_total{model="churn",outcome="failed",reason="repository"} 1"#)
    );
    std::fs::remove_file(&entry).unwrap();
    sleep(INTERVAL * 2).await;
    assert!(!watched.slot().is_failing);
}

#[tokio::test(start_paused = true)]
async fn what_failed_for_good_is_not_tried_again_at_every_look() {
    let watched = Watched::new(3);
    watched.repository.publish("churn", b"no model".to_vec(), None).await.unwrap();
    watched.reload().await;
    sleep(INTERVAL * 20).await;
    assert!(watched.is_counted(r#"onnward_swaps_total{model="churn",outcome="failed",reason="artifact"} 1"#));
}

#[tokio::test]
async fn a_model_that_is_gone_is_not_served_and_an_empty_repository_unloads_nothing() {
    let watched = Watched::new(3);
    watched.publish("churn").await;
    watched.publish("bank").await;
    watched.reload().await;
    std::fs::remove_dir_all(watched.file("churn")).unwrap();
    watched.reload().await;
    assert!(watched.serving().is_none() && watched.registry.get("bank").is_some());
    std::fs::remove_dir_all(watched.file("bank")).unwrap();
    watched.reload().await;
    assert!(watched.registry.get("bank").is_some());
    assert!(watched.registry.repository().error.as_ref().is_some_and(|error| error.contains("empty")));
    watched.publish("churn").await;
    watched.reload().await;
    assert!(watched.serving().is_some() && watched.registry.get("bank").is_none());
}

#[tokio::test]
async fn a_repository_that_cannot_be_read_leaves_everything_as_it_is() {
    let watched = Watched::new(3);
    watched.publish("churn").await;
    watched.reload().await;
    let away = watched.folder.path().with_extension("away");
    std::fs::rename(watched.folder.path(), &away).unwrap();
    assert!(watched.reloader.reload().await.is_err());
    let state = watched.registry.repository();
    assert_eq!((state.reachable, watched.serving()), (Some(false), Some(1)));
    assert!(state.last_success.is_some() && state.error.is_some());
    std::fs::rename(&away, watched.folder.path()).unwrap();
    watched.reload().await;
    assert_eq!(watched.registry.repository().reachable, Some(true));
}

#[tokio::test]
async fn a_version_that_changes_in_place_is_told_of_and_what_was_loaded_stays() {
    let watched = Watched::new(3);
    watched.publish("churn").await;
    watched.reload().await;
    let served = watched.registry.get("churn").unwrap();
    std::fs::write(watched.file("churn/1/model.onnx"), artifact(77.0)).unwrap();
    watched.reload().await;
    let problem = watched.slot().last_error.clone().unwrap();
    assert_eq!((problem.step, problem.version), ("changed", Some(1)));
    assert!(Arc::ptr_eq(&served, &watched.registry.get("churn").unwrap()));
    assert!(!watched.slot().is_failing);
}

#[tokio::test]
async fn a_version_that_changes_to_one_that_is_too_large_is_refused_by_the_configured_bound() {
    let watched = Watched::new(3);
    watched.publish("churn").await;
    watched.reload().await;
    let manifest = std::fs::read_to_string(watched.file("churn/1/manifest.json")).unwrap();
    let size = std::fs::metadata(watched.file("churn/1/model.onnx")).unwrap().len();
    let larger = MAX_BYTES + 1;
    let manifest = manifest.replace(&format!("\"size_bytes\": {size}"), &format!("\"size_bytes\": {larger}"));
    std::fs::write(watched.file("churn/1/model.onnx"), vec![0; larger as usize]).unwrap();
    std::fs::write(watched.file("churn/1/manifest.json"), manifest).unwrap();
    watched.reload().await;
    let problem = watched.slot().last_error.clone().unwrap();
    assert_eq!((problem.step, problem.version), ("changed", Some(1)));
    let expected = format!("{larger} bytes, more than the {MAX_BYTES} ");
    assert!(problem.reason.contains(&expected), "{}", problem.reason);
    assert_eq!(watched.serving(), Some(1));
}

#[tokio::test]
async fn a_version_whose_artifact_changes_in_the_store_is_told_of_although_the_cache_has_the_old_one() {
    let watched = Watched::with_cache(3, |folder| Some(Cache::open(folder, MAX_BYTES).unwrap()));
    watched.publish("churn").await;
    watched.reload().await;
    std::fs::write(watched.file("churn/1/model.onnx"), artifact(77.0)).unwrap();
    watched.reload().await;
    let problem = watched.slot().last_error.clone().unwrap();
    assert_eq!((problem.step, problem.version), ("changed", Some(1)));
}

#[tokio::test(start_paused = true)]
async fn a_changed_version_is_fetched_once_a_load_permit_is_free() {
    let watched = Watched::new(3);
    watched.publish("churn").await;
    watched.reload().await;
    let permit = watched.parts.openings.acquire().await.unwrap();
    std::fs::write(watched.file("churn/1/model.onnx"), artifact(77.0)).unwrap();
    let mut reload = std::pin::pin!(watched.reloader.reload());
    // With the only permit taken there is no answer, however long it is waited for.
    assert!(tokio::time::timeout(INTERVAL, &mut reload).await.is_err());
    assert!(watched.slot().last_error.is_none());
    drop(permit);
    reload.await.unwrap();
    assert_eq!(watched.slot().last_error.as_ref().unwrap().step, "changed");
}

#[tokio::test]
async fn an_alias_of_a_version_that_is_not_there_changes_nothing() {
    let watched = Watched::new(3);
    watched.publish("churn").await;
    watched.promote(1).await;
    watched.publish("churn").await;
    watched.promote(2).await;
    watched.reload().await;
    std::fs::remove_dir_all(watched.file("churn/2")).unwrap();
    watched.reload().await;
    assert_eq!(watched.serving(), Some(2), "what was loaded stays");
    watched.promote(1).await;
    watched.reload().await;
    assert_eq!(
        (watched.serving(), watched.slot().previous),
        (Some(1), None),
        "nobody goes back to what is deleted"
    );
}
