//! Compares the figures with those of scikit-learn, and the estimate with NannyML's.

use serde_json::Value;

use super::*;
use crate::estimate::Estimator;

struct Reference {
    predictions: Vec<LabelledPrediction>,
    threshold: f64,
    figures: Value,
}

/// Reads 300 probabilities with ties and with values on the edges of bins, their labels, and the figures from
/// Python.
fn reference() -> Reference {
    let figures: Value = serde_json::from_str(include_str!("../reference.json")).unwrap();
    let list = |name: &str| figures[name].as_array().unwrap().clone();
    let predictions = list("probabilities").into_iter().zip(list("labels")).map(|(probability, label)| {
        LabelledPrediction { probability: probability.as_f64().unwrap() as f32, positive: label == 1 }
    });
    let (predictions, threshold) = (predictions.collect(), figures["threshold"].as_f64().unwrap());
    Reference { predictions, threshold, figures }
}

#[track_caller]
fn close(ours: Option<f64>, theirs: &Value, tolerance: f64, name: &str) {
    let (ours, theirs) = (ours.unwrap(), theirs.as_f64().unwrap());
    assert!((ours - theirs).abs() <= tolerance, "{name}: {ours} and {theirs}");
}

#[test]
fn figures_are_those_of_scikit_learn() {
    let Reference { mut predictions, threshold, figures } = reference();
    let performance = Performance::of(&mut predictions, threshold as f32);
    for (name, value) in performance.figures() {
        close(value, &figures["measured"][name], 1e-9, name);
    }
    let bins = &figures["calibration"];
    assert_eq!(performance.calibration.len(), bins["predictions"].as_array().unwrap().len());
    for (at, bin) in performance.calibration.iter().enumerate() {
        assert_eq!(bin.predictions, bins["predictions"][at].as_u64().unwrap());
        close(Some(bin.mean_probability), &bins["mean_probability"][at], 1e-9, "mean probability");
        close(Some(bin.share_positive), &bins["share_positive"][at], 1e-9, "share of positives");
    }
}

#[test]
fn an_estimate_is_what_the_formula_says_and_its_curve_nearly() {
    let Reference { predictions, threshold, figures } = reference();
    let estimator = Estimator::new(threshold, 1000);
    assert_eq!(estimator.estimate(), None);
    let probabilities: Vec<f32> = predictions.iter().map(|one| one.probability).collect();
    let (first, rest) = probabilities.split_at(7);
    estimator.observe(first);
    estimator.observe(&[f32::NAN, f32::INFINITY]);
    estimator.observe(rest);
    let estimate = estimator.estimate().unwrap();
    assert_eq!(estimate.rows, 300);
    for (name, value) in estimate.figures() {
        // The curve is drawn by bins.
        let tolerance = if name == "roc_auc" { 1e-4 } else { 1e-9 };
        close(value, &figures["estimated"][name], tolerance, name);
    }
}

#[test]
fn an_estimate_covers_the_last_scores() {
    let estimator = Estimator::new(0.5, 100);
    estimator.observe(&[1.0; 100]);
    estimator.observe(&[0.75; 60]);
    let both = estimator.estimate().unwrap();
    assert_eq!((both.rows, both.precision), (160, Some((100.0 + 45.0) / 160.0)));
    estimator.observe(&[0.75; 60]);
    estimator.observe(&[0.75; 10]);
    let last = estimator.estimate().unwrap();
    assert_eq!((last.rows, last.precision), (130, Some(0.75)));
    assert_eq!((last.recall, last.roc_auc), (Some(1.0), Some(0.5)));
}

#[test]
fn what_predictions_do_not_decide_is_not_told() {
    let figures = |predictions: &[(f32, bool)]| {
        let judge = |&(probability, positive)| LabelledPrediction { probability, positive };
        Performance::of(&mut predictions.iter().map(judge).collect::<Vec<_>>(), 0.5)
    };
    let none = figures(&[]);
    assert!(none.figures().iter().all(|(_, value)| value.is_none()) && none.calibration.is_empty());
    let negatives = figures(&[(0.1, false), (0.2, false)]);
    assert_eq!((negatives.roc_auc, negatives.precision, negatives.recall), (None, None, None));
    assert_eq!(negatives.accuracy, Some(1.0));
    let reversed = figures(&[(0.1, true), (0.9, false)]);
    assert_eq!((reversed.roc_auc, reversed.accuracy), (Some(0.0), Some(0.0)));
}

/// Engines that share the traffic: the figures of their counts are those of all predictions, to the last bit.
#[test]
fn counts_of_several_engines_give_the_figures_of_all_predictions() {
    let Reference { predictions, threshold, .. } = reference();
    let mut whole = predictions.clone();
    let expected = Performance::of(&mut whole, threshold as f32);
    let mut counts = Vec::new();
    for engine in 0..3 {
        let engine_of = |index: usize| if index.is_multiple_of(5) { 0 } else { index % 3 };
        let shared = predictions.iter().enumerate().filter(|(index, _)| engine_of(*index) == engine);
        let mut shared: Vec<LabelledPrediction> = shared.map(|(_, one)| *one).collect();
        Performance::of(&mut shared, threshold as f32);
        let text = serde_json::to_string(&ScoreCount::of(&shared)).unwrap();
        counts.extend(serde_json::from_str::<Vec<ScoreCount>>(&text).unwrap());
    }
    let mut all = ScoreCount::predictions(&counts, 1000).unwrap();
    assert_eq!(all.len(), predictions.len());
    assert_eq!(Performance::of(&mut all, threshold as f32), expected);
    assert_eq!(ScoreCount::predictions(&[ScoreCount(0.5, u64::MAX, 1)], u64::MAX), None);
}

#[test]
fn the_estimate_of_several_engines_is_that_of_all_predictions() {
    let Reference { predictions, threshold, .. } = reference();
    let scores: Vec<f32> = predictions.iter().map(|one| one.probability).collect();
    let (whole, engines) = (Estimator::new(threshold, 1000), [0, 1].map(|_| Estimator::new(threshold, 1000)));
    whole.observe(&scores);
    let half = scores.split_at(scores.len() / 3);
    engines[0].observe(half.0);
    engines[1].observe(half.1);
    let text = serde_json::to_string(&engines[1].sums().unwrap()).unwrap();
    let mut sums = engines[0].sums().unwrap();
    sums.join(&serde_json::from_str(&text).unwrap());
    let (combined, expected) = (sums.estimate(), whole.estimate().unwrap());
    assert_eq!(combined.rows, expected.rows);
    for ((name, ours), (_, theirs)) in combined.figures().into_iter().zip(expected.figures()) {
        assert!((ours.unwrap() - theirs.unwrap()).abs() < 1e-12, "{name}");
    }
}
