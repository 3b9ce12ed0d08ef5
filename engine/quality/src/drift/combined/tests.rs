//! Engines that share the traffic give the same report as one engine that has seen all of it.

use serde_json::{Value, json};

use super::*;
use crate::drift::Drift;
use crate::drift::tests::{config, customers, shop};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Returns the counts of a report as another program reads them.
fn counts(drift: &Drift) -> DriftCounts {
    let mut report = serde_json::to_value(drift.report()).unwrap();
    report["model"] = json!("shop");
    report["version"] = json!(3);
    serde_json::from_str(&report.to_string()).unwrap()
}

/// Returns a report without its times, which differ by when its engine began.
fn without_times(report: &DriftReport<'_>) -> Value {
    let mut report = serde_json::to_value(report).unwrap();
    report.as_object_mut().unwrap().remove("since");
    for window in ["tumbling", "sliding"] {
        for time in ["from", "to"] {
            report[window].as_object_mut().unwrap().remove(time);
        }
    }
    report
}

#[tokio::test(start_paused = true)]
async fn engines_that_share_the_traffic_report_what_one_engine_would() {
    for seed in 0..20 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let (schema, profile) = shop(&mut random);
        let new = || Drift::new(&schema, &profile, config(2000));
        let (whole, engines) = (new(), [new(), new(), new()]);
        let older = if seed % 2 == 0 { 0.0 } else { 12.0 };
        for _ in 0..15 {
            let rows = random.random_range(1..100);
            let (features, scores) = customers(&mut random, rows, older);
            whole.observe(&features, &scores);
            engines[random.random_range(0..engines.len())].observe(&features, &scores);
        }
        let reports: Vec<DriftCounts> = engines.iter().map(counts).collect();
        let combined = CombinedDrift::of(&reports).unwrap();
        assert_eq!(without_times(&combined.report()), without_times(&whole.report()), "seed {seed}");
        assert!(seed % 2 == 0 || !combined.report().sliding.drifted.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn what_an_engine_saw_before_it_began_anew_is_added_while_it_is_recent() {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let (schema, profile) = shop(&mut random);
    let new = || Drift::new(&schema, &profile, config(2000));
    let (whole, before, after) = (new(), new(), new());
    for (engine, rows) in [(&before, 700), (&after, 300)] {
        let (features, scores) = customers(&mut random, rows, 0.0);
        whole.observe(&features, &scores);
        engine.observe(&features, &scores);
    }
    let (mut before, after) = (counts(&before), counts(&after));
    before.since -= TimeDelta::hours(1);
    assert!(!after.continues(&before) && after.continues(&after.clone()));
    let now = before.sliding.to.unwrap();
    let combined = CombinedDrift::of(&[before.clone().without_tumbling(), after]).unwrap();
    assert_eq!(without_times(&combined.report())["sliding"], without_times(&whole.report())["sliding"]);
    let length = TimeDelta::try_seconds(before.window_seconds as i64).unwrap();
    assert!(before.is_recent(now) && !before.is_recent(now + length));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_added_is_refused() {
    let mut random = ChaCha8Rng::seed_from_u64(2);
    let (schema, profile) = shop(&mut random);
    let report = counts(&Drift::new(&schema, &profile, config(2000)));
    let refused = |other: DriftCounts| CombinedDrift::of(&[report.clone(), other]).unwrap_err();
    let other = DriftCounts { version: 4, ..report.clone() };
    assert_eq!(refused(other), CombineError::Versions("3, 4".to_owned()));
    assert_eq!(refused(DriftCounts { alpha: 0.5, ..report.clone() }), CombineError::Settings);
    let profiles = CombineError::Profiles { version: 3 };
    assert_eq!(refused(DriftCounts { training_rows: 1, ..report.clone() }), profiles);
    let mut other = report.clone();
    other.sliding.features[0].bins[0].training_rows += 1;
    assert_eq!(refused(other), profiles);
    let mut other = report.clone();
    other.sliding.features.pop();
    assert_eq!(refused(other), profiles);
}
