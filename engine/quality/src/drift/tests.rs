use std::time::Duration;

use onnward_schemas::fixtures;
use onnward_schemas::{ClassPredictions, FeatureProfile, Numbers, PredictedValues, SCORE_BINS, ScoreProfile};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;

const SHOP: &str = r#"
name = "shop"
version = 1
threshold = 0.5

[label]
column = "left"
name = "left"
positive = "yes"
negative = "no"

[[features]]
name = "age"
type = "numeric"
integer = true

[[features]]
name = "spend <b>&\"'"
description = "What they spent, in <euros>."
type = "numeric"
required = false

[[features]]
name = "plan"
type = "categorical"
values = ["basic", "full", "trial"]

[[features]]
name = "region"
type = "categorical"
values = ["north", "south", "west", "east", "abroad"]
required = false
unknown = "ignore"
"#;

const WIDTH: usize = 4;
const TRAINING_ROWS: usize = 5000;

/// Draws rows of the shop, flat, and their scores; `older` is added to the age of each.
pub fn customers(random: &mut ChaCha8Rng, rows: usize, older: f32) -> (Vec<f32>, Vec<f32>) {
    let (mut features, mut scores) = (Vec::new(), Vec::new());
    for _ in 0..rows {
        let mut draw = || random.random_range(0.0..1.0_f32);
        let age = (20.0 + 15.0 * (draw() + draw() + draw()) + older).floor();
        let spend = match draw() {
            share if share < 0.3 => 0.0,
            share if share < 0.36 => f32::NAN,
            _ => -40.0 * (1.0 - draw()).ln(),
        };
        let plan = (draw() * draw() * 3.0).floor();
        let region = match draw() {
            share if share < 0.05 => f32::NAN,
            share if share < 0.055 => -1.0,
            share => (share * share * share * 5.0).floor(),
        };
        features.extend([age, spend, plan, region]);
        scores.push((0.2 + age / 120.0 - plan * 0.2 + 0.2 * (draw() - 0.5)).clamp(0.0, 1.0));
    }
    (features, scores)
}

/// Returns the profile of these rows, as the trainer makes it: numeric bins at the deciles.
fn profile((rows, scores): &(Vec<f32>, Vec<f32>)) -> Profile {
    let column = |index: usize| rows.iter().skip(index).step_by(WIDTH).copied();
    let numeric = |index| {
        let mut values: Vec<f32> = column(index).filter(|value| !value.is_nan()).collect();
        values.sort_by(f32::total_cmp);
        let mut edges: Vec<f32> = (1..10).map(|decile| values[decile * values.len() / 10]).collect();
        edges.dedup();
        let mut counts = vec![0; edges.len() + 1];
        values.iter().for_each(|value| counts[edges.partition_point(|edge| edge < value)] += 1);
        let missing = (scores.len() - values.len()) as u64;
        FeatureProfile::Numeric { edges, counts, missing, min: 0.0, median: 0.0, mean: 0.0, max: 0.0 }
    };
    let categorical = |index, values: usize| {
        let count = |of: &dyn Fn(f32) -> bool| column(index).filter(|code| of(*code)).count() as u64;
        FeatureProfile::Categorical {
            counts: (0..values).map(|value| count(&|code| code == value as f32)).collect(),
            missing: count(&|code| code.is_nan()),
            unknown: count(&|code| code < 0.0),
        }
    };
    let mut score = vec![0; SCORE_BINS];
    scores.iter().for_each(|p| score[((f64::from(*p) * SCORE_BINS as f64) as usize).min(19)] += 1);
    Profile {
        rows: scores.len() as u64,
        features: vec![numeric(0), numeric(1), categorical(2, 3), categorical(3, 5)],
        score: ScoreProfile::Probability(score),
        errors: None,
    }
}

pub fn config(window_rows: usize) -> DriftConfig {
    DriftConfig {
        window_rows,
        window: Duration::from_secs(86_400),
        min_rows: 500,
        sample: 1.0,
        max_rows_per_second: 100_000_000,
        alpha: 0.01,
        psi_threshold: 0.1,
    }
}

/// Returns the schema of the shop and the profile of its training rows.
pub fn shop(random: &mut ChaCha8Rng) -> (Schema, Profile) {
    (fixtures::schema(SHOP), profile(&customers(random, TRAINING_ROWS, 0.0)))
}

fn drift(random: &mut ChaCha8Rng, config: DriftConfig) -> Drift {
    let (schema, profile) = shop(random);
    Drift::new(&schema, &profile, config)
}

fn random() -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(7)
}

fn observe(drift: &Drift, (features, scores): &(Vec<f32>, Vec<f32>)) {
    drift.observe(features, scores);
}

fn of<'a>(window: &'a WindowReport<'_>, name: &str) -> &'a VariableReport<'a> {
    window.variables().find(|variable| variable.name == name).unwrap()
}

#[test]
fn what_has_shifted_is_detected_and_what_depends_on_it_and_nothing_else() {
    let mut random = random();
    let drift = drift(&mut random, config(1000));
    observe(&drift, &customers(&mut random, 1000, 12.0));
    let report = drift.report();
    for window in WindowKind::ALL.map(|kind| report.window(kind)) {
        assert!(window.ready && window.reason.is_none());
        assert_eq!((window.rows, window.drifted.as_slice()), (1000, ["age", SCORE_NAME].as_slice()));
        assert!(of(window, "age").statistics.p_value.unwrap() < 1e-10);
        assert!(of(window, "plan").statistics.p_value.unwrap() > 0.001);
        assert!((of(window, "region").missing.training - 0.05).abs() < 0.01);
        assert!((of(window, "region").unknown.unwrap().live - 0.005).abs() < 0.005);
        for variable in window.variables() {
            let sum = |of: fn(&Shares) -> f64| variable.bins.iter().map(|bin| of(&bin.shares)).sum::<f64>();
            assert!((sum(|s| s.training) - 1.0).abs() < 1e-9 && (sum(|s| s.live) - 1.0).abs() < 1e-9);
        }
    }
}

#[test]
fn too_few_rows_have_no_result_and_a_reason() {
    let mut random = random();
    let drift = drift(&mut random, config(1000));
    observe(&drift, &customers(&mut random, 499, 60.0));
    let report = drift.report();
    assert!(!report.sliding.ready && report.sliding.drifted.is_empty());
    assert!(report.sliding.reason.as_ref().unwrap().contains("499 rows"), "{:?}", report.sliding.reason);
    assert_eq!(of(&report.sliding, "age").statistics, Statistics::default());
    assert!(report.tumbling.reason.as_ref().unwrap().contains("1000 rows or 1 day"));
    observe(&drift, &customers(&mut random, 1, 60.0));
    assert!(drift.report().sliding.drifted.contains(&"age"));
}

#[test]
fn a_negligible_difference_that_many_rows_make_certain_is_no_drift() {
    let mut random = random();
    let drift = drift(&mut random, config(100_000));
    observe(&drift, &customers(&mut random, 100_000, 1.0));
    let report = drift.report();
    let age = of(&report.sliding, "age");
    assert!(age.statistics.p_value.unwrap() < 1e-6 && age.statistics.psi.unwrap() < 0.1, "{age:?}");
    assert!(report.sliding.drifted.is_empty());
}

#[test]
fn a_broken_feed_is_detected_by_what_is_missing_or_unknown() {
    let mut random = random();
    for (column, value, name) in [(2, -1.0, "plan"), (0, f32::NAN, "age")] {
        let drift = drift(&mut random, config(1000));
        let mut rows = customers(&mut random, 600, 0.0);
        rows.0.iter_mut().skip(column).step_by(WIDTH * 5).for_each(|cell| *cell = value);
        observe(&drift, &rows);
        assert_eq!(drift.report().sliding.drifted, [name]);
    }
}

#[test]
fn every_row_is_counted_whatever_the_batches_and_the_threads() {
    let mut random = random();
    let drift = drift(&mut random, config(1_000_000));
    let rows = customers(&mut random, 3000, 0.0);
    std::thread::scope(|scope| {
        for batch in [1, 7, 3000] {
            let (drift, rows) = (&drift, &rows);
            scope.spawn(move || {
                let batches = rows.0.chunks(batch * WIDTH).zip(rows.1.chunks(batch));
                batches.for_each(|(features, scores)| drift.observe(features, scores));
            });
        }
    });
    let report = drift.report();
    assert_eq!((report.sliding.rows, report.sliding.rows_seen), (9000, 9000));
    let once = Drift::new(&fixtures::schema(SHOP), &profile(&rows), config(1_000_000));
    observe(&once, &rows);
    // Three times the same rows are like these rows, and exactly.
    for variable in once.report().sliding.variables() {
        assert!(variable.statistics.psi.unwrap() < 1e-12, "{variable:?}");
    }
}

#[test]
fn a_sample_of_the_rows_finds_the_same() {
    let mut random = random();
    let sampled = DriftConfig { sample: 0.1, ..config(1000) };
    let drift = drift(&mut random, sampled);
    observe(&drift, &customers(&mut random, 9000, 12.0));
    let window = drift.report().sliding;
    assert_eq!(window.rows_seen, 9000);
    assert!(window.rows.abs_diff(900) < 120, "{}", window.rows);
    assert_eq!(window.drifted, ["age", SCORE_NAME]);
}

#[tokio::test(start_paused = true)]
async fn a_model_without_recent_requests_has_no_result() {
    let mut random = random();
    let drift = drift(&mut random, config(1000));
    observe(&drift, &customers(&mut random, 1000, 12.0));
    tokio::time::advance(Duration::from_secs(86_400 * 3)).await;
    let report = drift.report();
    for window in WindowKind::ALL.map(|kind| report.window(kind)) {
        assert_eq!((window.ready, window.rows, window.drifted.len()), (false, 0, 0));
    }
}

/// On 100 fresh windows of the distribution of the training rows, p-values are below 0.05 in about 5 of them,
/// and alarms at most as often as promised: of each variable, and for small and large windows. Each window
/// has training rows of its own: with the same ones, large windows all see what is peculiar to these.
#[test]
fn false_alarms_come_at_the_promised_rate() {
    const WINDOWS: usize = 100;
    let mut random = random();
    for rows in [500, 1000, 10_000] {
        let (mut low, mut significant, mut alarms) = ([0; WIDTH + 1], 0, 0);
        for _ in 0..WINDOWS {
            let drift = drift(&mut random, config(rows));
            observe(&drift, &customers(&mut random, rows, 0.0));
            let report = drift.report();
            let p_values: Vec<f64> =
                report.tumbling.variables().map(|variable| variable.statistics.p_value.unwrap()).collect();
            for (low, p_value) in low.iter_mut().zip(&p_values) {
                *low += usize::from(*p_value < 0.05);
            }
            significant += usize::from(p_values.iter().any(|p_value| *p_value < report.p_value_threshold));
            alarms += usize::from(!report.tumbling.drifted.is_empty());
        }
        println!("{rows} rows: below 0.05 {low:?}, below the threshold {significant}, alarms {alarms}");
        // Of 100 windows at 5 %, 13 or more come once in a thousand times; of 500 values, fewer than 10 or
        // more than 43.
        assert!(low.iter().all(|low| *low < 13), "{low:?}");
        assert!((10..=43).contains(&low.iter().sum::<usize>()), "{low:?}");
        // Of 100 windows at 1 %, 6 or more come once in two thousand times.
        assert!(significant < 6 && alarms <= significant, "{significant} {alarms}");
    }
}

/// Returns the schema of the shop with another label, and its profile with the predictions of held-out rows.
fn of_task(random: &mut ChaCha8Rng, label: &str, score: FeatureProfile) -> (Schema, Profile) {
    let (head, features) = SHOP.split_once("[[features]]").unwrap();
    let head = head.split("threshold").next().unwrap();
    let schema =
        fixtures::schema(&format!("{head}[label]\ncolumn = \"goal\"\n{label}\n[[features]]{features}"));
    (
        schema,
        Profile { score: ScoreProfile::Values(score), ..profile(&customers(random, TRAINING_ROWS, 0.0)) },
    )
}

fn of_classes(random: &mut ChaCha8Rng) -> (Schema, Profile) {
    let counts = vec![500, 300, 200];
    let score = FeatureProfile::Categorical { counts, missing: 0, unknown: 0 };
    of_task(random, "type = \"classes\"\nvalues = [\"low\", \"mid\", \"high\"]", score)
}

fn of_numbers(random: &mut ChaCha8Rng) -> (Schema, Profile) {
    let (edges, counts) = (vec![-10.0, 0.0, 10.0], vec![250; 4]);
    let score =
        FeatureProfile::Numeric { edges, counts, missing: 0, min: -20.0, median: 0.0, mean: 0.0, max: 20.0 };
    of_task(random, "type = \"number\"", score)
}

#[test]
fn predicted_classes_drift_by_their_shares() {
    let mut random = random();
    let (schema, profile) = of_classes(&mut random);
    for (shares, drifted) in [([500, 300, 200], false), ([200, 300, 500], true)] {
        let drift = Drift::new(&schema, &profile, config(1000));
        let (features, _) = customers(&mut random, 1000, 0.0);
        let indices = shares.iter().zip(0..).flat_map(|(count, class)| vec![class; *count]).collect();
        let classes = ClassPredictions { indices, probabilities: None };
        drift.observe_predictions(&features, &PredictedValues::Classes(classes).into());
        let report = drift.report();
        let score = report.sliding.score.as_ref().unwrap();
        assert_eq!((score.name, score.detected, score.training_rows), ("goal", drifted, 1000));
        let bins: Vec<_> = score.bins.iter().map(|bin| (bin.bin.name.as_str(), bin.live_rows)).collect();
        let [low, mid, high] = shares.map(|share| share as u64);
        assert_eq!(bins, [("low", low), ("mid", mid), ("high", high), ("missing", 0), ("unknown", 0)]);
        assert_eq!(report.sliding.score_title(), ScoreTitle::PredictedClass);
    }
}

#[test]
fn predicted_numbers_drift_by_the_bins_of_the_profile() {
    let mut random = random();
    let (schema, profile) = of_numbers(&mut random);
    for (shift, drifted) in [(0.0, false), (15.0, true)] {
        let drift = Drift::new(&schema, &profile, config(1000));
        let (features, _) = customers(&mut random, 1000, 0.0);
        let numbers = (0..1000).map(|row| f64::from(row) * 0.04 - 20.0 + shift).collect();
        drift.observe_predictions(&features, &PredictedValues::Numbers(Numbers::Double(numbers)).into());
        let report = drift.report();
        let score = report.sliding.score.as_ref().unwrap();
        assert_eq!((score.name, score.detected, score.bins.len()), ("goal", drifted, 5));
        assert_eq!(report.sliding.score_title(), ScoreTitle::PredictedNumber);
    }
}

#[test]
fn a_row_that_failed_counts_as_one_without_a_prediction() {
    let mut random = random();
    let failed = [
        (of_classes(&mut random), {
            let indices = vec![0, ClassPredictions::NONE, 2];
            PredictedValues::Classes(ClassPredictions { indices, probabilities: None })
        }),
        (of_numbers(&mut random), PredictedValues::Numbers(Numbers::Single(vec![1.0, f32::NAN, -1.0]))),
    ];
    for ((schema, profile), values) in failed {
        let drift = Drift::new(&schema, &profile, config(1000));
        drift.observe_predictions(&customers(&mut random, 3, 0.0).0, &values.into());
        assert_eq!(drift.report().sliding.score.unwrap().missing.live, 1.0 / 3.0);
    }
}

mod pages {
    use super::*;

    fn page(report: &DriftReport<'_>, window: WindowKind) -> String {
        report
            .page(&PageContext { model: "shop", version: 3, by_number: true, window, is_file: false })
            .unwrap()
    }

    #[test]
    fn the_headline_says_in_words_what_has_drifted() {
        let mut random = random();
        let drift = drift(&mut random, config(1000));
        assert!(
            page(&drift.report(), WindowKind::Sliding).contains("<h1>Too few rows for a result yet</h1>")
        );
        observe(&drift, &customers(&mut random, 1000, 0.0));
        let calm = page(&drift.report(), WindowKind::Tumbling);
        assert!(calm.contains("<h1>None of 4 features has drifted</h1>"), "{calm}");
        observe(&drift, &customers(&mut random, 1000, 12.0));
        let page = page(&drift.report(), WindowKind::Tumbling);
        assert!(page.contains("<h1>1 of 4 features has drifted: look at age</h1>"), "{page}");
        let figures = page.find("Training against live").unwrap();
        let place = |name: &str| page[figures..].find(name).unwrap();
        assert!(place("<h3>age") < place("<h3>plan"), "the worst comes first");
        assert!(page.contains("?window=sliding&#38;version=3"), "{page}");
    }

    #[test]
    fn it_is_one_file_without_scripts_and_escapes_what_it_is_given() {
        let mut random = random();
        let drift = drift(&mut random, config(1000));
        observe(&drift, &customers(&mut random, 1000, 12.0));
        let page = page(&drift.report(), WindowKind::Sliding);
        for forbidden in ["<script", "http:", "https:", "url(", "<link rel=\"stylesheet", "<b>&", "<euros>"] {
            assert!(!page.contains(forbidden), "{forbidden}");
        }
        assert!(page.contains("spend &#60;b&#62;&#38;&#34;&#39;"));
    }

    #[test]
    fn it_names_what_the_model_predicts() {
        let mut random = random();
        let (classes, numbers) = (of_classes(&mut random), of_numbers(&mut random));
        for ((schema, profile), title) in [(classes, "predicted class"), (numbers, "predicted number")] {
            let drift = Drift::new(&schema, &profile, config(1000));
            // All rows are of one class, or nearly of one number.
            drift.observe(&customers(&mut random, 1000, 0.0).0, &[0.0; 1000]);
            let page = page(&drift.report(), WindowKind::Sliding);
            let headline = format!("<h1>The {title} has drifted, though no feature has</h1>");
            assert!(page.contains(&headline) && page.contains(&format!("PSI of the {title}")), "{page}");
            assert!(!page.contains("the score") && !page.contains("Histogram"), "{page}");
        }
    }
}
