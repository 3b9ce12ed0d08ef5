//! Fetching versions through a cache.

use std::fs;
use std::path::{Path, PathBuf};

use onnward_repository::{
    Cache, CacheRecord, DEFAULT_ALIAS, DecidedBy, Fetcher, LastKnownGood, RepositoryError, Target,
};
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::Place;

const PLENTY: u64 = 1 << 20;

pub async fn suite(place: &impl Fn(&str) -> Place) {
    what_is_in_the_cache_is_not_asked_of_the_store(place("cached")).await;
    everything_of_a_version_is_read(place("texts")).await;
    a_manifest_that_was_made_by_hand_is_read(place("by-hand")).await;
    a_damaged_file_of_the_cache_is_fetched_again(place("damaged")).await;
    what_its_manifest_does_not_describe_is_not_kept(place("not-kept")).await;
    fetchers_at_once_share_a_cache(place("shared")).await;
    a_cache_that_cannot_be_written_holds_nobody_up(place("unwritable")).await;
    what_was_served_last_is_loaded_without_the_store(place("last-known-good")).await;
    one_bound_holds_for_every_way_to_fetch(place("bound")).await;
}

async fn what_is_in_the_cache_is_not_asked_of_the_store(place: Place) {
    let (repository, store) = place.counted();
    let folder = TempDir::new().unwrap();
    place.publish("churn").await;
    place.publish("churn").await;
    place.publish("bank").await;
    let is_artifact = |path: &String| path.ends_with("model.onnx");
    let fetcher = Fetcher::new(repository.clone(), Some(Cache::open(folder.path(), PLENTY).unwrap()), PLENTY);
    assert!(!fetcher.fetch("churn", 1).await.unwrap().from_cache);
    assert_eq!(store.reads().into_iter().filter(is_artifact).count(), 1);
    // An engine that starts again, on the same version and on others with the same bytes.
    let fetcher = Fetcher::new(repository, Some(Cache::open(folder.path(), PLENTY).unwrap()), PLENTY);
    for (model, version) in [("churn", 1), ("churn", 2), ("bank", 1)] {
        let fetched = fetcher.fetch(model, version).await.unwrap();
        assert_eq!((fetched.bytes.as_slice(), fetched.from_cache), (b"the model".as_slice(), true));
    }
    assert_eq!(store.reads().into_iter().filter(is_artifact).count(), 0);
}

async fn everything_of_a_version_is_read(place: Place) {
    place.publish("churn").await;
    place.put("churn/1/config.toml", "a = 1").await;
    place.put("churn/1/signatures/b.json", "second").await;
    place.put("churn/1/signatures/a.json", "first").await;
    place.put("churn/1/signatures/notes.txt", "no signature").await;
    let fetched = place.fetch("churn", 1).await.unwrap();
    assert_eq!(fetched.signatures, ["first", "second"]);
    assert_eq!(fetched.config.as_deref(), Some("a = 1"));
    assert_eq!(fetched.manifest_text, place.get("churn/1/manifest.json").await);
    place.put("churn/1/config.toml", &"x".repeat(1 << 20)).await;
    let refused = place.fetch("churn", 1).await;
    assert!(matches!(refused, Err(RepositoryError::TooLarge { .. })));
}

/// Tools on Windows write a byte order mark, and digests in upper case. The text stays what it is, since
/// signatures cover it.
async fn a_manifest_that_was_made_by_hand_is_read(place: Place) {
    let folder = TempDir::new().unwrap();
    place.publish("churn").await;
    let manifest = place.get("churn/1/manifest.json").await;
    let digest = manifest.split('"').find(|text| text.len() == 64).unwrap();
    let by_hand = format!("\u{feff}{}", manifest.replace(digest, &digest.to_uppercase()));
    place.put("churn/1/manifest.json", &by_hand).await;
    let fetcher = fetcher(&place, folder.path());
    for from_cache in [false, true] {
        let fetched = fetcher.fetch("churn", 1).await.unwrap();
        assert_eq!((fetched.manifest.sha256.as_str(), fetched.from_cache), (digest, from_cache));
        assert_eq!(fetched.manifest_text, by_hand);
    }
}

async fn a_damaged_file_of_the_cache_is_fetched_again(place: Place) {
    let folder = TempDir::new().unwrap();
    place.publish("churn").await;
    let fetcher = fetcher(&place, folder.path());
    fetcher.fetch("churn", 1).await.unwrap();
    let [object] = objects(folder.path()).try_into().unwrap();
    for damage in ["", "the mod", "the mOdel", "the model and more"] {
        fs::write(&object, damage).unwrap();
        let fetched = fetcher.fetch("churn", 1).await.unwrap();
        assert_eq!(
            (fetched.bytes.as_slice(), fetched.from_cache),
            (b"the model".as_slice(), false),
            "{damage:?}"
        );
        assert_eq!(fs::read(&object).unwrap(), b"the model", "{damage:?}");
        assert!(fetcher.fetch("churn", 1).await.unwrap().from_cache, "{damage:?}");
    }
}

async fn what_its_manifest_does_not_describe_is_not_kept(place: Place) {
    let folder = TempDir::new().unwrap();
    let fetcher = fetcher(&place, folder.path());
    for _ in 0..3 {
        place.publish("churn").await;
    }
    place.put("churn/1/model.onnx", "the mOdel").await;
    place.put("churn/2/model.onnx", "the model and more").await;
    let manifest = place.get("churn/3/manifest.json").await;
    let digest = manifest.split('"').find(|text| text.len() == 64).unwrap();
    place.put("churn/3/manifest.json", &manifest.replace(digest, "../../escaped")).await;
    for version in 1..=3 {
        let refused = fetcher.fetch("churn", version).await;
        assert!(matches!(refused, Err(RepositoryError::Mismatch { .. })), "{version}");
    }
    // A size that is not that of the digest's file, which the cache has.
    place.publish("bank").await;
    fetcher.fetch("bank", 1).await.unwrap();
    let manifest = place.get("bank/1/manifest.json").await;
    place.put("bank/1/manifest.json", &manifest.replace("\"size_bytes\": 9", "\"size_bytes\": 10")).await;
    assert!(matches!(fetcher.fetch("bank", 1).await, Err(RepositoryError::Mismatch { .. })));
    assert_eq!(objects(folder.path()).len(), 1);
}

async fn fetchers_at_once_share_a_cache(place: Place) {
    const ENGINES: u64 = 8;
    for _ in 0..ENGINES {
        place.publish("churn").await;
    }
    let folder = TempDir::new().unwrap();
    let mut engines = JoinSet::new();
    for version in 1..=ENGINES {
        let (place, folder) = (place.clone(), folder.path().to_owned());
        engines.spawn(async move { fetcher(&place, &folder).fetch("churn", version).await.unwrap().bytes });
    }
    for bytes in engines.join_all().await {
        assert_eq!(bytes, b"the model");
    }
    assert_eq!(objects(folder.path()).len(), 1);
    assert_eq!(fs::read_dir(folder.path().join("partial")).unwrap().count(), 0);
}

async fn a_cache_that_cannot_be_written_holds_nobody_up(place: Place) {
    let folder = TempDir::new().unwrap();
    place.publish("churn").await;
    let fetcher = fetcher(&place, folder.path());
    let objects = folder.path().join("objects");
    fs::remove_dir(&objects).unwrap();
    fs::write(&objects, "in the way").unwrap();
    for _ in 0..2 {
        let fetched = fetcher.fetch("churn", 1).await.unwrap();
        assert_eq!((fetched.bytes.as_slice(), fetched.from_cache), (b"the model".as_slice(), false));
    }
    let message = Cache::open(folder.path(), PLENTY).unwrap_err().to_string();
    assert!(message.contains("may write"), "{message}");
    fs::remove_file(&objects).unwrap();
    fetcher.fetch("churn", 1).await.unwrap();
    assert!(fetcher.fetch("churn", 1).await.unwrap().from_cache, "it recovers by itself");
}

async fn what_was_served_last_is_loaded_without_the_store(place: Place) {
    let (repository, store) = place.counted();
    let folder = TempDir::new().unwrap();
    place.publish("churn").await;
    place.put("churn/1/config.toml", "a = 1").await;
    let cache = || Some(Cache::open(folder.path(), PLENTY).unwrap());
    let fetcher = Fetcher::new(repository.clone(), cache(), PLENTY);
    assert_eq!(fetcher.load_last_known_good(DEFAULT_ALIAS).await, None);
    let fetched = fetcher.fetch("churn", 1).await.unwrap();
    let target = Target { version: 1, decided_by: DecidedBy::Alias { alias: DEFAULT_ALIAS.to_owned() } };
    let model = CacheRecord::new(target, &fetched);
    let models = [("churn".to_owned(), model.clone())].into();
    let served = LastKnownGood { models, ..LastKnownGood::default() };
    fetcher.save_last_known_good(DEFAULT_ALIAS, &served).await;

    store.set_down(true);
    let fetcher = Fetcher::new(repository, cache(), PLENTY);
    assert!(fetcher.fetch("churn", 1).await.unwrap_err().is_transient());
    assert_eq!(fetcher.load_last_known_good(DEFAULT_ALIAS).await.as_ref(), Some(&served));
    assert_eq!(
        fetcher.load_last_known_good("challenger").await,
        None,
        "another engine serves another version"
    );
    let again = fetcher.fetch_cached("churn", &model).await.unwrap();
    assert_eq!((&again.bytes, &again.manifest, again.from_cache), (&fetched.bytes, &fetched.manifest, true));
    assert_eq!((again.manifest_text, again.config), (fetched.manifest_text, fetched.config));

    fs::write(objects(folder.path()).first().unwrap(), "damaged").unwrap();
    let refused = fetcher.fetch_cached("churn", &model).await;
    assert!(matches!(refused, Err(RepositoryError::NotCached { version: 1, .. })));
    let [state] = files(&folder.path().join("state")).try_into().unwrap();
    let text = fs::read_to_string(&state).unwrap();
    for damage in [&text[..text.len() / 2], &text.replace("\"format\": 1", "\"format\": 0"), ""] {
        fs::write(&state, damage).unwrap();
        assert_eq!(fetcher.load_last_known_good(DEFAULT_ALIAS).await, None, "{damage}");
    }
}

async fn one_bound_holds_for_every_way_to_fetch(place: Place) {
    const BOUND: u64 = 8;
    let folder = TempDir::new().unwrap();
    place.publish("churn").await;
    // A cache that has the artifact from a fetcher with a larger bound.
    let fetched = fetcher(&place, folder.path()).fetch("churn", 1).await.unwrap();
    let target = Target { version: 1, decided_by: DecidedBy::HighestVersion };
    let record = CacheRecord::new(target, &fetched);
    let cache = Cache::open(folder.path(), PLENTY).unwrap();
    let bounded = Fetcher::new(place.repository.clone(), Some(cache), BOUND);
    for refused in [
        bounded.fetch("churn", 1).await,
        bounded.fetch_from_store("churn", 1).await,
        bounded.fetch_cached("churn", &record).await,
    ] {
        let error = refused.unwrap_err();
        assert!(matches!(error, RepositoryError::ModelTooLarge { size: 9, limit: BOUND, .. }), "{error}");
        assert!(error.to_string().contains("9 bytes, more than the 8 "), "{error}");
    }
}

fn fetcher(place: &Place, folder: &Path) -> Fetcher {
    Fetcher::new(place.repository.clone(), Some(Cache::open(folder, PLENTY).unwrap()), PLENTY)
}

fn objects(folder: &Path) -> Vec<PathBuf> {
    files(&folder.join("objects"))
}

fn files(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}
