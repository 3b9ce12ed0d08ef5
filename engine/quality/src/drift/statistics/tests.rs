use serde::Deserialize;

use super::*;

/// A histogram twice, and what scipy makes of it; see `tests/drift/reference.py`.
#[derive(Deserialize)]
struct Case {
    training: Vec<u64>,
    live: Vec<u64>,
    values: usize,
    psi: f64,
    js_distance: f64,
    chi2: Option<f64>,
    p_value: f64,
}

fn cases() -> Vec<Case> {
    serde_json::from_str(include_str!("../../../../../tests/drift/reference.json")).unwrap()
}

#[track_caller]
fn close(got: f64, expected: f64, what: &str, case: usize) {
    assert!((got - expected).abs() < 1e-9, "{what} of case {case}: {got} is not scipy's {expected}");
}

#[test]
fn the_statistics_are_those_of_scipy() {
    let cases = cases();
    assert!(cases.len() > 60);
    for (index, case) in cases.iter().enumerate() {
        let Case { training, live, values, .. } = case;
        close(psi(training, live), case.psi, "psi", index);
        close(js_distance(training, live), case.js_distance, "js_distance", index);
        close(homogeneity_p_value(training, live, *values), case.p_value, "p_value", index);
        let seen = training.iter().zip(live).map(|(a, b)| [*a, *b]).filter(|[a, b]| a + b > 0);
        let pearson = chi_squared(&seen.collect::<Vec<_>>());
        assert_eq!(pearson.is_some(), case.chi2.is_some());
        close(pearson.unwrap_or_default(), case.chi2.unwrap_or_default(), "chi2", index);
    }
}

/// The cases would prove less if they did not reach every branch.
#[test]
fn the_cases_hold_dense_merged_and_lone_bins() {
    let cases = cases();
    let is_plain = |case: &&Case| case.chi2.is_some_and(|chi2| (chi2 - case.p_value).abs() < 1e-12);
    let plain = cases.iter().filter(is_plain).count();
    assert!(plain > 20 && plain < cases.len() - 20, "{plain} of {}", cases.len());
    assert!(cases.iter().filter(|case| case.p_value > 0.01 && case.p_value < 0.99).count() > 10);
}

#[test]
fn nothing_counted_is_no_difference() {
    for (training, live) in [([5, 5], [0, 0]), ([0, 0], [3, 4]), ([0, 0], [0, 0])] {
        assert_eq!(psi(&training, &live), 0.0);
        assert_eq!(js_distance(&training, &live), 0.0);
        assert_eq!(homogeneity_p_value(&training, &live, 2), 1.0);
    }
}

#[test]
fn a_few_values_that_training_never_saw_are_noticed_at_once() {
    let training = [2800, 2834, 0, 0];
    let p_value = |unknown| homogeneity_p_value(&training, &[250 - unknown, 250, 0, unknown], 2);
    assert!(p_value(1) > 0.05);
    assert!(p_value(5) < 1e-4);
    assert!(p_value(15) < 1e-14);
}

#[test]
fn very_large_and_very_small_counts_stay_finite() {
    let many = [1 << 40, 1 << 41, 7, 0];
    let few = [3, 9, 0, 1];
    for (training, live) in [(many, few), (few, many), (many, many)] {
        for value in [psi(&training, &live), js_distance(&training, &live)] {
            assert!(value.is_finite() && value >= 0.0);
        }
        let p_value = homogeneity_p_value(&training, &live, 2);
        assert!((0.0..=1.0).contains(&p_value), "{p_value}");
    }
}
