//! Whole training runs on two small tables of different shape.

use std::path::Path;
use std::sync::Mutex;

use crate::samples::{BANK, SHOP, bank_rows, schema, shop_rows, table};
use ndarray::Array2;
use onnward_models::{
    CandidateParams, Dataset, Estimator, ForestParams, LogisticParams, OnInvalid, Progress, RidgeParams,
    SampleFormat, Settings, Solver, TrainedModel, TrainingError, TrainingPlan, TrainingRun, train,
    write_sample,
};
use onnward_schemas::{
    Criterion, FeatureProfile, Figures, GoldenValue, Schema, SchemaFile, ScoreProfile, TaskKind,
};

fn shop() -> Dataset {
    let path = table("shop_training", shop_rows(600, 1));
    Dataset::read(&path, &schema(SHOP), OnInvalid::Fail).unwrap()
}

fn bank() -> Dataset {
    let path = table("bank_training", bank_rows(800, 2));
    Dataset::read(&path, &schema(BANK), OnInvalid::Fail).unwrap()
}

fn small_plan() -> TrainingPlan {
    let forest = ForestParams { trees: 25, ..ForestParams::default() };
    let candidates = vec![LogisticParams::default().into(), forest.into()];
    TrainingPlan { candidates, ..TrainingPlan::default() }
}

fn run(data: &Dataset) -> TrainingRun {
    train(data, &small_plan(), &|_| ()).unwrap()
}

#[test]
fn both_families_learn_both_tables_and_the_better_one_comes_first() {
    for data in [shop(), bank()] {
        let run = run(&data);
        let comparison = &run.comparison;
        assert_eq!(comparison.selected, comparison.candidates[0].estimator);
        assert_eq!(comparison.train_rows + comparison.test_rows, data.rows());
        assert_eq!(comparison.train_rows, data.rows() * 4 / 5);
        let [first, second] = &comparison.candidates[..] else { panic!("two candidates") };
        assert!(first.cross_validation.mean >= second.cross_validation.mean);
        for (candidate, model) in comparison.candidates.iter().zip(&run.models) {
            let test = candidate.test.binary().unwrap();
            assert!(candidate.cross_validation.mean > 0.7, "{candidate:?}");
            assert!(test.roc_auc > 0.65, "{candidate:?}");
            assert_eq!(candidate.cross_validation.folds.len(), 5);
            assert_eq!(candidate.estimator.name(), model.metadata.family);
            assert_eq!(candidate.test, model.metadata.evaluation.test);
            let confusion = test.confusion;
            let judged = confusion.true_positives
                + confusion.false_positives
                + confusion.true_negatives
                + confusion.false_negatives;
            assert_eq!(judged as usize, comparison.test_rows);
        }
    }
}

#[test]
fn importance_finds_what_the_label_was_drawn_from() {
    for candidate in run(&shop()).comparison.candidates {
        let names: Vec<&str> = candidate.importance.iter().map(|of| of.feature.as_str()).collect();
        assert_eq!(names.len(), 3);
        assert_eq!(names[2], "spend", "{:?}", candidate.importance);
        assert!(candidate.importance[0].loss > 0.05);
    }
}

#[test]
fn the_same_data_and_seed_give_the_same_models_and_another_seed_others() {
    let data = bank();
    let (once, again) = (run(&data), run(&data));
    assert_eq!(once.models, again.models);
    let other = TrainingPlan { seed: 7, ..small_plan() };
    assert_ne!(once.models, train(&data, &other, &|_| ()).unwrap().models);
}

#[test]
fn a_split_is_stratified_and_seeded() {
    let data = bank();
    let split = data.split(0.2, 42);
    let labels = data.labels.binary().unwrap();
    let positives = |rows: &[usize]| rows.iter().filter(|row| labels[**row]).count() as f64;
    let share = positives(&(0..data.rows()).collect::<Vec<_>>()) / data.rows() as f64;
    assert!((positives(&split.test) / split.test.len() as f64 - share).abs() < 0.01);
    let mut all = [split.train.clone(), split.test.clone()].concat();
    all.sort_unstable();
    assert_eq!(all, (0..data.rows()).collect::<Vec<_>>());
    assert_eq!(split, data.split(0.2, 42));
    assert_ne!(split, data.split(0.2, 43));
}

#[test]
fn nothing_is_learned_from_held_out_rows() {
    let data = shop();
    let split = data.split(0.2, 42);
    let mut poisoned = data.clone();
    for row in &split.test {
        poisoned.features.row_mut(*row).fill(1e6);
        poisoned.features[(*row, 1)] = 0.0;
    }
    for (clean, poisoned) in run(&data).models.iter().zip(&run(&poisoned).models) {
        assert_eq!(clean.preprocessor, poisoned.preprocessor);
        assert_eq!(clean.model, poisoned.model);
        // But for its scores, which are those of the held-out rows.
        assert_eq!(clean.metadata.profile.features, poisoned.metadata.profile.features);
        assert_eq!(clean.metadata.golden, poisoned.metadata.golden);
        assert_eq!(clean.metadata.evaluation.cross_validation, poisoned.metadata.evaluation.cross_validation);
    }
}

fn golden_features(model: &TrainedModel) -> Array2<f32> {
    let (schema, rows) = (&model.metadata.schema, &model.metadata.golden.rows);
    Array2::from_shape_fn((rows.len(), schema.features.len()), |(row, at)| {
        schema.features[at].code(rows[row].values[at].as_value())
    })
}

#[test]
fn golden_rows_start_with_a_valid_customer_and_visit_every_branch() {
    for data in [shop(), bank()] {
        for model in run(&data).models {
            let golden = &model.metadata.golden;
            let first = &golden.rows[0].values;
            assert_accepted(&data.schema, first);
            let scores = model.predict(golden_features(&model).view());
            let expected = golden.rows.iter().map(|row| row.prediction.probability().unwrap());
            assert_eq!(scores.probabilities().unwrap(), expected.collect::<Vec<f64>>());
            assert!(golden.tolerance <= 1e-6);
            let has =
                |wanted: &dyn Fn(&[GoldenValue]) -> bool| golden.rows.iter().any(|row| wanted(&row.values));
            assert!(has(&|row| row.iter().all(|value| *value == GoldenValue::Missing)));
            for (at, feature) in data.schema.features.iter().enumerate() {
                assert!(has(
                    &|row| row[at] == GoldenValue::Missing && row[(at + 1) % 3] != GoldenValue::Missing
                ));
                for value in feature.categories().unwrap_or_default() {
                    assert!(has(&|row| row[at] == GoldenValue::Text(value.clone())), "{value}");
                }
                if feature.categories().is_some() {
                    assert!(has(&|row| feature.code(row[at].as_value()) == -1.0), "unknown {}", feature.name);
                }
            }
        }
    }
}

fn assert_accepted(schema: &Schema, values: &[GoldenValue]) {
    for (feature, value) in schema.features.iter().zip(values) {
        assert_ne!(*value, GoldenValue::Missing);
        assert!(feature.encode(value.as_value()).is_ok(), "{}: {value:?}", feature.name);
    }
}

#[test]
fn the_profile_counts_the_training_rows_and_the_scores_of_the_held_out_ones() {
    let data = bank();
    let run = run(&data);
    let profile = &run.models[0].metadata.profile;
    assert_eq!(profile.rows as usize, run.comparison.train_rows);
    let ScoreProfile::Probability(score) = &profile.score else { panic!("{:?}", profile.score) };
    assert_eq!(score.iter().sum::<u64>() as usize, run.comparison.test_rows);
    for feature in &profile.features {
        let (counted, missing, unknown) = match feature {
            FeatureProfile::Numeric { counts, missing, edges, .. } => {
                assert_eq!(counts.len(), edges.len() + 1);
                (counts.iter().sum::<u64>(), *missing, 0)
            }
            FeatureProfile::Categorical { counts, missing, unknown } => {
                assert!(*unknown > 0, "the table has values that the schema does not list");
                (counts.iter().sum::<u64>(), *missing, *unknown)
            }
        };
        assert_eq!(counted + missing + unknown, profile.rows);
    }
}

#[test]
fn progress_adds_up_to_what_was_announced() {
    let heard = Mutex::new(Vec::new());
    train(&shop(), &small_plan(), &|progress| heard.lock().unwrap().push(progress)).unwrap();
    let heard = heard.into_inner().unwrap();
    let Progress::Started { steps: announced } = heard[0] else { panic!("{:?}", heard[0]) };
    let advanced = |progress: &Progress| match progress {
        Progress::Started { .. } => 0,
        Progress::Advanced { steps, .. } => *steps,
    };
    assert_eq!(heard.iter().map(advanced).sum::<u64>(), announced);
    let Progress::Advanced { activity, .. } = heard[1] else { panic!("{:?}", heard[1]) };
    assert_eq!(activity.to_string(), "logistic: fold 1 of 5");
}

#[test]
fn a_plan_that_does_not_fit_the_data_is_rejected_in_words() {
    let data = shop();
    let rejected = |plan: TrainingPlan| train(&data, &plan, &|_| ()).unwrap_err().to_string();
    let empty = TrainingPlan { candidates: Vec::new(), ..small_plan() };
    assert!(rejected(empty).contains("name one or more candidates"));
    assert!(rejected(TrainingPlan { folds: 1, ..small_plan() }).contains("2 or more folds, not 1"));
    assert!(rejected(TrainingPlan { test_fraction: 1.0, ..small_plan() }).contains("between 0 and 1"));
    let forest = ForestParams { trees: 0, ..ForestParams::default() };
    let message = rejected(TrainingPlan { candidates: vec![forest.into()], ..small_plan() });
    assert_eq!(message, "forest: trees = 0 is invalid: it must be 1 or more");

    let linfa =
        CandidateParams { solver: Solver::Linfa, settings: Settings::Forest(ForestParams::default()) };
    let message = rejected(TrainingPlan { candidates: vec![linfa], ..small_plan() });
    assert_eq!(message, "the solver linfa cannot fit the family forest: use own or smartcore");

    let few = table("few", shop_rows(600, 1).lines().take(14).collect::<Vec<_>>().join("\n"));
    let few = Dataset::read(&few, &schema(SHOP), OnInvalid::Fail).unwrap();
    let error = train(&few, &small_plan(), &|_| ()).unwrap_err();
    assert!(matches!(error, TrainingError::TooFewRows { folds: 5, .. }), "{error}");
    assert!(error.to_string().contains("use fewer folds"), "{error}");
    let message = rejected(TrainingPlan { folds: usize::MAX, ..small_plan() });
    assert!(message.contains("18446744073709551615 folds need as many rows"), "{message}");
    let message = rejected(TrainingPlan { test_fraction: 0.999, folds: 2, ..small_plan() });
    let said = "a share of 0.999 held out and 2 folds take at least 1501";
    assert!(message.contains(said) && message.contains("hold out less"), "{message}");
}

#[test]
fn every_estimator_has_default_settings_that_train() {
    let data = shop();
    for estimator in Estimator::ALL.into_iter().filter(|estimator| estimator.fits(TaskKind::Binary)) {
        let candidates = vec![CandidateParams::default_of(estimator)];
        let run = train(&data, &TrainingPlan { candidates, ..TrainingPlan::default() }, &|_| ()).unwrap();
        assert_eq!(run.comparison.selected, estimator);
        assert_eq!(run.models[0].metadata.family, estimator.name());
        let (library, version) = estimator.solver.library();
        assert_eq!(run.models[0].metadata.provenance.versions[library], version);
    }
}

/// Rows are divided, and their sums added, by rules that do not depend on the number of threads.
#[test]
fn the_number_of_threads_changes_no_model() {
    let data = bank();
    let fitting = Estimator::ALL.into_iter().filter(|estimator| estimator.fits(TaskKind::Binary));
    let settings = fitting.map(|estimator| {
        let mut params = CandidateParams::default_of(estimator);
        if let Settings::Forest(forest) = &mut params.settings {
            *forest = ForestParams { trees: 25, ..forest.clone() };
        }
        params
    });
    let plan = TrainingPlan { candidates: settings.collect(), folds: 2, ..TrainingPlan::default() };
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let run = pool.install(|| train(&data, &plan, &|_| ())).unwrap();
        let importance = run.comparison.candidates.iter().map(|candidate| candidate.importance.clone());
        (run.models, format!("{:?}", importance.collect::<Vec<_>>()))
    };
    let one = on(1);
    for threads in [2, 7] {
        assert_eq!(on(threads), one, "{threads} threads");
    }
}

/// Returns the schema that ships with the project, and a table drawn from it.
fn shipped(schema: &str, rows: u64) -> Dataset {
    let file = SchemaFile::parse(schema).unwrap();
    let mut table = Vec::new();
    write_sample(&file, rows, 5, SampleFormat::Csv, &mut table, |_| ()).unwrap();
    Dataset::parse(&table, Path::new("sample.csv"), &file.schema, OnInvalid::Fail).unwrap()
}

const PLANS: &str = include_str!("../../../schemas/plans.toml");
const REASONS: &str = include_str!("../../../schemas/churn_reason.toml");
const VALUE: &str = include_str!("../../../schemas/lifetime_value.toml");
const RENT: &str = include_str!("../../../schemas/rent.toml");

#[test]
fn labels_of_every_type_are_learned_and_described_in_their_own_terms() {
    for (schema, criterion) in [
        (PLANS, Criterion::LogLoss),
        (REASONS, Criterion::LogLoss),
        (VALUE, Criterion::Rmse),
        (RENT, Criterion::Rmse),
    ] {
        let data = shipped(schema, 1500);
        let task = data.labels.task();
        let run = train(&data, &TrainingPlan { folds: 3, ..TrainingPlan::for_task(task) }, &|_| ()).unwrap();
        let comparison = &run.comparison;
        let figure = |figures: &Figures| {
            figures.by_name().into_iter().find(|(name, _)| *name == criterion.name()).unwrap().1
        };
        assert_eq!((comparison.task, comparison.candidates.len()), (task, 2));
        let [first, second] = &comparison.candidates[..] else { panic!("two candidates") };
        assert!(first.cross_validation.mean <= second.cross_validation.mean, "the smaller loss comes first");
        for (candidate, model) in comparison.candidates.iter().zip(&run.models) {
            assert_eq!(candidate.cross_validation.criterion, criterion);
            let (reached, guessed) = (figure(&candidate.test), figure(&comparison.baseline.test));
            assert!(reached < 0.97 * guessed, "{}: {reached} {guessed}", comparison.schema);
            assert_eq!(candidate.importance.len(), data.schema.features.len());
            assert!(candidate.importance[0].loss > 0.02 * guessed, "{:?}", candidate.importance);
            let metadata = model.metadata.clone().checked().unwrap();
            assert_eq!(metadata.evaluation.test.task(), task);
            assert!(metadata.golden.rows.iter().all(|row| row.prediction.task() == task));
            let ScoreProfile::Values(profile) = &metadata.profile.score else {
                panic!("{:?}", metadata.profile)
            };
            let (FeatureProfile::Numeric { counts, .. } | FeatureProfile::Categorical { counts, .. }) =
                profile;
            assert_eq!(counts.iter().sum::<u64>() as usize, comparison.test_rows);
        }
        assert_eq!(
            run.models,
            train(&data, &TrainingPlan { folds: 3, ..TrainingPlan::for_task(task) }, &|_| ()).unwrap().models
        );
    }
}

#[test]
fn an_estimator_of_another_task_and_too_few_rows_are_refused() {
    let data = shipped(RENT, 60);
    let refused = |plan: TrainingPlan| train(&data, &plan, &|_| ()).unwrap_err().to_string();
    let logistic = vec![LogisticParams::default().into()];
    let message = refused(TrainingPlan { candidates: logistic, ..TrainingPlan::default() });
    assert_eq!(message, "logistic cannot predict a label of type \"number\": use forest or ridge");
    let ridge = vec![RidgeParams { alpha: -1.0, knots: 5 }.into()];
    let message = refused(TrainingPlan { candidates: ridge, ..TrainingPlan::default() });
    assert_eq!(message, "ridge: alpha = -1 is invalid: it must be a finite number of at least 0");
    let few = shipped(RENT, 5);
    let error = train(&few, &TrainingPlan::for_task(TaskKind::Number), &|_| ()).unwrap_err().to_string();
    assert!(
        error.starts_with("only 5 rows have a label: a share of 0.2 held out and 5 folds take"),
        "{error}"
    );
    let few = shipped(PLANS, 40);
    let error = train(&few, &TrainingPlan::for_task(TaskKind::Classes), &|_| ()).unwrap_err().to_string();
    assert!(error.contains("the label \"none\""), "{error}");
}
