//! Repairs, copies and tags, on every kind of store.

use std::time::Duration;

use onnward_repository::{DamageKind, Move, Repository, RepositoryError};

use super::{Place, alias};

/// The age from which nobody is at work any more.
const NOW: Duration = Duration::ZERO;
const HOUR: Duration = Duration::from_secs(3600);

pub async fn suite(place: &impl Fn(&str) -> Place) {
    what_was_cut_short_is_found_and_repaired(place("damage")).await;
    what_may_be_at_work_is_left_alone(place("recent")).await;
    a_version_is_copied_as_it_is(place("staging"), place("production")).await;
    tags_change_as_pointers_do(place("tags")).await;
    a_deleted_model_keeps_its_numbers(place("whole")).await;
}

async fn what_was_cut_short_is_found_and_repaired(place: Place) {
    for _ in 0..3 {
        place.publish("churn").await;
    }
    place.step(&alias("champion"), Move::To(1)).await.unwrap();
    place.step(&alias("champion"), Move::To(3)).await.unwrap();
    assert_eq!(found(&place.repository).await, Vec::<String>::new());
    place.put("churn/2/deleting-0123456789abcdef.json", "{}").await;
    place.put("churn/aliases/champion/00000000000000000009-1-0123456789abcdef.json", "{}").await;
    place.put("churn/4/model.onnx", "half an upload").await;
    place.put("churn/5/deleted.json", "{}").await;
    place.put("churn/5/model.onnx", "what a deletion left").await;
    let refused = place.step(&alias("champion"), Move::To(2)).await;
    assert!(matches!(refused, Err(RepositoryError::Deleted { .. })), "it may be being deleted");
    place.put("churn/3/deleted.json", "{}").await;
    let expected = [
        "unfinished deletion of 3",
        "no manifest of 4",
        "unfinished deletion of 5",
        "undecided deletion of 2",
        "undecided move of alias champion to 1",
        "alias champion dangles, restores 1",
    ];
    let mut all = found(&place.repository).await;
    let mut sorted = expected.map(str::to_owned).to_vec();
    all.sort();
    sorted.sort();
    assert_eq!(all, sorted);

    // A pointer first: what it names cannot be deleted.
    let mut damage = place.repository.find_damage("churn", NOW).await.unwrap();
    damage.sort_by_key(|damage| !matches!(damage.kind, DamageKind::DanglingPointer { .. }));
    for damage in &damage {
        place.repository.repair(damage).await.unwrap();
    }
    assert_eq!(found(&place.repository).await, Vec::<String>::new());
    assert_eq!(place.named(&alias("champion")).await, Some((1, None)));
    assert_eq!(place.versions("churn").await, [2, 1]);
    place.step(&alias("champion"), Move::To(2)).await.unwrap();
    assert_eq!(place.publish("churn").await, 6, "no number is given again");
}

async fn found(repository: &Repository) -> Vec<String> {
    let found = repository.find_damage("churn", NOW).await.unwrap();
    let text = found.iter().map(|damage| {
        let version = damage.version.unwrap_or_default();
        match &damage.kind {
            DamageKind::NoManifest { .. } => format!("no manifest of {version}"),
            DamageKind::UnfinishedDeletion { .. } => format!("unfinished deletion of {version}"),
            DamageKind::EmptyEntry { pointer, .. } => format!("empty entry of {pointer}"),
            DamageKind::UndecidedDeletion { .. } => format!("undecided deletion of {version}"),
            DamageKind::UndecidedMove { pointer, .. } => format!("undecided move of {pointer} to {version}"),
            DamageKind::DanglingPointer { pointer, restores, .. } => {
                let restores = restores.map_or("none".to_owned(), |version| version.to_string());
                format!("{pointer} dangles, restores {restores}")
            }
        }
    });
    text.collect()
}

async fn what_may_be_at_work_is_left_alone(place: Place) {
    place.publish("churn").await;
    place.put("churn/2/model.onnx", "an upload that goes on").await;
    let before = place.files().await;
    let [damage] = place.repository.find_damage("churn", HOUR).await.unwrap().try_into().unwrap();
    assert!(damage.recent);
    place.repository.repair(&damage).await.unwrap();
    assert_eq!(place.files().await, before);
}

async fn a_version_is_copied_as_it_is(staging: Place, production: Place) {
    for _ in 0..2 {
        staging.publish("churn").await;
    }
    staging.put("churn/2/config.toml", "a = 1").await;
    let tags = [("reviewed".to_owned(), "yes".to_owned())].into();
    let change = staging.repository.plan_tags("churn", 2, tags, &[]).await.unwrap();
    staging.repository.apply_tags(&change).await.unwrap();
    let plan = production.repository.plan_copy(&staging.repository, "churn", 2).await.unwrap();
    assert_eq!(production.files().await.len(), 0, "a plan writes nothing");
    // A copy that was cut short is completed.
    production.put("churn/2/model.onnx", "the model").await;
    production.repository.apply_copy(&plan).await.unwrap();
    let names = async |place: &Place| {
        place.files().await.into_keys().filter(|path| path.contains("/2/")).collect::<Vec<_>>()
    };
    assert_eq!(names(&production).await, names(&staging).await);
    assert_eq!(production.get("churn/2/manifest.json").await, staging.get("churn/2/manifest.json").await);
    let again = production.repository.plan_copy(&staging.repository, "churn", 2).await.unwrap();
    assert!(!again.copied.changes);
    production.delete("churn", 2).await;
    let refused = production.repository.plan_copy(&staging.repository, "churn", 2).await.map(|_| ());
    assert!(matches!(refused, Err(RepositoryError::NumberTaken { .. })), "{refused:?}");
}

async fn tags_change_as_pointers_do(place: Place) {
    place.publish("churn").await;
    let set = |value: &str| [("stage".to_owned(), value.to_owned())].into();
    let first = place.repository.plan_tags("churn", 1, set("test"), &[]).await.unwrap();
    let second = place.repository.plan_tags("churn", 1, set("release"), &[]).await.unwrap();
    place.repository.apply_tags(&first).await.unwrap();
    let refused = place.repository.apply_tags(&second).await;
    assert!(matches!(refused, Err(RepositoryError::TagsChanged { .. })), "{refused:?}");
    assert_eq!(place.repository.changed_tags("churn").await.unwrap()[&1]["stage"], "test");
    let removed = place.repository.plan_tags("churn", 1, [].into(), &["stage".to_owned()]).await.unwrap();
    place.repository.apply_tags(&removed).await.unwrap();
    assert!(place.repository.changed_tags("churn").await.unwrap()[&1].is_empty());
}

async fn a_deleted_model_keeps_its_numbers(place: Place) {
    for _ in 0..3 {
        place.publish("churn").await;
    }
    for version in [1, 2] {
        place.step(&alias("champion"), Move::To(version)).await.unwrap();
    }
    let refused = place.repository.plan_model_deletion("churn", false).await;
    assert!(matches!(refused, Err(RepositoryError::ModelInUse { .. })), "{refused:?}");
    let deletion = place.repository.plan_model_deletion("churn", true).await.unwrap();
    place.repository.apply_model_deletion(&deletion).await.unwrap();
    assert_eq!(place.versions("churn").await, Vec::<u64>::new());
    assert_eq!(place.target("churn", "champion").await, None);
    assert_eq!(place.publish("churn").await, 4);
}
