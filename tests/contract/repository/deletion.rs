//! Deleting versions.

use onnward_repository::{Move, Pointer, RepositoryError};

use super::{Place, alias};

pub async fn suite(place: &impl Fn(&str) -> Place) {
    what_is_named_is_never_deleted(place("protected")).await;
    a_number_is_never_given_twice(place("numbers")).await;
    gc_keeps_what_is_new_or_named(place("gc")).await;
    a_deletion_that_was_cut_short_ends(place("cut-short")).await;
    deletions_and_promotions_at_once_leave_no_alias_without_its_version(place("both")).await;
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
        [(1, "rollback of the alias champion"), (2, "alias champion points at it"), (3, "pinned")]
    {
        let message = place.repository.plan_deletion("churn", version).await.unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
    // The version comes into use after the look at it.
    let deletion = place.repository.plan_deletion("churn", 4).await.unwrap();
    place.step(&alias("challenger"), Move::To(4)).await.unwrap();
    let refused = place.repository.apply_deletion(&deletion).await;
    assert!(matches!(refused, Err(RepositoryError::InUse { version: 4, .. })));
    place.fetch("churn", 4).await.unwrap();
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
    assert!(matches!(place.fetch("churn", 3).await, Err(RepositoryError::UnknownVersion { .. })));
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
    let files = place.files().await.into_keys().filter(|path| path.starts_with("churn/"));
    assert_eq!(files.collect::<Vec<_>>(), ["churn/1/deleted.json", "churn/2/deleted.json"]);
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
        place.fetch("churn", champion.unwrap()).await.unwrap();
    }
}
