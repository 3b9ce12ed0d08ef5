//! One suite for the model repository, run on every kind of store: memory, a local folder and a real S3 server.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::TryStreamExt;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use onnward_repository::{
    DEFAULT_ALIAS, DecidedBy, Move, Pointer, Repository, RepositoryConfig, RepositoryError, Secret,
};
use tempfile::TempDir;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::seaweedfs::SeaweedFs;

/// A repository with the store that it lies in, to damage it.
#[derive(Clone)]
struct Place {
    repository: Repository,
    store: Arc<dyn ObjectStore>,
}

#[tokio::test(flavor = "multi_thread")]
async fn in_memory_it_does_what_it_promises() {
    suite(|_| Place::new(Repository::from_store(Arc::new(InMemory::new())))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_local_disk_it_does_what_it_promises() {
    let folder = TempDir::new().unwrap();
    suite(|case| {
        let location = format!("file://{}", folder.path().join(case).display());
        Place::new(Repository::create(&RepositoryConfig { location, ..RepositoryConfig::default() }).unwrap())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_an_s3_server_it_does_what_it_promises() {
    let Some(server) = tokio::task::spawn_blocking(SeaweedFs::start).await.unwrap() else { return };
    suite(|case| Place::new(Repository::open(&server.config(&format!("some/prefix/{case}"))).unwrap())).await;
    bad_keys_are_refused_in_one_sentence(&server).await;
}

async fn suite(place: impl Fn(&str) -> Place) {
    versions_count_up_and_are_read_back(place("versions")).await;
    what_is_not_a_whole_version_does_not_exist(place("parts")).await;
    a_file_that_its_manifest_does_not_describe_is_refused(place("mismatch")).await;
    publishers_at_once_get_a_version_each(place("publishers")).await;
    names_that_could_leave_the_repository_are_refused(place("names")).await;
    an_alias_is_set_moved_rolled_back_and_deleted(place("alias")).await;
    of_many_who_move_an_alias_at_once_one_wins(place("race")).await;
    a_pin_decides_before_the_alias_and_the_alias_before_the_number(place("target")).await;
    what_is_named_is_never_deleted(place("protected")).await;
    a_number_is_never_given_twice(place("numbers")).await;
    gc_keeps_what_is_new_or_named(place("gc")).await;
    a_deletion_that_was_cut_short_ends(place("cut-short")).await;
    deletions_and_promotions_at_once_leave_no_alias_without_its_version(place("both")).await;
    a_plan_changes_nothing(place("plan")).await;
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
    let fetched = place.repository.fetch("churn", 11).await.unwrap();
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
    assert_eq!(place.repository.target("churn", DEFAULT_ALIAS).await.unwrap().version, 1);
    assert_eq!(place.versions("churn").await, [1]);
    let refused = place.repository.fetch("churn", 2).await;
    assert!(matches!(refused, Err(RepositoryError::UnknownVersion { version: 2, .. })));
    assert_eq!(place.publish("churn").await, 3, "a half upload's number is taken");
    place.put("half/1/model.onnx", "half an upload").await;
    assert!(matches!(place.repository.target("half", DEFAULT_ALIAS).await, Err(RepositoryError::NoVersion)));
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
        [(1, "7 bytes instead of 9"), (2, "sha256"), (3, "not there"), (4, "manifest.json")]
    {
        let message = place.repository.fetch("churn", version).await.unwrap_err().to_string();
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
        place.repository.fetch("churn", version).await.unwrap();
    }
}

async fn names_that_could_leave_the_repository_are_refused(place: Place) {
    place.publish("churn").await;
    for name in ["../churn", "", "a/b", "Churn"] {
        let published = place.repository.publish(name, b"the model".to_vec(), None).await;
        assert!(matches!(published, Err(RepositoryError::Name(_))), "{name:?}");
        let moved = place.repository.plan_move("churn", &alias(name), Move::To(1)).await;
        assert!(matches!(moved, Err(RepositoryError::Name(_))), "{name:?}");
        assert!(place.repository.fetch(name, 1).await.is_err());
    }
}

async fn an_alias_is_set_moved_rolled_back_and_deleted(place: Place) {
    for _ in 0..3 {
        place.publish("churn").await;
    }
    let champion = alias("champion");
    for step in [Move::Back, Move::Clear] {
        let refused = place.step(&champion, step).await;
        assert!(matches!(refused, Err(RepositoryError::NotSet { .. })));
    }
    let refused = place.step(&champion, Move::To(4)).await;
    assert!(matches!(refused, Err(RepositoryError::UnknownVersion { version: 4, .. })));
    for version in [1, 2, 3, 3] {
        place.step(&champion, Move::To(version)).await.unwrap();
    }
    assert_eq!(place.named(&champion).await, Some((3, Some(2))), "naming it twice is naming it once");
    assert_eq!(place.step(&champion, Move::Back).await.unwrap(), Some(2));
    assert_eq!(place.step(&champion, Move::Back).await.unwrap(), Some(1));
    let refused = place.step(&champion, Move::Back).await;
    assert!(matches!(refused, Err(RepositoryError::NoHistory { version: 1, .. })));
    place.step(&champion, Move::To(3)).await.unwrap();
    assert_eq!(place.step(&champion, Move::Back).await.unwrap(), Some(1), "back to what was before");
    place.step(&alias("challenger"), Move::To(2)).await.unwrap();
    place.step(&champion, Move::Clear).await.unwrap();
    assert_eq!(place.named(&champion).await, None);
    assert_eq!(place.named(&alias("challenger")).await, Some((2, None)));
    assert!(matches!(place.step(&champion, Move::Back).await, Err(RepositoryError::NotSet { .. })));
    place.step(&champion, Move::To(2)).await.unwrap();
    assert_eq!(place.named(&champion).await, Some((2, None)), "a deleted alias begins anew");
}

async fn of_many_who_move_an_alias_at_once_one_wins(place: Place) {
    const PEOPLE: u64 = 12;
    const STEPS: usize = 4;
    for _ in 0..PEOPLE {
        place.publish("churn").await;
    }
    for pointer in [alias("champion"), Pointer::Pin] {
        for step in 0..STEPS {
            let before = place.state(&pointer).await;
            let all_have_planned = Arc::new(Barrier::new(PEOPLE as usize));
            let mut people = JoinSet::new();
            // Whoever names the version that is named already has nothing to do.
            for version in (1..=PEOPLE).filter(|version| Some(*version) != before) {
                let (place, pointer) = (place.clone(), pointer.clone());
                let barrier = Arc::clone(&all_have_planned);
                people.spawn(async move {
                    let change =
                        place.repository.plan_move("churn", &pointer, Move::To(version)).await.unwrap();
                    barrier.wait().await;
                    (version, place.repository.apply_move(&change).await)
                });
            }
            if before.is_some() {
                all_have_planned.wait().await;
            }
            let results = people.join_all().await;
            let winners: Vec<u64> =
                results.iter().filter(|(_, result)| result.is_ok()).map(|(version, _)| *version).collect();
            assert_eq!(winners.len(), 1, "{pointer}, step {step}: {results:?}");
            let lost = |result: &Result<(), RepositoryError>| {
                matches!(result, Ok(()) | Err(RepositoryError::Conflict { .. }))
            };
            assert!(results.iter().all(|(_, result)| lost(result)), "{results:?}");
            assert_eq!(place.state(&pointer).await, Some(winners[0]));
        }
    }
    let entries = place.files().await.into_keys().filter(|path| path.starts_with("churn/aliases/champion/"));
    assert_eq!(entries.count(), STEPS, "who lost has written nothing");
}

async fn a_pin_decides_before_the_alias_and_the_alias_before_the_number(place: Place) {
    for _ in 0..3 {
        place.publish("churn").await;
    }
    let target = async |alias: &str| {
        let target = place.repository.target("churn", alias).await.unwrap();
        (target.version, target.decided_by)
    };
    let by_champion = DecidedBy::Alias { alias: "champion".to_owned() };
    assert_eq!(target("champion").await, (3, DecidedBy::HighestVersion));
    place.step(&alias("champion"), Move::To(2)).await.unwrap();
    assert_eq!(target("champion").await, (2, by_champion.clone()));
    assert_eq!(target("challenger").await, (3, DecidedBy::HighestVersion));
    place.step(&Pointer::Pin, Move::To(1)).await.unwrap();
    assert_eq!(target("champion").await, (1, DecidedBy::Pin));
    place.step(&Pointer::Pin, Move::Clear).await.unwrap();
    assert_eq!(target("champion").await, (2, by_champion));
    place.step(&alias("champion"), Move::Clear).await.unwrap();
    assert_eq!(target("champion").await, (3, DecidedBy::HighestVersion));
}

async fn what_is_named_is_never_deleted(place: Place) {
    for _ in 0..4 {
        place.publish("churn").await;
    }
    place.step(&alias("champion"), Move::To(1)).await.unwrap();
    place.step(&alias("champion"), Move::To(2)).await.unwrap();
    place.step(&Pointer::Pin, Move::To(3)).await.unwrap();
    let before = place.files().await;
    for (version, expected) in
        [(1, "rollback of the alias champion"), (2, "alias champion names"), (3, "pinned")]
    {
        let message = place.repository.plan_deletion("churn", version).await.unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
    // The version comes into use after the look at it.
    let deletion = place.repository.plan_deletion("churn", 4).await.unwrap();
    place.step(&alias("challenger"), Move::To(4)).await.unwrap();
    let refused = place.repository.apply_deletion(&deletion).await;
    assert!(matches!(refused, Err(RepositoryError::InUse { version: 4, .. })));
    place.repository.fetch("churn", 4).await.unwrap();
    let mut after = place.files().await;
    after.retain(|path, _| !path.starts_with("churn/aliases/challenger/"));
    assert_eq!(after, before);
    let missing = place.repository.plan_deletion("churn", 9).await;
    assert!(matches!(missing, Err(RepositoryError::UnknownVersion { .. })));
}

async fn a_number_is_never_given_twice(place: Place) {
    for _ in 0..3 {
        place.publish("churn").await;
    }
    place.delete("churn", 3).await;
    assert_eq!(place.versions("churn").await, [2, 1]);
    assert!(matches!(place.repository.fetch("churn", 3).await, Err(RepositoryError::UnknownVersion { .. })));
    assert_eq!(place.publish("churn").await, 4);
}

async fn gc_keeps_what_is_new_or_named(place: Place) {
    for _ in 0..9 {
        place.publish("churn").await;
    }
    for version in [1, 2, 3] {
        place.step(&alias("champion"), Move::To(version)).await.unwrap();
    }
    place.step(&alias("challenger"), Move::To(4)).await.unwrap();
    place.step(&Pointer::Pin, Move::To(5)).await.unwrap();
    place.put("churn/10/model.onnx", "on its way").await;
    let plan = place.repository.plan_gc("churn", 2).await.unwrap();
    let versions: Vec<u64> = plan.iter().map(|deletion| deletion.version).collect();
    assert_eq!(versions, [1, 6, 7], "kept are 2 to roll back to, 3, 4 and 5 by name, 8 and 9 as the newest");
    assert_eq!(place.versions("churn").await.len(), 9, "a plan deletes nothing");
    for deletion in &plan {
        place.repository.apply_deletion(deletion).await.unwrap();
    }
    assert_eq!(place.versions("churn").await, [9, 8, 5, 4, 3, 2]);
    assert!(place.files().await.contains_key("churn/10/model.onnx"), "it may still become a version");
    assert!(place.repository.plan_gc("churn", 2).await.unwrap().is_empty());
}

async fn a_deletion_that_was_cut_short_ends(place: Place) {
    for _ in 0..2 {
        place.publish("churn").await;
    }
    place.put("churn/1/deleted.json", "{}").await;
    place.put("churn/2/deleted.json", "{}").await;
    assert!(place.versions("churn").await.is_empty());
    let refused = place.step(&alias("champion"), Move::To(1)).await;
    assert!(matches!(refused, Err(RepositoryError::UnknownVersion { .. })));
    place.delete("churn", 1).await;
    for deletion in place.repository.plan_gc("churn", 5).await.unwrap() {
        place.repository.apply_deletion(&deletion).await.unwrap();
    }
    let files: Vec<String> = place.files().await.into_keys().collect();
    assert_eq!(files, ["churn/1/deleted.json", "churn/2/deleted.json"]);
}

async fn deletions_and_promotions_at_once_leave_no_alias_without_its_version(place: Place) {
    const ROUNDS: u64 = 10;
    place.publish("churn").await;
    place.step(&alias("champion"), Move::To(1)).await.unwrap();
    for round in 0..ROUNDS {
        let version = place.publish("churn").await;
        let named = place.state(&alias("champion")).await;
        let deletion = place.repository.plan_deletion("churn", version).await.unwrap();
        let change =
            place.repository.plan_move("churn", &alias("champion"), Move::To(version)).await.unwrap();
        let (deleter, promoter) = (place.clone(), place.clone());
        let deleting = tokio::spawn(async move { deleter.repository.apply_deletion(&deletion).await });
        let promoting = tokio::spawn(async move { promoter.repository.apply_move(&change).await });
        let (deleted, promoted) = (deleting.await.unwrap(), promoting.await.unwrap());
        assert!(deleted.is_err() || promoted.is_err(), "round {round}: both came through");
        let champion = place.state(&alias("champion")).await;
        assert_eq!(champion, if promoted.is_ok() { Some(version) } else { named }, "round {round}");
        place.repository.fetch("churn", champion.unwrap()).await.unwrap();
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

async fn bad_keys_are_refused_in_one_sentence(server: &SeaweedFs) {
    let mut config = server.config("some");
    config.s3.secret_access_key = Some(Secret::from("wrong"));
    let message = Repository::open(&config).unwrap().models().await.unwrap_err().to_string();
    assert!(message.contains("credentials") && !message.contains(['\n', '<']), "{message}");
    let nowhere =
        RepositoryConfig { location: "s3://no-such-bucket/models".to_owned(), ..server.config("some") };
    let message = Repository::open(&nowhere).unwrap().publish("churn", b"the model".to_vec(), None).await;
    let message = message.unwrap_err().to_string();
    assert!(message.contains("check the") && !message.contains(['\n', '<']), "{message}");
}

fn alias(name: &str) -> Pointer {
    Pointer::Alias(name.to_owned())
}

impl Place {
    fn new(repository: Repository) -> Self {
        let store = Arc::clone(repository.store());
        Self { repository, store }
    }

    async fn publish(&self, model: &str) -> u64 {
        let bytes = b"the model".to_vec();
        self.repository.publish(model, bytes, Some("print".to_owned())).await.unwrap().version
    }

    async fn delete(&self, model: &str, version: u64) {
        let deletion = self.repository.plan_deletion(model, version).await.unwrap();
        self.repository.apply_deletion(&deletion).await.unwrap();
    }

    /// Moves a pointer of `churn`, and gives what it names afterwards.
    async fn step(&self, pointer: &Pointer, step: Move) -> Result<Option<u64>, RepositoryError> {
        let change = self.repository.plan_move("churn", pointer, step).await?;
        self.repository.apply_move(&change).await?;
        Ok(change.to)
    }

    /// What an alias of `churn` names and would be rolled back to.
    async fn named(&self, pointer: &Pointer) -> Option<(u64, Option<u64>)> {
        let status = self.repository.status("churn").await.unwrap();
        let Pointer::Alias(name) = pointer else { panic!("a pin is not rolled back") };
        let found = status.aliases.into_iter().find(|found| found.alias == *name);
        found.map(|found| (found.version, found.previous))
    }

    /// What a pointer of `churn` names.
    async fn state(&self, pointer: &Pointer) -> Option<u64> {
        let status = self.repository.status("churn").await.unwrap();
        match pointer {
            Pointer::Pin => status.pin.map(|pin| pin.version),
            Pointer::Alias(name) => {
                status.aliases.into_iter().find(|found| found.alias == *name).map(|found| found.version)
            }
        }
    }

    async fn versions(&self, model: &str) -> Vec<u64> {
        let status = self.repository.status(model).await.unwrap();
        status.versions.into_iter().map(|found| found.version).collect()
    }

    async fn put(&self, path: &str, text: &str) {
        self.store.put(&Path::from(path), text.to_owned().into()).await.unwrap();
    }

    async fn get(&self, path: &str) -> String {
        let bytes = self.store.get(&Path::from(path)).await.unwrap().bytes().await.unwrap();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    /// Every file with its size and the time of its last change.
    async fn files(&self) -> BTreeMap<String, (u64, String)> {
        let files: Vec<_> = self.store.list(None).try_collect().await.unwrap();
        let each = files.into_iter();
        each.map(|file| (file.location.to_string(), (file.size, file.last_modified.to_rfc3339()))).collect()
    }
}
