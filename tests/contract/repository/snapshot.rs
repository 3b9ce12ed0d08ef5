//! Looking at a repository again and again.

use onnward_repository::{
    DEFAULT_ALIAS, ModelSnapshot, Move, Pointer, Repository, RepositoryConfig, RepositoryError, Stamp, Watch,
};
use tempfile::TempDir;

use super::{Place, alias};

pub async fn suite(place: &impl Fn(&str) -> Place) {
    a_snapshot_shows_what_there_is_now(place("look")).await;
    a_stamp_changes_with_every_file_that_an_engine_reads(place("stamp")).await;
    nothing_is_read_twice(place("twice")).await;
    one_bad_entry_blinds_one_model(place("bad-entry")).await;
    a_store_that_fails_is_no_empty_store(place("down")).await;
}

#[tokio::test]
async fn a_local_folder_that_has_gone_is_an_error_until_it_is_back() {
    let parent = TempDir::new().unwrap();
    let (folder, moved) = (parent.path().join("models"), parent.path().join("moved"));
    let config = RepositoryConfig { location: folder.display().to_string(), ..RepositoryConfig::default() };
    let place = Place::new(Repository::create(&config).unwrap());
    place.publish("churn").await;
    let mut watch = Watch::new(place.repository.clone());
    let before = churn(&mut watch).await;
    std::fs::rename(&folder, &moved).unwrap();
    let error = watch.snapshot().await.unwrap_err();
    assert!(matches!(error, RepositoryError::NotFound { .. }) && error.is_transient(), "{error}");
    std::fs::rename(&moved, &folder).unwrap();
    assert_eq!(churn(&mut watch).await, before);
}

async fn a_snapshot_shows_what_there_is_now(place: Place) {
    let mut watch = Watch::new(place.repository.clone());
    assert!(watch.snapshot().await.unwrap().models.is_empty());
    for _ in 0..3 {
        place.publish("churn").await;
    }
    place.put("churn/4/model.onnx", "half an upload").await;
    place.put("half/1/model.onnx", "half an upload").await;
    place.put("readme.txt", "not a model").await;
    let mut snapshot = watch.snapshot().await.unwrap();
    let half = snapshot.models.remove("half").unwrap().unwrap();
    assert!(half.versions.is_empty() && half.target(DEFAULT_ALIAS).is_none());
    let first = snapshot.models.remove("churn").unwrap().unwrap();
    assert_eq!((versions(&first), target(&first), snapshot.models.len()), (vec![1, 2, 3], 3, 0));

    place.step(&alias(DEFAULT_ALIAS), Move::To(1)).await.unwrap();
    place.step(&alias("challenger"), Move::To(2)).await.unwrap();
    let moved = churn(&mut watch).await;
    assert_eq!((target(&moved), moved.aliases["challenger"], moved.pin), (1, 2, None));
    place.step(&alias(DEFAULT_ALIAS), Move::To(3)).await.unwrap();
    assert_eq!(target(&churn(&mut watch).await), 3);
    place.step(&alias(DEFAULT_ALIAS), Move::Back).await.unwrap();
    assert_eq!(target(&churn(&mut watch).await), 1);
    place.step(&Pointer::Pin, Move::To(2)).await.unwrap();
    let pinned = churn(&mut watch).await;
    assert_eq!((target(&pinned), pinned.pin), (2, Some(2)));
    place.step(&Pointer::Pin, Move::Clear).await.unwrap();
    place.step(&alias("challenger"), Move::Clear).await.unwrap();
    place.delete("churn", 3).await;
    let last = churn(&mut watch).await;
    assert_eq!((versions(&last), last.aliases.len(), last.pin), (vec![1, 2], 1, None));
    assert_eq!(last.versions[&1], first.versions[&1], "nothing has happened to it");
}

async fn a_stamp_changes_with_every_file_that_an_engine_reads(place: Place) {
    place.publish("churn").await;
    place.publish("churn").await;
    let mut watch = Watch::new(place.repository.clone());
    let mut seen: Vec<Stamp> = vec![churn(&mut watch).await.versions[&1].clone()];
    let untouched = churn(&mut watch).await.versions[&2].clone();
    for (file, text) in [
        ("model.onnx", "the mOdel"),
        ("manifest.json", "{}"),
        ("config.toml", "a = 1"),
        ("config.toml", "a = 2"),
        ("signatures/release.json", "{}"),
    ] {
        place.put(&format!("churn/1/{file}"), text).await;
        let snapshot = churn(&mut watch).await;
        assert!(!seen.contains(&snapshot.versions[&1]), "{file}");
        assert_eq!(snapshot.versions[&2], untouched, "{file} of another version");
        seen.push(snapshot.versions[&1].clone());
    }
    place.put("churn/1/notes.txt", "nobody reads this").await;
    assert_eq!(seen.last(), Some(&churn(&mut watch).await.versions[&1]));
}

async fn nothing_is_read_twice(place: Place) {
    let (repository, store) = place.counted();
    for _ in 0..3 {
        place.publish("churn").await;
    }
    for version in [1, 2, 3] {
        place.step(&alias(DEFAULT_ALIAS), Move::To(version)).await.unwrap();
    }
    place.step(&Pointer::Pin, Move::To(2)).await.unwrap();
    let mut watch = Watch::new(repository);
    watch.snapshot().await.unwrap();
    let mut reads = store.reads();
    reads.sort();
    assert_eq!(
        reads,
        ["churn/aliases/champion/00000000000000000003.json", "churn/pin/00000000000000000001.json"]
    );
    store.listings();
    for _ in 0..3 {
        assert_eq!(target(&churn(&mut watch).await), 2);
    }
    assert_eq!((store.reads().len(), store.listings()), (0, 3));
    place.step(&alias(DEFAULT_ALIAS), Move::To(1)).await.unwrap();
    churn(&mut watch).await;
    assert_eq!(store.reads(), ["churn/aliases/champion/00000000000000000004.json"]);
}

async fn one_bad_entry_blinds_one_model(place: Place) {
    for model in ["churn", "bank", "shop"] {
        place.publish(model).await;
    }
    place.put("bank/aliases/champion/00000000000000000001.json", "no JSON").await;
    place.put("bank/pin/00000000000000000001.json", r#"{"version": null, "created": "", "id": ""}"#).await;
    place.put("shop/pin/00000000000000000001.json", &"x".repeat(100_000)).await;
    let mut watch = Watch::new(place.repository.clone());
    for _ in 0..2 {
        let mut snapshot = watch.snapshot().await.unwrap();
        assert_eq!(target(&snapshot.models.remove("churn").unwrap().unwrap()), 1);
        for (model, expected) in [("bank", "bank/aliases/champion"), ("shop", "100000 bytes")] {
            let found = snapshot.models.remove(model).unwrap().unwrap();
            assert!(found.problem(DEFAULT_ALIAS).unwrap().contains(expected), "{found:?}");
            // Who follows another alias is not concerned, unless the pin is what cannot be read.
            assert_eq!(found.problem("challenger").is_some(), model == "shop");
        }
    }
    place
        .put("bank/aliases/champion/00000000000000000002.json", r#"{"version": 1, "created": "", "id": ""}"#)
        .await;
    let found = watch.snapshot().await.unwrap().models.remove("bank").unwrap().unwrap();
    assert_eq!(found.problem(DEFAULT_ALIAS), None, "a later entry holds");
    place.put("bank/aliases/champion/00000000000000000003.json", "no JSON").await;
    place.put("bank/pin/00000000000000000002.json", r#"{"version": 1, "created": "", "id": ""}"#).await;
    let found = watch.snapshot().await.unwrap().models.remove("bank").unwrap().unwrap();
    assert_eq!((found.problem(DEFAULT_ALIAS), target(&found)), (None, 1), "the pin decides");
}

async fn a_store_that_fails_is_no_empty_store(place: Place) {
    let (repository, store) = place.counted();
    place.publish("churn").await;
    let mut watch = Watch::new(repository);
    let before = churn(&mut watch).await;
    store.set_down(true);
    assert!(watch.snapshot().await.unwrap_err().is_transient());
    store.set_down(false);
    assert_eq!(churn(&mut watch).await, before);
}

async fn churn(watch: &mut Watch) -> ModelSnapshot {
    watch.snapshot().await.unwrap().models.remove("churn").unwrap().unwrap()
}

fn versions(snapshot: &ModelSnapshot) -> Vec<u64> {
    snapshot.versions.keys().copied().collect()
}

fn target(snapshot: &ModelSnapshot) -> u64 {
    snapshot.target(DEFAULT_ALIAS).unwrap().version
}
