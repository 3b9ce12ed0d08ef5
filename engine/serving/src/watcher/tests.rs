use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use onnward_repository::{Cache, DecidedBy, Move, Pointer, Repository, RepositoryConfig, S3Config};
use onnward_runtime::fixtures::{Fake, SERVING, artifact, first_feature_in_hundredths};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tempfile::TempDir;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::{Instant, sleep};

use super::*;
use crate::fixtures::loader;
use crate::registry::ModelEntry;
use crate::reload::{self, Reloader};

const LOAD_TIMEOUT: Duration = Duration::from_secs(60);
const INTERVAL: Duration = Duration::from_secs(5);
/// More than the artifacts of these tests have.
const MAX_BYTES: u64 = 1_234_567;

/// A watcher of a folder.
struct Watched {
    /// The folder with the repository in `models` and the cache in `cache`.
    folder: TempDir,
    repository: Repository,
    registry: Arc<Registry>,
    metrics: Arc<Metrics>,
    reloader: Reloader,
    context: Arc<WatcherContext>,
}

impl Watched {
    fn new(loaded_versions: usize) -> Self {
        Self::in_new_folder(loaded_versions, false)
    }

    fn with_cache(loaded_versions: usize) -> Self {
        Self::in_new_folder(loaded_versions, true)
    }

    fn in_new_folder(loaded_versions: usize, has_cache: bool) -> Self {
        let folder = TempDir::new().unwrap();
        let repository = Repository::create(&config(&folder.path().join("models"))).unwrap();
        Self::start(folder, repository, loaded_versions, has_cache)
    }

    fn start(folder: TempDir, repository: Repository, loaded_versions: usize, has_cache: bool) -> Self {
        Self::start_with(folder, repository, loaded_versions, has_cache, |_| {})
    }

    fn start_with(
        folder: TempDir,
        repository: Repository,
        loaded_versions: usize,
        has_cache: bool,
        change: impl FnOnce(&mut WatcherContext),
    ) -> Self {
        let cache = has_cache.then(|| Cache::open(&folder.path().join("cache"), 1 << 30).unwrap());
        let registry = Arc::new(Registry::new(None, Vec::new()));
        let (reloader, requests) = reload::channel();
        let loader = loader(&[Fake { score: first_feature_in_hundredths, ..SERVING }]);
        let metrics = Arc::clone(&loader.metrics);
        let mut context = WatcherContext {
            location: repository.place().to_owned(),
            fetcher: Fetcher::new(repository.clone(), cache, MAX_BYTES),
            repository: repository.clone(),
            keys: TrustedKeys::default(),
            last_known_good: Mutex::default(),
            alias: "champion".to_owned(),
            settings: ArcSwap::from_pointee(WatchSettings {
                required_alias: false,
                names: NamePatterns::default(),
                loaded_versions,
                polling: WatchConfig { interval: INTERVAL, max_backoff: 4 * INTERVAL },
            }),
            loader,
            registry: Arc::clone(&registry),
            metrics: Arc::clone(&metrics),
            load_timeout: LOAD_TIMEOUT,
            fetch_permits: Arc::new(Semaphore::new(2)),
            load_permits: Arc::new(Semaphore::new(1)),
            isolation_permits: Arc::new(Semaphore::new(1)),
        };
        change(&mut context);
        let context = Arc::new(context);
        tokio::spawn(watch(Arc::clone(&context), requests));
        Self { folder, repository, registry, metrics, reloader, context }
    }

    /// Stops the engine and starts another one on the same repository and cache, once it has loaded.
    async fn restart(self) -> Self {
        let Self { folder, repository, context, .. } = self;
        let watched = Self::start(folder, repository, context.settings.load().loaded_versions, true);
        while !watched.registry.is_loaded() {
            sleep(Duration::from_millis(1)).await;
        }
        watched
    }

    /// Lets the store be there or not.
    fn set_store(&self, is_up: bool) {
        let (models, away) = (self.folder.path().join("models"), self.folder.path().join("away"));
        let (from, to) = if is_up { (away, models) } else { (models, away) };
        if from.exists() {
            std::fs::rename(from, to).unwrap();
        }
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

    fn entry(&self) -> Arc<ModelEntry> {
        self.registry.entry("churn").unwrap_or_default()
    }

    fn serving(&self) -> Option<u64> {
        Some(self.registry.get("churn")?.version)
    }

    fn file(&self, path: &str) -> std::path::PathBuf {
        self.folder.path().join("models").join(path)
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
    assert_eq!((watched.serving(), watched.entry().previous), (Some(1), Some(3)));
    let warm = Arc::clone(watched.entry().version(3).unwrap());
    watched.step("churn", Pointer::Pin, Move::To(2)).await;
    watched.reload().await;
    assert_eq!((watched.serving(), watched.entry().loaded_versions()), (Some(2), vec![1, 2]));
    drop(warm);
    watched.step("churn", Pointer::Pin, Move::Clear).await;
    let before = Arc::clone(watched.entry().version(1).unwrap());
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
        assert_eq!(watched.entry().loaded_versions(), expected);
    }
}

#[tokio::test]
async fn a_version_that_fails_leaves_what_is_served_and_is_tried_again_when_its_files_change() {
    let watched = Watched::new(3);
    watched.publish("churn").await;
    watched.reload().await;
    watched.repository.publish("churn", b"no model".to_vec(), None).await.unwrap();
    watched.reload().await;
    let entry = watched.entry();
    assert_eq!((watched.serving(), entry.is_failing), (Some(1), true));
    let failure = entry.last_error.clone().unwrap();
    assert_eq!((failure.version, failure.step), (Some(2), "artifact"));
    let counted = |times: u32| {
        format!(r#"onnward_swaps_total{{model="churn",outcome="failed",reason="artifact"}} {times}"#)
    };
    assert!(watched.is_counted(&counted(1)));
    watched.reload().await;
    assert!(watched.is_counted(&counted(2)), "a reload request tries it again");

    let good = watched.publish("churn").await;
    watched.reload().await;
    assert_eq!((watched.serving(), watched.entry().is_failing), (Some(good), false));
}

#[tokio::test(start_paused = true)]
async fn a_version_that_failed_and_is_desired_again_still_fails_without_being_tried() {
    let watched = Watched::new(3);
    watched.publish("churn").await;
    watched.repository.publish("churn", b"no model".to_vec(), None).await.unwrap();
    for (version, is_failing) in [(2, true), (1, false), (2, true)] {
        watched.promote(version).await;
        sleep(INTERVAL * 2).await;
        assert_eq!(watched.entry().is_failing, is_failing, "version {version}");
    }
    assert_eq!(watched.entry().last_error.as_ref().unwrap().version, Some(2));
    assert!(watched.is_counted(r#"onnward_swaps_total{model="churn",outcome="failed",reason="artifact"} 1"#));
}

#[tokio::test(start_paused = true)]
async fn a_pointer_that_cannot_be_read_is_reported_once_and_changes_nothing() {
    let watched = Watched::new(3);
    watched.publish("churn").await;
    watched.reload().await;
    let entry = watched.file("churn/pin/00000000000000000001.json");
    std::fs::create_dir_all(entry.parent().unwrap()).unwrap();
    std::fs::write(&entry, "{").unwrap();
    sleep(INTERVAL * 10).await;
    assert!(watched.entry().is_failing);
    assert_eq!(watched.serving(), Some(1));
    assert!(
        watched.is_counted(r#"onnward_swaps_total{model="churn",outcome="failed",reason="repository"} 1"#)
    );
    std::fs::remove_file(&entry).unwrap();
    sleep(INTERVAL * 2).await;
    assert!(!watched.entry().is_failing);
}

#[tokio::test(start_paused = true)]
async fn what_failed_for_good_is_not_tried_again_at_every_poll() {
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
    assert!(watched.registry.repository_state().error.as_ref().is_some_and(|error| error.contains("empty")));
    watched.publish("churn").await;
    watched.reload().await;
    assert!(watched.serving().is_some() && watched.registry.get("bank").is_none());
}

#[tokio::test]
async fn a_repository_that_cannot_be_read_leaves_everything_as_it_is() {
    let watched = Watched::new(3);
    watched.publish("churn").await;
    watched.reload().await;
    watched.set_store(false);
    assert!(watched.reloader.reload().await.is_err());
    let state = watched.registry.repository_state();
    assert_eq!((state.reachable, watched.serving()), (Some(false), Some(1)));
    assert!(state.last_success.is_some() && state.error.is_some());
    watched.set_store(true);
    watched.reload().await;
    assert_eq!(watched.registry.repository_state().reachable, Some(true));
}

#[tokio::test]
async fn a_version_that_changes_in_place_is_reported_and_what_was_loaded_stays() {
    let watched = Watched::new(3);
    watched.publish("churn").await;
    watched.reload().await;
    let served = watched.registry.get("churn").unwrap();
    std::fs::write(watched.file("churn/1/model.onnx"), artifact(77.0)).unwrap();
    watched.reload().await;
    let failure = watched.entry().last_error.clone().unwrap();
    assert_eq!((failure.step, failure.version), ("changed", Some(1)));
    assert!(Arc::ptr_eq(&served, &watched.registry.get("churn").unwrap()));
    assert!(!watched.entry().is_failing);
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
    let failure = watched.entry().last_error.clone().unwrap();
    assert_eq!((failure.step, failure.version), ("changed", Some(1)));
    let expected = format!("{larger} bytes, more than the {MAX_BYTES} ");
    assert!(failure.reason.contains(&expected), "{}", failure.reason);
    assert_eq!(watched.serving(), Some(1));
}

#[tokio::test]
async fn a_version_whose_artifact_changes_in_the_store_is_reported_although_the_cache_has_the_old_one() {
    let watched = Watched::with_cache(3);
    watched.publish("churn").await;
    watched.reload().await;
    std::fs::write(watched.file("churn/1/model.onnx"), artifact(77.0)).unwrap();
    watched.reload().await;
    let failure = watched.entry().last_error.clone().unwrap();
    assert_eq!((failure.step, failure.version), ("changed", Some(1)));
}

#[tokio::test(start_paused = true)]
async fn a_changed_version_is_fetched_once_a_load_permit_is_free() {
    let watched = Watched::new(3);
    watched.publish("churn").await;
    watched.reload().await;
    let permit = watched.context.load_permits.acquire().await.unwrap();
    std::fs::write(watched.file("churn/1/model.onnx"), artifact(77.0)).unwrap();
    let mut reload = std::pin::pin!(watched.reloader.reload());
    // With the only permit taken there is no answer, however long it is waited for.
    assert!(tokio::time::timeout(INTERVAL, &mut reload).await.is_err());
    assert!(watched.entry().last_error.is_none());
    drop(permit);
    reload.await.unwrap();
    assert_eq!(watched.entry().last_error.as_ref().unwrap().step, "changed");
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
        (watched.serving(), watched.entry().previous),
        (Some(1), None),
        "nobody goes back to what is deleted"
    );
}

#[tokio::test]
async fn a_rollback_after_a_start_from_the_cache_is_what_the_next_start_from_the_cache_serves() {
    let watched = Watched::with_cache(3);
    watched.publish("churn").await;
    watched.promote(1).await;
    watched.reload().await;
    watched.set_store(false);
    let watched = watched.restart().await;
    assert_eq!(watched.serving(), Some(1));
    assert!(watched.registry.repository_state().from_cache);

    watched.set_store(true);
    watched.publish("churn").await;
    for version in [2, 1] {
        watched.promote(version).await;
        watched.reload().await;
        assert_eq!(watched.serving(), Some(version));
    }
    watched.set_store(false);
    assert_eq!(watched.restart().await.serving(), Some(1));
}

#[tokio::test]
async fn a_start_from_the_cache_is_a_load_like_any_other() {
    let watched = Watched::with_cache(3);
    watched.publish("churn").await;
    watched.step("churn", Pointer::Pin, Move::To(1)).await;
    watched.reload().await;
    watched.set_store(false);
    let watched = watched.restart().await;
    let entry = watched.entry();
    assert_eq!(entry.serving.as_ref().unwrap().decided_by, DecidedBy::Pin);
    assert!(watched.is_counted(r#"onnward_swaps_total{model="churn",outcome="swapped",reason="pin"} 1"#));
    let served = watched.registry.get("churn").unwrap();
    watched.set_store(true);
    watched.reload().await;
    assert!(Arc::ptr_eq(&served, &watched.registry.get("churn").unwrap()), "nothing is loaded twice");
}

#[tokio::test]
async fn a_version_that_is_not_in_the_cache_any_more_is_a_failure_until_the_store_is_back() {
    let watched = Watched::with_cache(3);
    watched.publish("churn").await;
    watched.reload().await;
    watched.set_store(false);
    std::fs::remove_dir_all(watched.folder.path().join("cache/objects")).unwrap();
    let watched = watched.restart().await;
    let failure = watched.entry().last_error.clone().unwrap();
    assert_eq!((watched.serving(), failure.step, watched.entry().is_failing), (None, "fetch", true));
    watched.set_store(true);
    watched.reload().await;
    assert_eq!((watched.serving(), watched.entry().is_failing), (Some(1), false));
}

#[tokio::test]
async fn a_model_that_was_removed_while_the_engine_was_down_is_not_served_without_the_store() {
    let watched = Watched::with_cache(3);
    watched.publish("churn").await;
    watched.publish("bank").await;
    watched.reload().await;
    std::fs::remove_dir_all(watched.file("churn")).unwrap();
    let watched = watched.restart().await;
    assert!(watched.serving().is_none() && watched.registry.get("bank").is_some());
    watched.set_store(false);
    let watched = watched.restart().await;
    assert!(watched.serving().is_none() && watched.registry.get("bank").is_some());
}

/// An event of a model or its engine.
#[derive(Debug, Clone, Copy)]
enum Step {
    Publish,
    PublishBroken,
    Promote(u64),
    Pin(u64),
    Unpin,
    RestartWithStore,
    RestartWithoutStore,
}

fn any_step(random: &mut StdRng, versions: u64) -> Step {
    match random.random_range(0..9) {
        0 => Step::Publish,
        1 => Step::PublishBroken,
        2..=4 => Step::Promote(random.random_range(1..=versions)),
        5 => Step::Pin(random.random_range(1..=versions)),
        6 => Step::Unpin,
        7 => Step::RestartWithStore,
        _ => Step::RestartWithoutStore,
    }
}

#[tokio::test]
async fn a_start_without_the_store_serves_the_version_that_was_served_last_whatever_happened_before() {
    for seed in 0..16 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut watched = Watched::with_cache(random.random_range(1..=3));
        let mut steps = Vec::new();
        let mut versions = watched.publish("churn").await;
        watched.reload().await;
        let mut served = watched.serving();
        for _ in 0..12 {
            let step = any_step(&mut random, versions);
            steps.push(step);
            match step {
                Step::Publish => versions = watched.publish("churn").await,
                Step::PublishBroken => {
                    let bytes = format!("no model {versions}").into_bytes();
                    versions = watched.repository.publish("churn", bytes, None).await.unwrap().version;
                }
                Step::Promote(version) => watched.promote(version).await,
                Step::Pin(version) => watched.step("churn", Pointer::Pin, Move::To(version)).await,
                Step::Unpin => {
                    watched.step("churn", Pointer::Pin, Move::To(versions)).await;
                    watched.step("churn", Pointer::Pin, Move::Clear).await;
                }
                Step::RestartWithStore => watched = watched.restart().await,
                Step::RestartWithoutStore => {
                    watched.set_store(false);
                    watched = watched.restart().await;
                    assert_eq!(watched.serving(), served, "seed {seed}: {steps:?}");
                    watched.set_store(true);
                }
            }
            watched.reload().await;
            // An engine that started on a version that fails serves none, and the last one stays known.
            served = watched.serving().or(served);
        }
    }
}

/// Takes the permit for loads. Until it is dropped, no load ends.
async fn stuck(watched: &Watched) -> tokio::sync::OwnedSemaphorePermit {
    Arc::clone(&watched.context.load_permits).acquire_owned().await.unwrap()
}

/// Returns a watcher that serves `champion` of `versions` versions, with the permit for loads.
async fn stuck_with(champion: u64, versions: u64) -> (Watched, tokio::sync::OwnedSemaphorePermit) {
    let watched = Watched::new(4);
    for _ in 0..versions {
        watched.publish("churn").await;
    }
    watched.promote(champion).await;
    watched.reload().await;
    let permit = stuck(&watched).await;
    (watched, permit)
}

fn challenger() -> Pointer {
    Pointer::Alias("challenger".to_owned())
}

fn loading(watched: &Watched) -> Option<u64> {
    watched.entry().loading.as_ref().map(|loading| loading.version)
}

fn desired(watched: &Watched) -> Option<u64> {
    watched.entry().desired.as_ref().map(|target| target.version)
}

#[tokio::test(start_paused = true)]
async fn a_warm_version_serves_at_once_whatever_loads() {
    let watched = Watched::new(4);
    for version in 1..=3 {
        watched.publish("churn").await;
        if version < 3 {
            watched.promote(version).await;
            watched.reload().await;
        }
    }
    let permit = stuck(&watched).await;
    watched.step("churn", challenger(), Move::To(3)).await;
    sleep(INTERVAL * 4).await;
    assert_eq!((watched.serving(), loading(&watched)), (Some(2), Some(3)));
    for (step, version) in [(Move::Back, 1), (Move::To(2), 2), (Move::To(1), 1)] {
        watched.step("churn", champion(), step).await;
        let begun = Instant::now();
        watched.reload().await;
        assert!(begun.elapsed() < INTERVAL, "a reload does not wait for the challenger");
        let seen = (watched.serving(), desired(&watched), loading(&watched));
        assert_eq!(seen, (Some(version), Some(version), Some(3)), "{step:?}");
    }
    drop(permit);
    sleep(INTERVAL * 2).await;
    assert_eq!((watched.serving(), watched.entry().loaded_versions()), (Some(1), vec![1, 2, 3]));
    assert_eq!((loading(&watched), watched.entry().is_failing), (None, false));
}

#[tokio::test(start_paused = true)]
async fn a_load_for_another_version_than_the_target_gives_way_to_the_target() {
    let (watched, permit) = stuck_with(1, 3).await;
    watched.step("churn", challenger(), Move::To(2)).await;
    sleep(INTERVAL * 2).await;
    assert_eq!(loading(&watched), Some(2));
    watched.promote(3).await;
    sleep(INTERVAL * 2).await;
    assert_eq!((loading(&watched), desired(&watched), watched.serving()), (Some(3), Some(3), Some(1)));
    drop(permit);
    sleep(INTERVAL * 2).await;
    assert_eq!((watched.serving(), watched.entry().loaded_versions()), (Some(3), vec![1, 2, 3]));
}

#[tokio::test(start_paused = true)]
async fn the_load_of_a_promotion_that_was_rolled_back_is_abandoned() {
    let (watched, permit) = stuck_with(1, 2).await;
    watched.promote(2).await;
    sleep(INTERVAL * 2).await;
    assert_eq!((loading(&watched), desired(&watched)), (Some(2), Some(2)));
    watched.step("churn", champion(), Move::Back).await;
    sleep(INTERVAL * 2).await;
    assert_eq!((loading(&watched), desired(&watched), watched.serving()), (None, Some(1), Some(1)));
    drop(permit);
    sleep(INTERVAL * 2).await;
    assert_eq!((watched.serving(), watched.entry().loaded_versions()), (Some(1), vec![1]));
    assert!(!watched.entry().is_failing);
}

#[tokio::test]
async fn a_start_serves_what_was_served_last_until_the_target_is_there() {
    let watched = Watched::with_cache(3);
    watched.publish("churn").await;
    watched.reload().await;
    watched.publish("churn").await;
    let watched = watched.restart().await;
    assert_eq!((watched.serving(), watched.entry().previous), (Some(2), Some(1)));
}

#[tokio::test]
async fn a_start_with_an_alias_that_cannot_be_read_serves_what_was_served_last() {
    let watched = Watched::with_cache(3);
    watched.publish("churn").await;
    watched.promote(1).await;
    watched.reload().await;
    std::fs::write(watched.file("churn/aliases/champion/00000000000000000002.json"), "{").unwrap();
    let watched = watched.restart().await;
    assert_eq!((watched.serving(), watched.entry().is_failing), (Some(1), true));
}

#[tokio::test]
async fn a_warm_version_whose_files_were_changed_is_loaded_anew_when_it_is_to_be_served() {
    let watched = Watched::new(3);
    for version in 1..=2 {
        watched.publish("churn").await;
        watched.promote(version).await;
        watched.reload().await;
    }
    // As if the folder were a link that now leads to another repository.
    for file in ["model.onnx", "manifest.json"] {
        std::fs::copy(watched.file(&format!("churn/2/{file}")), watched.file(&format!("churn/1/{file}")))
            .unwrap();
    }
    watched.promote(1).await;
    watched.reload().await;
    let served = watched.registry.get("churn").unwrap();
    assert_eq!(served.version, 1);
    assert_eq!(served.sha256, watched.entry().version(2).unwrap().sha256);
}

#[tokio::test]
async fn a_model_that_nobody_promoted_is_not_served_where_that_is_required() {
    let folder = TempDir::new().unwrap();
    let repository = Repository::create(&config(&folder.path().join("models"))).unwrap();
    let watched = Watched::start_with(folder, repository, 3, false, |context| {
        let settings = WatchSettings::clone(&context.settings.load());
        let names = NamePatterns(vec!["chu*".to_owned()]);
        context.settings = ArcSwap::from_pointee(WatchSettings { required_alias: true, names, ..settings });
    });
    watched.publish("churn").await;
    watched.publish("bank").await;
    watched.reload().await;
    assert_eq!((watched.serving(), watched.registry.get("bank").is_some()), (None, false));
    let reason = watched.entry().last_error.clone().unwrap().reason;
    assert!(reason.contains("promote churn"), "{reason}");
    watched.promote(1).await;
    watched.reload().await;
    assert_eq!(watched.serving(), Some(1));
    // What is served stays, and a start would not serve it.
    watched.step("churn", champion(), Move::Clear).await;
    watched.reload().await;
    assert_eq!(watched.serving(), Some(1));
    assert!(watched.is_counted(r#"onnward_model_restart_at_risk{model="churn"} 1"#));
}

#[tokio::test(start_paused = true)]
async fn a_start_is_ready_with_what_was_served_last_if_the_target_takes_long() {
    let watched = Watched::with_cache(3);
    watched.publish("churn").await;
    watched.reload().await;
    watched.publish("churn").await;
    let Watched { folder, repository, .. } = watched;
    let watched = Watched::start(folder, repository, 3, true);
    while watched.serving().is_none() {
        sleep(Duration::from_millis(1)).await;
    }
    let _permit = stuck(&watched).await;
    sleep(INTERVAL * 2).await;
    assert!(watched.registry.is_loaded());
}

#[tokio::test]
async fn settings_that_change_hold_from_the_next_poll_on() {
    let watched = Watched::new(3);
    watched.publish("churn").await;
    watched.publish("bank").await;
    watched.reload().await;
    assert!(watched.serving() == Some(1) && watched.registry.get("bank").is_some());
    let mut settings = WatchSettings::clone(&watched.context.settings.load());
    settings.names = NamePatterns(vec!["churn".to_owned()]);
    settings.required_alias = true;
    watched.context.settings.store(Arc::new(settings));
    watched.publish("churn").await;
    watched.reload().await;
    assert_eq!((watched.serving(), watched.registry.get("bank").is_some()), (Some(1), false));
    watched.promote(2).await;
    watched.reload().await;
    assert_eq!(watched.serving(), Some(2));
}

#[tokio::test]
async fn a_new_engine_serves_what_the_alias_named_before_if_its_target_fails() {
    let watched = Watched::new(3);
    for version in 1..=3 {
        watched.publish("churn").await;
        watched.promote(version).await;
    }
    for version in [2, 3] {
        std::fs::write(watched.file(&format!("churn/{version}/model.onnx")), "not what was published")
            .unwrap();
    }
    let Watched { folder, repository, .. } = watched;
    let watched = Watched::start(folder, repository, 3, false);
    watched.reload().await;
    assert_eq!((watched.serving(), desired(&watched)), (Some(1), Some(3)));
    assert!(watched.entry().is_failing && watched.registry.is_loaded());
}

#[tokio::test(start_paused = true)]
async fn a_start_waits_for_a_failure_that_passes_and_for_no_other() {
    let watched = Watched::new(3);
    for model in ["churn", "bank", "wrong"] {
        watched.publish(model).await;
    }
    std::fs::write(watched.file("wrong/1/model.onnx"), "not what was published").unwrap();
    // A link to itself cannot be read, as a disk that fails cannot.
    let (file, away) = (watched.file("churn/1/model.onnx"), watched.file("churn/1/away.onnx"));
    std::fs::rename(&file, &away).unwrap();
    std::os::unix::fs::symlink("model.onnx", &file).unwrap();
    let Watched { folder, repository, .. } = watched;
    let watched = Watched::start(folder, repository, 3, false);
    while watched.registry.passing_failures().is_empty() {
        sleep(Duration::from_millis(1)).await;
    }
    sleep(3 * INTERVAL).await;
    assert!(watched.registry.get("bank").is_some() && !watched.registry.is_loaded());
    assert_eq!(watched.registry.passing_failures(), ["churn"]);
    std::fs::rename(&away, &file).unwrap();
    while !watched.registry.is_loaded() {
        sleep(Duration::from_millis(1)).await;
    }
    assert_eq!((watched.serving(), watched.registry.get("wrong").is_some()), (Some(1), false));
}
