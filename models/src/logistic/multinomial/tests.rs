use ndarray::Array2;

use super::*;
use crate::fitted::FittedModel;
use crate::fixtures::{AMOUNT, PLAN, schema};
use crate::labels::Scores;
use crate::logistic::newton;

/// Returns categories and numbers, some of them unknown or missing, and classes that depend on both.
fn table(rows: usize, classes: usize) -> (Preprocessor, Array2<f32>, ClassLabels) {
    let features = Array2::from_shape_fn((rows, 2), |(row, at)| match (at, row % 50) {
        (0, 7) => -1.0,
        (0 | 1, 13) => f32::NAN,
        (0, _) => (row % 3) as f32,
        _ => (row * 37 % 101) as f32,
    });
    let of = |(row, it): (usize, ndarray::ArrayView1<'_, f32>)| {
        let size = if it[1].is_nan() { 50.0 } else { it[1] };
        let class =
            (size / 101.0 * classes as f32) as usize + usize::from(it[0] == 1.0) + usize::from(row % 7 == 0);
        (class % classes) as u32
    };
    let indices = features.outer_iter().enumerate().map(of).collect();
    let preprocessor = Preprocessor::fit(&schema(&[PLAN, AMOUNT]), features.view());
    (preprocessor, features, ClassLabels { indices, classes })
}

fn probabilities(
    preprocessor: &Preprocessor,
    features: &Array2<f32>,
    model: FittedMultinomial,
) -> Array2<f64> {
    match FittedModel::Multinomial(model).score_rows(preprocessor.transform(features.view()).view()) {
        Scores::ClassProbabilities(probabilities) => probabilities,
        other => panic!("{other:?}"),
    }
}

/// With two classes, the weights of each are half of those of a binary model with a penalty twice as strong.
#[test]
fn two_classes_are_a_binary_label() {
    let (preprocessor, features, labels) = table(2000, 2);
    let binary: Vec<bool> = labels.indices.iter().map(|class| *class == 1).collect();
    for (c, knots) in [(1.0, 0), (0.1, 5), (50.0, 3)] {
        let ours = fit(&preprocessor, features.view(), &labels, &LogisticParams { c, knots }).unwrap();
        let ours = probabilities(&preprocessor, &features, ours);
        let newton =
            newton::fit(&preprocessor, features.view(), &binary, &LogisticParams { c: c * 2.0, knots })
                .unwrap();
        let newton = FittedModel::Logistic(newton).score_rows(preprocessor.transform(features.view()).view());
        for (ours, newton) in ours.outer_iter().zip(newton.probabilities().unwrap()) {
            assert!((ours[1] - newton).abs() < 1e-4, "C {c}: {ours} {newton}");
        }
    }
}

/// At the minimum no weight wants to move. That of the intercepts is: the mean probabilities are the shares.
#[test]
fn mean_probabilities_are_the_shares_of_classes_and_extreme_penalties_converge() {
    for (classes, c) in [(3, 1.0), (7, 1.0), (5, 1e4), (4, 1e-6), (30, 1.0)] {
        let (preprocessor, features, labels) = table(1500, classes);
        let model = fit(&preprocessor, features.view(), &labels, &LogisticParams { c, knots: 5 }).unwrap();
        let probabilities = probabilities(&preprocessor, &features, model);
        let shares = labels.counts().into_iter().map(|count| count as f64 / 1500.0);
        for (mean, share) in probabilities.mean_axis(ndarray::Axis(0)).unwrap().iter().zip(shares) {
            assert!((mean - share).abs() < 1e-4, "{classes} classes, C {c}: {mean} {share}");
        }
        assert!(probabilities.outer_iter().all(|row| (row.sum() - 1.0).abs() < 1e-12));
    }
}

#[test]
fn classes_that_nothing_confuses_are_separated() {
    let (preprocessor, features, _) = table(300, 3);
    let sizes = features.column(1).to_vec();
    let indices = sizes.iter().map(|size| u32::from(*size > 33.0) + u32::from(*size > 66.0)).collect();
    let labels = ClassLabels { indices, classes: 3 };
    let model = fit(&preprocessor, features.view(), &labels, &LogisticParams { c: 1e3, knots: 5 }).unwrap();
    let probabilities = probabilities(&preprocessor, &features, model);
    let sure = labels
        .indices
        .iter()
        .zip(probabilities.outer_iter())
        .filter(|(class, row)| row[**class as usize] > 0.8);
    assert!(sure.count() > 270);
}
