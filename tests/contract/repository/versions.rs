//! Publishing versions and reading them back.

use object_store::ObjectStoreExt;
use object_store::path::Path;
use onnward_repository::{
    DEFAULT_ALIAS, Move, Pointer, Repository, RepositoryConfig, RepositoryError, Secret,
};
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::{Place, alias};
use crate::support::seaweedfs::SeaweedFs;

pub async fn suite(place: &impl Fn(&str) -> Place) {
    versions_count_up_and_are_read_back(place("versions")).await;
    what_is_not_a_whole_version_does_not_exist(place("parts")).await;
    a_file_that_its_manifest_does_not_describe_is_refused(place("mismatch")).await;
    publishers_at_once_get_a_version_each(place("publishers")).await;
    names_that_could_leave_the_repository_are_refused(place("names")).await;
    a_plan_changes_nothing(place("plan")).await;
}

#[tokio::test]
async fn a_plan_for_a_folder_that_cannot_be_made_says_so() {
    let folder = TempDir::new().unwrap();
    let config = |inside: &str| {
        let location = folder.path().join(inside).display().to_string();
        RepositoryConfig { location, ..RepositoryConfig::default() }
    };
    let repository = Repository::open_or_empty(&config("a/b")).unwrap();
    assert_eq!(repository.plan_publish("churn", b"the model", None).await.unwrap().version, 1);
    assert!(!folder.path().join("a").exists());
    std::fs::write(folder.path().join("file"), "").unwrap();
    let message = Repository::open_or_empty(&config("file/models")).unwrap_err().to_string();
    assert!(message.contains("cannot open the model repository"), "{message}");
}

async fn versions_count_up_and_are_read_back(place: Place) {
    for version in 1..=11 {
        assert_eq!(place.publish("churn").await, version);
    }
    place.publish("bank").await;
    assert_eq!(place.repository.models().await.unwrap(), ["bank", "churn"]);
    let status = place.repository.status("churn").await.unwrap();
    let versions: Vec<u64> = status.versions.iter().map(|found| found.version).collect();
    assert_eq!(versions, [11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1]);
    let fetched = place.fetch("churn", 11).await.unwrap();
    assert_eq!(fetched.bytes, b"the model");
    assert_eq!(Some(&fetched.manifest), status.versions[0].manifest.as_ref());
    assert_eq!(fetched.manifest.fingerprint.as_deref(), Some("print"));
    assert!(matches!(place.repository.status("nobody").await, Err(RepositoryError::NoModel { .. })));
}

async fn what_is_not_a_whole_version_does_not_exist(place: Place) {
    place.publish("churn").await;
    let manifest = place.get("churn/1/manifest.json").await;
    place.put("churn/2/model.onnx", "half an upload").await;
    for folder in ["01", "007", "latest", "-3", "1.5", "0"] {
        place.put(&format!("churn/{folder}/model.onnx"), "the model").await;
        place.put(&format!("churn/{folder}/manifest.json"), &manifest).await;
    }
    place.put("Not A Model/1/manifest.json", &manifest).await;
    assert_eq!(place.repository.models().await.unwrap(), ["churn"]);
    assert_eq!(place.target("churn", DEFAULT_ALIAS).await.unwrap().version, 1);
    assert_eq!(place.versions("churn").await, [1]);
    let refused = place.fetch("churn", 2).await;
    assert!(matches!(refused, Err(RepositoryError::UnknownVersion { version: 2, .. })));
    assert_eq!(place.publish("churn").await, 3, "a half upload's number is taken");
    place.put("half/1/model.onnx", "half an upload").await;
    assert_eq!(place.target("half", DEFAULT_ALIAS).await, None);
}

async fn a_file_that_its_manifest_does_not_describe_is_refused(place: Place) {
    for _ in 0..4 {
        place.publish("churn").await;
    }
    place.put("churn/1/model.onnx", "another").await;
    place.put("churn/2/model.onnx", "the mOdel").await;
    place.store.delete(&Path::from("churn/3/model.onnx")).await.unwrap();
    place.put("churn/4/manifest.json", "no manifest").await;
    for (version, expected) in
        [(1, "7 bytes instead of 9"), (2, "sha256"), (3, "does not exist"), (4, "manifest.json")]
    {
        let message = place.fetch("churn", version).await.unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
    let status = place.repository.status("churn").await.unwrap();
    assert!(status.versions[0].problem.is_some(), "a broken manifest does not hide the other versions");
}

async fn publishers_at_once_get_a_version_each(place: Place) {
    let mut publishers = JoinSet::new();
    for _ in 0..12 {
        let place = place.clone();
        publishers.spawn(async move { place.publish("churn").await });
    }
    let mut versions = publishers.join_all().await;
    versions.sort_unstable();
    assert_eq!(versions, (1..=12).collect::<Vec<u64>>());
    for version in versions {
        place.fetch("churn", version).await.unwrap();
    }
}

async fn names_that_could_leave_the_repository_are_refused(place: Place) {
    place.publish("churn").await;
    for name in ["../churn", "", "a/b", "Churn"] {
        let published = place.repository.publish(name, b"the model".to_vec(), None).await;
        assert!(matches!(published, Err(RepositoryError::Name(_))), "{name:?}");
        let moved = place.repository.plan_move("churn", &alias(name), Move::To(1)).await;
        assert!(matches!(moved, Err(RepositoryError::Name(_))), "{name:?}");
        assert!(place.fetch(name, 1).await.is_err());
    }
}

async fn a_plan_changes_nothing(place: Place) {
    for _ in 0..3 {
        place.publish("churn").await;
    }
    place.step(&alias("champion"), Move::To(1)).await.unwrap();
    place.step(&alias("champion"), Move::To(2)).await.unwrap();
    let before = place.files().await;
    let repository = &place.repository;
    assert_eq!(repository.plan_publish("churn", b"the model", None).await.unwrap().version, 4);
    for step in [Move::To(3), Move::Back, Move::Clear] {
        assert!(repository.plan_move("churn", &alias("champion"), step).await.unwrap().changes);
    }
    repository.plan_move("churn", &Pointer::Pin, Move::To(3)).await.unwrap();
    repository.plan_deletion("churn", 3).await.unwrap();
    repository.plan_gc("churn", 1).await.unwrap();
    assert_eq!(place.files().await, before);
}

pub async fn bad_keys_are_refused_in_one_sentence(server: &SeaweedFs) {
    let mut config = server.config("some");
    config.s3.secret_access_key = Some(Secret::from("wrong"));
    let message = Repository::open(&config).unwrap().models().await.unwrap_err().to_string();
    assert!(message.contains("secret access key") && !message.contains(['\n', '<']), "{message}");
    let nowhere =
        RepositoryConfig { location: "s3://no-such-bucket/models".to_owned(), ..server.config("some") };
    let message = Repository::open(&nowhere).unwrap().publish("churn", b"the model".to_vec(), None).await;
    let message = message.unwrap_err().to_string();
    assert!(message.contains("check the") && !message.contains(['\n', '<']), "{message}");
}
