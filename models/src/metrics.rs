//! The figures of a model on rows whose labels are known, by the task.

pub(crate) mod binary;
mod classes;
mod number;

use onnward_schemas::{Criterion, CrossValidation, Figures};

pub use self::binary::roc_auc;
use crate::labels::{Labels, Scores};

/// Computes all figures of predictions of rows with these labels. A row is predicted positive from `threshold` on,
/// which only a binary label has.
///
/// `None` if the predictions are of another task than the labels.
pub(crate) fn figures(labels: &Labels, scores: &Scores, threshold: f64) -> Option<Figures> {
    match (labels, scores) {
        (Labels::Binary(labels), Scores::Probabilities(probabilities)) => {
            Some(Figures::Binary(binary::figures(labels, probabilities, threshold)))
        }
        (Labels::Classes(labels), Scores::ClassProbabilities(probabilities)) => {
            Some(Figures::Classes(classes::figures(labels, probabilities.view())))
        }
        (Labels::Numbers(labels), Scores::Numbers(numbers)) => {
            Some(Figures::Number(number::figures(labels, numbers)))
        }
        (Labels::Binary(_) | Labels::Classes(_) | Labels::Numbers(_), _) => None,
    }
}

/// Computes the figure by which models of this task are compared. NaN if the predictions are of another task.
pub(crate) fn criterion(labels: &Labels, scores: &Scores) -> f64 {
    match (labels, scores) {
        (Labels::Binary(labels), Scores::Probabilities(probabilities)) => roc_auc(labels, probabilities),
        (Labels::Classes(labels), Scores::ClassProbabilities(probabilities)) => {
            classes::log_loss(labels, probabilities.view())
        }
        (Labels::Numbers(labels), Scores::Numbers(numbers)) => number::rmse(labels, numbers),
        (Labels::Binary(_) | Labels::Classes(_) | Labels::Numbers(_), _) => f64::NAN,
    }
}

/// Summarises a figure over the folds by its mean and standard deviation.
pub(crate) fn cross_validation(criterion: Criterion, folds: Vec<f64>) -> CrossValidation {
    let (mean, std) = mean_and_std(&folds);
    CrossValidation { criterion, folds, mean, std }
}

/// Interpolates the quantile function through `at` (values at equally spaced probabilities), at `probability`
/// from 0 to 1, as `numpy.quantile` does; 0 if there are none.
pub(crate) fn quantile(at: &[f64], probability: f64) -> f64 {
    let position = probability * at.len().saturating_sub(1) as f64;
    let below = position.floor();
    let low = at.get(below as usize).copied().unwrap_or_default();
    let high = at.get(below as usize + 1).copied().unwrap_or(low);
    low + (high - low) * (position - below)
}

/// Computes the mean and the standard deviation of a population.
pub(crate) fn mean_and_std(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
    (mean, variance.sqrt())
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;
    use crate::labels::ClassLabels;

    fn assert_close(actual: &[(&str, f64)], expected: &[f64]) {
        for ((name, actual), expected) in actual.iter().zip(expected) {
            assert!((actual - expected).abs() < 1e-12, "{name}: {actual} is not {expected}");
        }
        assert_eq!(actual.len(), expected.len());
    }

    /// The expected values are those of scikit-learn 1.9.1. Some probabilities are tied.
    #[test]
    fn figures_of_classes_agree_with_scikit_learn() {
        let labels = ClassLabels { indices: vec![0, 1, 2, 2, 1, 0, 2, 1], classes: 3 };
        let probabilities = array![
            [0.7, 0.2, 0.1],
            [0.2, 0.5, 0.3],
            [0.1, 0.3, 0.6],
            [0.4, 0.4, 0.2],
            [0.5, 0.25, 0.25],
            [0.3, 0.3, 0.4],
            [0.0, 0.0, 1.0],
            [0.2, 0.6, 0.2]
        ];
        let (labels, scores) = (Labels::Classes(labels), Scores::ClassProbabilities(probabilities));
        let Some(Figures::Classes(figures)) = figures(&labels, &scores, 0.5) else { panic!("no figures") };
        let expected = [0.625, 0.622_222_222_222_222_2, 0.65, 0.8, 0.625, 1.0, 0.783_897_306_238_823_3];
        assert_close(&figures.by_name(), &expected);
        assert_eq!(figures.confusion, [[1, 0, 1], [1, 2, 0], [1, 0, 2]]);
        assert_eq!(criterion(&labels, &scores), figures.log_loss);
    }

    #[test]
    fn figures_of_numbers_agree_with_scikit_learn() {
        let labels = Labels::Numbers(vec![3.0, -0.5, 2.0, 7.0, 4.0]);
        let scores = Scores::Numbers(vec![2.5, 0.25, 2.0, 8.0, 3.0]);
        let Some(Figures::Number(figures)) = figures(&labels, &scores, 0.5) else { panic!("no figures") };
        let mape = 0.411_904_761_904_761_9;
        let expected = [0.75, 0.65, 0.75, 0.906_870_860_927_152_3, mape, 0.345, 0.325, 0.305, -0.05 + 0.1];
        assert_close(&figures.by_name(), &expected[..]);
        let with_zero = Labels::Numbers(vec![3.0, 0.0, 2.0, 7.0, 4.0]);
        let Some(Figures::Number(figures)) = super::figures(&with_zero, &scores, 0.5) else {
            panic!("no figures")
        };
        assert_eq!(figures.mape, None);
        assert!(super::figures(&labels, &Scores::Probabilities(vec![0.5; 5]), 0.5).is_none());
    }

    #[test]
    fn the_spread_over_folds_is_that_of_the_population() {
        let validation = cross_validation(Criterion::RocAuc, vec![0.8, 0.9]);
        assert!((validation.mean - 0.85).abs() < 1e-12 && (validation.std - 0.05).abs() < 1e-12);
    }
}
