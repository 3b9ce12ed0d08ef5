//! Aliases and pins.

use std::sync::Arc;

use onnward_repository::{DecidedBy, Move, Pointer, RepositoryError};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::{Place, alias};

pub async fn suite(place: &impl Fn(&str) -> Place) {
    an_alias_is_set_moved_rolled_back_and_deleted(place("alias")).await;
    of_many_who_move_an_alias_at_once_one_wins(place("race")).await;
    a_pin_decides_before_the_alias_and_the_alias_before_the_number(place("target")).await;
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
        let target = place.target("churn", alias).await.unwrap();
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
