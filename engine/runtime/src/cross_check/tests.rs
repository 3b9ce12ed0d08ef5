use onnward_schemas::FeatureProfile;
use onnward_schemas::fixtures::{PHONE, metadata};

use super::*;
use crate::fixtures::Constant;

/// Returns [`PHONE`]'s metadata with a training profile.
fn profiled() -> Metadata {
    let mut metadata = metadata(PHONE);
    let numeric = |edges: &[f32], counts: &[u64], [min, max]: [f32; 2], missing| FeatureProfile::Numeric {
        edges: edges.to_vec(),
        counts: counts.to_vec(),
        missing,
        min,
        median: min,
        mean: f64::from(min),
        max,
    };
    metadata.profile.features = vec![
        numeric(&[3.0, 12.0], &[10, 10, 20], [2.0, 72.0], 0),
        numeric(&[20.25], &[10, 10], [18.8, 118.75], 20),
        FeatureProfile::Categorical { counts: vec![40, 0], missing: 0, unknown: 0 },
        FeatureProfile::Categorical { counts: vec![20, 20], missing: 0, unknown: 0 },
        FeatureProfile::Categorical { counts: vec![10, 10], missing: 10, unknown: 10 },
    ];
    metadata
}

fn column(metadata: &Metadata, feature: usize) -> Vec<GoldenValue> {
    let rows = draw_rows(&metadata.schema, &metadata.profile, 1000, "a digest");
    rows.into_iter().map(|mut row| row.swap_remove(feature)).collect()
}

fn numbers(values: &[GoldenValue]) -> Vec<f64> {
    values
        .iter()
        .filter_map(|value| if let GoldenValue::Number(number) = value { Some(*number) } else { None })
        .collect()
}

#[test]
fn drawn_numbers_lie_in_the_bins_as_often_as_the_training_rows_did() {
    let metadata = profiled();
    let months = numbers(&column(&metadata, 0));
    assert_eq!(months.len(), 1000, "none was missing");
    assert!(months.iter().all(|months| (2.0..=72.0).contains(months) && months.fract() == 0.0));
    for smallest_and_largest in [2.0, 72.0] {
        assert!(months.contains(&smallest_and_largest));
    }
    let high = months.iter().filter(|months| **months > 12.0).count();
    assert!((400..600).contains(&high), "half of the training rows lay above 12, {high} of 1000 do");
    let charges = column(&metadata, 1);
    let present = numbers(&charges);
    assert!(present.iter().all(|charge| (18.8..=118.75).contains(charge)));
    assert!(present.iter().any(|charge| charge.fract() != 0.0));
    assert!((400..600).contains(&present.len()), "half of the training rows had no value");
}

#[test]
fn drawn_categories_are_missing_and_unknown_as_often_as_in_the_training_rows() {
    let metadata = profiled();
    let text = |text: &str| GoldenValue::Text(text.to_owned());
    assert_eq!(column(&metadata, 2), vec![text("basic"); 1000], "nobody had another plan");
    let regions = column(&metadata, 4);
    for value in [text("north"), text("south"), text("(unlisted)"), GoldenValue::Missing] {
        let share = regions.iter().filter(|region| **region == value).count();
        assert!((150..350).contains(&share), "{value:?}: {share} of 1000");
    }
}

#[test]
fn a_profile_of_nothing_draws_nothing() {
    let mut metadata = profiled();
    metadata.profile.features[0] = FeatureProfile::Numeric {
        edges: Vec::new(),
        counts: Vec::new(),
        missing: 0,
        min: 0.0,
        median: 0.0,
        mean: 0.0,
        max: 0.0,
    };
    assert_eq!(column(&metadata, 0), vec![GoldenValue::Missing; 1000]);
}

#[test]
fn the_same_file_gets_the_same_rows() {
    let metadata = profiled();
    let rows = |sha256| ComparedRows::of(&metadata, sha256).rows;
    assert_eq!(rows("ab12"), rows("ab12"));
    assert_ne!(rows("ab12"), rows("ab13"));
    assert_eq!(rows("ab12").len(), metadata.golden.rows.len() + DRAWN_ROWS);
}

#[test]
fn the_row_that_differs_most_is_named_with_its_values() {
    let metadata = profiled();
    let rows = ComparedRows::of(&metadata, "a digest");
    let golden = metadata.golden.rows.len();
    let scores = |backend, changes: &[(usize, f32)]| {
        let mut probabilities = vec![0.25; rows.len()];
        for (row, probability) in changes {
            probabilities[*row] = *probability;
        }
        BackendScores { backend, predictions: probabilities.into() }
    };
    let serving = scores(BackendKind::OnnxRuntime, &[]);
    let compare = |changes: &[(usize, f32)]| rows.compare(&serving, &scores(BackendKind::Tract, changes));

    let agreed = compare(&[(golden, 0.25 + 5e-7)]).unwrap();
    assert_eq!((agreed.with, agreed.drawn_rows), (BackendKind::Tract, DRAWN_ROWS));
    assert!(agreed.max_difference > 4e-7);
    let drawn = compare(&[(1, 0.26), (golden + 17, 0.75)]).unwrap_err();
    assert_eq!(drawn.origin, RowOrigin::Drawn(17));
    let message = drawn.to_string();
    for part in
        ["drawn row 17 ", "0.25 on onnxruntime", "0.75 on tract", r#""plan": "basic""#, r#"{"months": "#]
    {
        assert!(message.contains(part), "{message}");
    }
    let golden = compare(&[(1, 0.26)]).unwrap_err();
    assert_eq!(golden.origin, RowOrigin::Golden(1));
    assert!(
        golden.row.contains(r#""charges": null, "plan": "full", "senior": "1", "region": "west"}"#),
        "{golden}"
    );
}

#[test]
fn no_number_agrees_with_nothing() {
    let metadata = profiled();
    let rows = ComparedRows::of(&metadata, "a digest");
    let nowhere = |backend| BackendScores { backend, predictions: vec![f32::NAN; rows.len()].into() };
    let compared = rows.compare(&nowhere(BackendKind::OnnxRuntime), &nowhere(BackendKind::Tract));
    assert_eq!(compared.unwrap_err().origin, RowOrigin::Golden(0));
}

#[test]
fn every_compared_row_needs_a_score_of_its_own() {
    let metadata = profiled();
    let rows = ComparedRows::of(&metadata, "a digest");
    for count in [0, 1, rows.len() - 1, rows.len(), rows.len() + 1] {
        let scored = rows.score(BackendKind::Tract, &mut Constant(vec![0.25; count]));
        let refused = BackendError::ScoreCount { rows: rows.len(), scores: count };
        assert_eq!(scored.err(), (count != rows.len()).then_some(refused));
    }
}

#[test]
fn a_tolerance_that_no_file_may_state_covers_no_disagreement() {
    let mut metadata = profiled();
    for tolerance in [1e-4, 1e6, f64::INFINITY, f64::NAN, 0.0, -1.0] {
        metadata.golden.tolerance = tolerance;
        let rows = ComparedRows::of(&metadata, "a digest");
        let scores = |score| rows.score(BackendKind::Tract, &mut Constant(vec![score; rows.len()])).unwrap();
        assert!(rows.compare(&scores(0.25), &scores(0.25)).is_ok(), "{tolerance}");
        assert!(rows.compare(&scores(0.25), &scores(0.2502)).is_err(), "{tolerance}");
    }
}
