use ndarray::{Array2, array};

use super::*;
use crate::fitted::FittedModel;
use crate::fixtures::{AMOUNT, PLAN, schema};
use crate::logistic::linfa;

fn fitted(features: &Array2<f32>, labels: &[bool], c: f64, knots: usize) -> (Preprocessor, FittedLogistic) {
    let preprocessor = Preprocessor::fit(&schema(&[PLAN, AMOUNT]), features.view());
    let model = fit(&preprocessor, features.view(), labels, &LogisticParams { c, knots }).unwrap();
    (preprocessor, model)
}

fn probabilities(model: &FittedModel, rows: &Array2<f32>) -> Vec<f64> {
    model.score_rows(rows.view()).probabilities().unwrap().to_vec()
}

/// Returns categories and numbers, some of them unknown or missing, and labels that depend on both.
fn table(rows: usize) -> (Array2<f32>, Vec<bool>) {
    let features = Array2::from_shape_fn((rows, 2), |(row, at)| match (at, row % 50) {
        (0, 7) => -1.0,
        (0 | 1, 13) => f32::NAN,
        (0, _) => (row % 3) as f32,
        _ => (row * 37 % 101) as f32,
    });
    let labels = features
        .outer_iter()
        .enumerate()
        .map(|(row, it)| (it[1] > 30.0 && it[1] < 80.0) ^ (it[0] == 1.0 && row % 4 == 0) ^ (row % 11 == 0))
        .collect();
    (features, labels)
}

/// Two solvers that share nothing but the loss find the same minimum.
#[test]
fn the_weights_are_those_that_linfa_finds() {
    let (features, labels) = table(3000);
    for (c, knots) in [(1.0, 0), (1.0, 4), (0.01, 5), (100.0, 3)] {
        let (preprocessor, ours) = fitted(&features, &labels, c, knots);
        let matrix = preprocessor.transform(features.view());
        let theirs = linfa::fit(matrix.view(), &labels, &LogisticParams { c, knots }).unwrap();
        assert_eq!(ours.segments, theirs.segments);
        assert_eq!(ours.weights.len(), theirs.weights.len());
        let (ours, theirs) = (FittedModel::Logistic(ours), FittedModel::Logistic(theirs));
        for (ours, theirs) in probabilities(&ours, &matrix).iter().zip(probabilities(&theirs, &matrix)) {
            assert!((ours - theirs).abs() < 1e-4, "C {c}, {knots} knots: {ours} {theirs}");
        }
    }
}

/// The optimum for one feature of two values without a penalty is known: the log-odds of each group.
#[test]
fn scores_are_the_frequencies_of_groups_and_extreme_penalties_converge() {
    let features =
        Array2::from_shape_fn((100, 2), |(row, at)| if at == 0 { f32::from(row >= 40) } else { 0.0 });
    let labels: Vec<bool> = (0..100).map(|row| row < 4 || (40..70).contains(&row)).collect();
    for (c, low, high) in [(1e6, 0.1, 0.5), (1e30, 0.1, 0.5), (1e-30, 0.34, 0.34)] {
        let (preprocessor, model) = fitted(&features, &labels, c, 5);
        let model = FittedModel::Logistic(model);
        let matrix = preprocessor.transform(array![[0.0, 0.0], [1.0, 0.0]].view());
        let scores = probabilities(&model, &matrix);
        assert!((scores[0] - low).abs() < 1e-4 && (scores[1] - high).abs() < 1e-4, "C {c}: {scores:?}");
    }
}

#[test]
fn separable_rows_and_constant_columns_converge() {
    let features = array![[0.0, 0.0], [0.0, 1.0], [0.0, 2.0], [0.0, 3.0]];
    let (_, model) = fitted(&features, &[false, false, true, true], 1.0, 0);
    assert!(model.weights[0] > 0.5, "{model:?}");
}

#[test]
fn the_advice_follows_which_end_the_setting_is_at() {
    let said = |c| LogisticError::NotConverged { iterations: 1, slope: 1.0, c }.to_string();
    assert!(said(1e-30).contains("a C nearer to 1") && !said(1e-30).contains("smaller"));
    assert!(said(1e6).contains("a smaller C makes"));
}

#[test]
fn the_line_bends_where_the_data_does_and_one_hot_columns_keep_their_weight() {
    let features =
        Array2::from_shape_fn(
            (400, 2),
            |(row, at)| if at == 0 { (row % 3) as f32 } else { row as f32 / 100.0 },
        );
    // Rare in the middle, certain at neither end: no straight line ranks these rows.
    let labels: Vec<bool> = (0..400).map(|row| !(100..300).contains(&row) && row % 4 != 0).collect();
    let (_, linear) = fitted(&features, &labels, 1.0, 0);
    let (preprocessor, spline) = fitted(&features, &labels, 1.0, 3);
    assert_eq!((linear.segments.len(), spline.segments.len(), spline.weights.len()), (0, 4, 8));
    assert!(spline.weights[0] == 0.0 && spline.weights[1] != 0.0, "{spline:?}");
    let score = |model: &FittedLogistic, amount: f32| {
        let row = preprocessor.transform(array![[-1.0, amount]].view());
        probabilities(&FittedModel::Logistic(model.clone()), &row)[0]
    };
    assert!((score(&linear, 0.0) - score(&linear, 2.0)).abs() < 0.1);
    assert!(score(&spline, 0.0) > 0.7 && score(&spline, 2.0) < 0.2 && score(&spline, 3.99) > 0.7);
}
