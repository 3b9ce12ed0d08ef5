use std::sync::Arc;

use onnward_quality::performance::LabelledPrediction;
use onnward_rows::RowKeys;
use onnward_schemas::Label;
use onnward_serving::version::ModelVersion;
use tempfile::TempDir;

use super::tables::META;
use super::*;
use crate::ground_truth::join::{JoinResult, LabelValue, PermittedLabels, Reference};
use crate::prediction_id::PredictionId;

const DAY: u64 = 86_400_000;
const NOW: u64 = 1_780_228_800_000;
const BOUNDS: Bounds = Bounds { retention_millis: 10 * DAY, max_predictions: 1_000 };

fn version(number: u64) -> Arc<ModelVersion> {
    Arc::new(ModelVersion {
        model: "churn".to_owned(),
        version: number,
        sha256: Some(format!("{number:064x}")),
        task: Label::binary("churn", "Yes", "No").task,
    })
}

/// Returns predictions of one request at a time, one row for each key, with the probabilities 0.1, 0.2 and so
/// on.
fn predicted(millis: u64, number: u64, keys: &[Option<&str>]) -> PredictionBatch {
    let mut kept = RowKeys::default();
    keys.iter().for_each(|key| kept.push(*key));
    let first = PredictionId::made(millis, rand::random());
    let probabilities: Vec<f32> = (1..=keys.len()).map(|row| row as f32 / 10.0).collect();
    PredictionBatch { first, by: version(number), predictions: probabilities.into(), keys: kept }
}

fn by_id(id: PredictionId, positive: bool) -> Outcome {
    Outcome { of: Reference::Id(id), label: LabelValue::Truth(positive), millis: None, corrects: false }
}

fn by_key(key: &str, millis: Option<u64>, value: &str) -> Outcome {
    let of = Reference::Key { model: "churn".to_owned(), key: key.to_owned() };
    Outcome { of, label: LabelValue::Value(value.to_owned()), millis, corrects: false }
}

#[track_caller]
fn join(store: &mut Store, outcomes: &[Outcome], now: u64) -> Vec<Joined> {
    let mut written = store.write(&[], &[outcomes.to_vec()], now).unwrap();
    written.answers.remove(0).unwrap()
}

fn results(joined: &[Joined]) -> Vec<JoinResult> {
    joined.iter().map(|joined| joined.result).collect()
}

fn counts(store: &Store) -> Vec<(u64, u64, u64)> {
    store.versions().map(|(_, stats)| (stats.by.version, stats.predictions, stats.outcomes)).collect()
}

#[test]
fn outcomes_are_joined_by_id_and_survive_a_new_start() {
    let folder = TempDir::new().unwrap();
    let mut store = Store::open(folder.path(), BOUNDS).unwrap();
    let scored = [predicted(NOW, 3, &[None, None, None]), predicted(NOW, 4, &[None])];
    let (third, other) = (scored[0].first.of_row(2), scored[1].first);
    let first = store.write(&scored, &[vec![by_id(third, true)]], NOW).unwrap();
    assert_eq!(results(first.answers[0].as_ref().unwrap()), [JoinResult::Joined]);
    drop(store);

    let mut store = Store::open(folder.path(), BOUNDS).unwrap();
    assert_eq!((store.predictions(), counts(&store)), (4, vec![(3, 3, 1), (4, 1, 0)]));
    let events = store.events().unwrap();
    assert_eq!(events.len(), 1);
    assert_eq!(
        (events[0].id, events[0].judged),
        (third, LabelledPrediction { probability: 0.3, positive: true }.into())
    );
    let not_there = scored[0].first.of_row(3);
    let again = [by_id(third, true), by_id(third, false), by_id(other, false), by_id(not_there, true)];
    let joined = join(&mut store, &again, NOW);
    use JoinResult::{Contradicting, Duplicate, Joined, Unknown};
    assert_eq!(results(&joined), [Duplicate, Contradicting, Joined, Unknown]);
    assert_eq!((joined[2].version, joined[3].version), (Some(4), None));
    assert_eq!(counts(&store), [(3, 3, 1), (4, 1, 1)]);
}

#[test]
fn a_contradicting_outcome_takes_the_place_of_the_first_only_if_it_says_so() {
    let folder = TempDir::new().unwrap();
    let mut store = Store::open(folder.path(), BOUNDS).unwrap();
    let scored = predicted(NOW, 1, &[None]);
    let id = scored.first;
    store.write(&[scored], &[vec![by_id(id, true)]], NOW).unwrap();
    let corrects = |positive| Outcome { corrects: true, ..by_id(id, positive) };
    let written =
        store.write(&[], &[vec![by_id(id, false), corrects(true), corrects(false)]], NOW + 5).unwrap();
    use JoinResult::{Contradicting, Corrected, Duplicate};
    assert_eq!(results(written.answers[0].as_ref().unwrap()), [Contradicting, Duplicate, Corrected]);
    let judged = LabelledPrediction { probability: 0.1, positive: false }.into();
    assert_eq!(written.events, [Event { id, version: 0, judged, received: NOW, corrects: true }]);
    assert_eq!(store.events().unwrap()[0].judged, judged);
    assert_eq!(counts(&store), [(1, 1, 1)]);
}

#[test]
fn a_key_means_the_last_prediction_until_the_time() {
    let folder = TempDir::new().unwrap();
    let mut store = Store::open(folder.path(), BOUNDS).unwrap();
    let first = predicted(NOW - 3 * DAY, 1, &[Some("a"), Some("b"), None]);
    let second = predicted(NOW - DAY, 2, &[Some("a")]);
    let (early, late) = (first.first, second.first);
    store.write(&[first, second], &[], NOW).unwrap();
    let outcomes = [
        by_key("a", Some(NOW - 2 * DAY), "Yes"),
        by_key("a", None, "No"),
        by_key("b", None, "No"),
        by_key("a", Some(NOW - 4 * DAY), "No"),
        by_key("a", Some(NOW - 20 * DAY), "No"),
        by_key("c", None, "No"),
    ];
    let joined = join(&mut store, &outcomes, NOW);
    use JoinResult::{Joined, Late, Unknown};
    assert_eq!(results(&joined), [Joined, Joined, Joined, Unknown, Late, Unknown]);
    let ids: Vec<_> = joined.iter().filter_map(|joined| joined.id).collect();
    assert_eq!(ids, [early, late, early.of_row(1)]);
}

#[test]
fn a_label_that_the_model_does_not_have_refuses_the_whole_request_and_no_other() {
    let folder = TempDir::new().unwrap();
    let mut store = Store::open(folder.path(), BOUNDS).unwrap();
    let scored = predicted(NOW, 1, &[Some("a"), Some("b")]);
    let id = scored.first;
    let wrong = vec![by_key("b", None, "No"), by_key("a", None, "Perhaps")];
    let written = store.write(&[scored], &[wrong, vec![by_id(id, true)]], NOW).unwrap();
    let has = PermittedLabels::Binary(["Yes".to_owned(), "No".to_owned()]);
    assert_eq!(
        written.answers[0],
        Err(vec![WrongLabel { item: 1, has, got: LabelValue::Value("Perhaps".to_owned()) }])
    );
    assert_eq!(results(written.answers[1].as_ref().unwrap()), [JoinResult::Joined]);
    assert_eq!(counts(&store), [(1, 2, 1)]);
}

#[test]
fn what_is_too_old_goes_with_its_outcomes_and_keys_and_is_late_from_then_on() {
    let folder = TempDir::new().unwrap();
    let mut store = Store::open(folder.path(), BOUNDS).unwrap();
    let (old, new) = (predicted(NOW, 1, &[Some("a"), Some("b")]), predicted(NOW + DAY, 2, &[Some("a")]));
    let (early, late) = (old.first, new.first);
    store.write(&[old, new], &[vec![by_id(early, true)]], NOW + DAY).unwrap();
    let then = NOW + 10 * DAY + 1;
    let joined = join(&mut store, &[by_id(early.of_row(1), true), by_key("b", None, "No")], then);
    assert_eq!(results(&joined), [JoinResult::Late, JoinResult::Unknown]);
    assert_eq!((counts(&store), store.predictions()), (vec![(2, 1, 0)], 1));
    assert!(store.events().unwrap().is_empty());
    assert_eq!(join(&mut store, &[by_key("a", None, "No")], then)[0].id, Some(late));
    drop(store);
    let mut store = Store::open(folder.path(), BOUNDS).unwrap();
    assert_eq!(results(&join(&mut store, &[by_id(early, true)], then)), [JoinResult::Late]);
    store.write(&[], &[], NOW + 30 * DAY).unwrap();
    assert_eq!((counts(&store), store.predictions()), (vec![], 0));
}

#[test]
fn of_too_many_the_oldest_go_and_one_that_went_is_late() {
    let folder = TempDir::new().unwrap();
    let bounds = Bounds { max_predictions: 5, ..BOUNDS };
    let mut store = Store::open(folder.path(), bounds).unwrap();
    let scored: Vec<PredictionBatch> = (0..4).map(|at| predicted(NOW + at, 1, &[None, None])).collect();
    let ids: Vec<PredictionId> = scored.iter().map(|scored| scored.first).collect();
    store.write(&scored, &[], NOW + 4).unwrap();
    assert_eq!(store.predictions(), 4);
    let outcomes: Vec<Outcome> = ids.iter().map(|id| by_id(*id, true)).collect();
    use JoinResult::{Joined, Late};
    assert_eq!(results(&join(&mut store, &outcomes, NOW + 5)), [Late, Late, Joined, Joined]);
}

#[test]
fn files_that_are_not_a_store_and_stores_in_use_are_refused_in_words() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join(FILE);
    std::fs::write(&path, "not a database, but long enough to look like one ".repeat(500)).unwrap();
    let message = Store::open(folder.path(), BOUNDS).unwrap_err().to_string();
    assert!(message.contains("damaged") && message.contains("move it away"), "{message}");
    std::fs::remove_file(&path).unwrap();

    let mut store = Store::open(folder.path(), BOUNDS).unwrap();
    let message = Store::open(folder.path(), BOUNDS).unwrap_err().to_string();
    assert!(message.contains("another engine"), "{message}");
    store.write(&[predicted(NOW, 1, &[None])], &[], NOW).unwrap();
    let transaction = store.database.begin_write().unwrap();
    transaction.open_table(META).unwrap().insert("format", 99).unwrap();
    transaction.commit().unwrap();
    drop(store);
    let message = Store::open(folder.path(), BOUNDS).unwrap_err().to_string();
    assert!(message.contains("format is 99"), "{message}");
}

/// Returns another artifact under the name and the number of [`version`], with labels of its own.
fn of_other_repository(number: u64) -> Arc<ModelVersion> {
    let sha256 = Some("ab".repeat(32));
    let task = Label::binary("churn", "left", "stayed").task;
    Arc::new(ModelVersion { sha256, task, ..ModelVersion::clone(&version(number)) })
}

#[test]
fn artifacts_of_one_name_and_number_are_apart_and_the_loaded_one_is_current() {
    let folder = TempDir::new().unwrap();
    let mut store = Store::open(folder.path(), BOUNDS).unwrap();
    let (ours, mut theirs) = (predicted(NOW, 1, &[None; 2]), predicted(NOW + 1, 1, &[None; 3]));
    theirs.by = of_other_repository(1);
    let (our_id, their_id) = (ours.first, theirs.first);
    store.write(&[ours, theirs], &[], NOW + 1).unwrap();
    let labelled =
        |id, value: &str| Outcome { label: LabelValue::Value(value.to_owned()), ..by_id(id, true) };
    let outcomes = [labelled(our_id, "Yes"), labelled(their_id, "stayed")];
    assert_eq!(results(&join(&mut store, &outcomes, NOW + 2)), [JoinResult::Joined; 2]);
    let wrong = store.write(&[], &[vec![labelled(their_id, "Yes")]], NOW + 2).unwrap();
    let has = PermittedLabels::Binary(["left".to_owned(), "stayed".to_owned()]);
    assert_eq!(
        wrong.answers,
        [Err(vec![WrongLabel { item: 0, has, got: LabelValue::Value("Yes".to_owned()) }])]
    );

    // It reads the same after a new start.
    drop(store);
    let mut store = Store::open(folder.path(), BOUNDS).unwrap();
    assert_eq!(counts(&store), [(1, 2, 1), (1, 3, 1)]);
    let current = |store: &Store, loaded: &[Arc<ModelVersion>]| {
        let current = store.current_versions(loaded);
        current
            .map(|(_, stats)| (stats.by.binary().unwrap().positive.clone(), stats.predictions))
            .collect::<Vec<_>>()
    };
    assert_eq!(current(&store, &[version(1)]), [("Yes".to_owned(), 2)]);
    assert_eq!(current(&store, &[of_other_repository(1)]), [("left".to_owned(), 3)]);
    let third = ModelVersion { sha256: Some("cd".repeat(32)), ..ModelVersion::clone(&version(1)) };
    assert_eq!(current(&store, &[Arc::new(third)]), [], "the loaded one has not predicted");
    assert_eq!(current(&store, &[]), [("left".to_owned(), 3)], "the last one to predict");
    store.write(&[predicted(NOW + 5, 1, &[None])], &[], NOW + 5).unwrap();
    assert_eq!(current(&store, &[version(2)]), [("Yes".to_owned(), 3)], "the last one to predict");
    // What has expired is removed from every table.
    store.write(&[], &[], NOW + 20 * DAY).unwrap();
    let artifacts = store.database.begin_read().unwrap().open_table(super::tables::ARTIFACTS).unwrap();
    assert_eq!((artifacts.iter().unwrap().count(), counts(&store)), (0, vec![]));
}

/// Writes a store as engines did before artifacts had digests there: a request of two rows, the first with a
/// key.
fn write_old_store(folder: &Path, id: PredictionId) {
    use redb::TableDefinition;
    type OldVersion = (&'static str, u64, f64, &'static str, &'static str, u64, u64);
    let database = Database::create(folder.join("predictions.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let versions = TableDefinition::<u32, OldVersion>::new("versions");
        let row = ("churn", 1, 0.5, "Yes", "No", 2, 0);
        transaction.open_table(versions).unwrap().insert(4, row).unwrap();
        let mut record = vec![4, 0, 0, 0, 1];
        record.extend([0.25_f32, 0.75].iter().flat_map(|probability| probability.to_le_bytes()));
        let key = onnward_schemas::sha256_prefix(b"churn\na");
        record.extend([key, 0].iter().flat_map(|digest| digest.to_le_bytes()));
        let predictions = TableDefinition::<u128, &[u8]>::new("predictions");
        transaction.open_table(predictions).unwrap().insert(id.as_u128(), record.as_slice()).unwrap();
        let keys = TableDefinition::<(u64, u128), ()>::new("keys");
        transaction.open_table(keys).unwrap().insert((key, id.as_u128()), ()).unwrap();
        let outcomes = TableDefinition::<u128, (u32, f32, bool, u64, u64)>::new("outcomes");
        transaction.open_table(outcomes).unwrap();
        let meta = TableDefinition::<&str, u64>::new("meta");
        transaction.open_table(meta).unwrap().insert("format", 1).unwrap();
    }
    transaction.commit().unwrap();
}

#[test]
fn a_store_of_an_older_engine_opens_and_joins_its_outcomes() {
    let folder = TempDir::new().unwrap();
    let id = PredictionId::made(NOW, 17);
    write_old_store(folder.path(), id);
    let mut store = Store::open(folder.path(), BOUNDS).unwrap();
    assert_eq!(counts(&store), [(1, 2, 0)]);
    let outcomes = [by_key("a", None, "Yes"), by_id(id.of_row(1), false)];
    assert_eq!(results(&join(&mut store, &outcomes, NOW + 1)), [JoinResult::Joined; 2]);
    let judged = LabelledPrediction { probability: 0.75, positive: false }.into();
    assert_eq!(store.events().unwrap()[1].judged, judged);

    // An equal artifact goes on with it, and another one does not.
    let mut theirs = predicted(NOW + 2, 1, &[None]);
    theirs.by = of_other_repository(1);
    store.write(&[theirs, predicted(NOW + 2, 1, &[None])], &[], NOW + 2).unwrap();
    assert_eq!(counts(&store), [(1, 3, 2), (1, 1, 0)]);
    let mut third = predicted(NOW + 3, 1, &[None]);
    let sha256 = Some("cd".repeat(32));
    third.by = Arc::new(ModelVersion { sha256, ..ModelVersion::clone(&version(1)) });
    store.write(&[third], &[], NOW + 3).unwrap();
    assert_eq!(counts(&store), [(1, 3, 2), (1, 1, 0), (1, 1, 0)], "its digest is known now");
    drop(store);
    let store = Store::open(folder.path(), BOUNDS).unwrap();
    assert_eq!(counts(&store), [(1, 3, 2), (1, 1, 0), (1, 1, 0)]);
}

mod of_other_tasks {
    use onnward_quality::performance::{LabelProbability, LabelledClass, LabelledNumber};
    use onnward_schemas::{ClassPredictions, Classes, Numbers, PredictedValues, Task};

    use super::*;

    fn of_task(model: &str, task: Task) -> Arc<ModelVersion> {
        Arc::new(ModelVersion { model: model.to_owned(), version: 1, sha256: Some("ee".repeat(32)), task })
    }

    fn batch(by: Arc<ModelVersion>, values: PredictedValues, keys: &[Option<&str>]) -> PredictionBatch {
        let mut kept = RowKeys::default();
        keys.iter().for_each(|key| kept.push(*key));
        let first = PredictionId::made(NOW, rand::random());
        PredictionBatch { first, by, predictions: values.into(), keys: kept }
    }

    /// Returns three rows of a model of three classes, the last of which failed.
    fn classes(with_probabilities: bool, keys: &[Option<&str>]) -> PredictionBatch {
        let values = ["low", "7", "high"].map(str::to_owned).to_vec();
        let all = vec![0.5, 0.25, 0.25, 0.125, 0.25, 0.625, 0.0, 0.0, 0.0];
        let probabilities = with_probabilities.then_some(Numbers::Single(all));
        let predicted = ClassPredictions { indices: vec![0, 2, ClassPredictions::NONE], probabilities };
        batch(of_task("plans", Task::Classes(Classes { values })), PredictedValues::Classes(predicted), keys)
    }

    /// Returns three rows of a model of a number, the last of which failed.
    fn numbers() -> PredictionBatch {
        let predicted = Numbers::Double(vec![0.1, -2.5e300, f64::NAN]);
        batch(of_task("prices", Task::Number), PredictedValues::Numbers(predicted), &[None, Some("a"), None])
    }

    fn labelled(id: PredictionId, label: LabelValue) -> Outcome {
        Outcome { of: Reference::Id(id), label, millis: None, corrects: false }
    }

    fn text(value: &str) -> LabelValue {
        LabelValue::Value(value.to_owned())
    }

    fn number(value: &str) -> LabelValue {
        LabelValue::Number(value.to_owned())
    }

    #[test]
    fn outcomes_of_every_task_are_joined_and_survive_a_new_start() {
        let folder = TempDir::new().unwrap();
        let mut store = Store::open(folder.path(), BOUNDS).unwrap();
        let (churn, plans, prices) = (predicted(NOW, 1, &[None]), classes(true, &[]), numbers());
        let (binary, class, price) = (churn.first, plans.first, prices.first);
        store.write(&[churn, plans, prices], &[], NOW).unwrap();
        drop(store);

        let mut store = Store::open(folder.path(), BOUNDS).unwrap();
        assert_eq!(store.predictions(), 7);
        let by_key = Reference::Key { model: "prices".to_owned(), key: "a".to_owned() };
        let outcomes = [
            by_id(binary, true),
            labelled(class, text("low")),
            labelled(class.of_row(1), number("7")),
            labelled(class.of_row(2), text("low")),
            labelled(price, number("0.25")),
            Outcome { of: by_key, ..labelled(price, number("-3")) },
            labelled(price.of_row(2), number("1")),
        ];
        use JoinResult::{Contradicting, Corrected, Duplicate, Joined, Unknown};
        let joined = join(&mut store, &outcomes, NOW + 1);
        assert_eq!(results(&joined), [Joined, Joined, Joined, Unknown, Joined, Joined, Unknown]);
        drop(store);

        let mut store = Store::open(folder.path(), BOUNDS).unwrap();
        let judged = |store: &Store| -> Vec<Labelled> {
            store.events().unwrap().into_iter().map(|event| event.judged).collect()
        };
        let of_label = |probability, more_probable| Some(LabelProbability { probability, more_probable });
        let expected = [
            LabelledPrediction { probability: 0.1, positive: true }.into(),
            Labelled::Class(LabelledClass { predicted: 0, label: 0, of_label: of_label(0.5, 0) }),
            Labelled::Class(LabelledClass { predicted: 2, label: 1, of_label: of_label(0.25, 1) }),
            Labelled::Number(LabelledNumber(0.1, 0.25)),
            Labelled::Number(LabelledNumber(-2.5e300, -3.0)),
        ];
        for one in expected {
            assert!(judged(&store).contains(&one), "{one:?} is not in {:?}", judged(&store));
        }
        let again =
            [labelled(class, text("low")), labelled(price, number("0.250")), labelled(price, number("9"))];
        assert_eq!(results(&join(&mut store, &again, NOW + 2)), [Duplicate, Duplicate, Contradicting]);
        let corrects = Outcome { corrects: true, ..labelled(class, text("high")) };
        assert_eq!(results(&join(&mut store, &[corrects], NOW + 3)), [Corrected]);
        assert_eq!(judged(&store).len(), 5);

        // What has expired is removed from every table.
        store.write(&[], &[], NOW + 20 * DAY).unwrap();
        assert_eq!((counts(&store), store.predictions(), judged(&store)), (vec![], 0, vec![]));
        let tasks = store.database.begin_read().unwrap().open_table(super::super::tables::TASKS).unwrap();
        assert_eq!(tasks.iter().unwrap().count(), 0);
    }

    #[test]
    fn a_label_in_other_terms_than_the_models_is_refused_with_what_is_permitted() {
        let folder = TempDir::new().unwrap();
        let mut store = Store::open(folder.path(), BOUNDS).unwrap();
        let (plans, prices) = (classes(false, &[]), numbers());
        let (class, price) = (plans.first, prices.first);
        store.write(&[plans, prices], &[], NOW).unwrap();
        for (outcome, permitted) in [
            (labelled(class, text("medium")), "one of \"low\", \"7\", \"high\""),
            (labelled(class, LabelValue::Truth(true)), "one of \"low\", \"7\", \"high\""),
            (labelled(class, number("8")), "one of \"low\", \"7\", \"high\""),
            (labelled(price, text("12.5")), "a number"),
            (labelled(price, LabelValue::Truth(true)), "a number"),
        ] {
            let written = store.write(&[], &[vec![outcome.clone()]], NOW).unwrap();
            let wrong = written.answers[0].as_ref().unwrap_err();
            assert!(wrong[0].has.to_string().contains(permitted), "{outcome:?}: {wrong:?}");
        }
        let many = PermittedLabels::Classes((0..1000).map(|class| class.to_string()).collect()).to_string();
        assert!(many.ends_with("\"19\" and 980 more"), "{many}");
        assert!(store.events().unwrap().is_empty());
    }

    #[test]
    fn the_format_changes_with_the_first_prediction_of_another_task_alone() {
        let format = |store: &Store| {
            let transaction = store.database.begin_read().unwrap();
            transaction.open_table(META).unwrap().get("format").unwrap().unwrap().value()
        };
        let folder = TempDir::new().unwrap();
        let mut store = Store::open(folder.path(), BOUNDS).unwrap();
        store.write(&[predicted(NOW, 1, &[None])], &[], NOW).unwrap();
        assert_eq!(format(&store), FORMAT, "older engines still read it");
        store.write(&[numbers()], &[], NOW).unwrap();
        assert_eq!(format(&store), FORMAT_OF_TASKS);
    }

    #[test]
    fn a_store_of_an_older_engine_takes_predictions_of_other_tasks() {
        let folder = TempDir::new().unwrap();
        let id = PredictionId::made(NOW, 17);
        write_old_store(folder.path(), id);
        let mut store = Store::open(folder.path(), BOUNDS).unwrap();
        let prices = numbers();
        let price = prices.first;
        store.write(&[prices], &[], NOW).unwrap();
        drop(store);
        let mut store = Store::open(folder.path(), BOUNDS).unwrap();
        assert_eq!(store.predictions(), 5);
        let outcomes = [by_key("a", None, "Yes"), labelled(price, number("1"))];
        assert_eq!(results(&join(&mut store, &outcomes, NOW + 1)), [JoinResult::Joined; 2]);
    }
}
