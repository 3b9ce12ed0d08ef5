//! Measured performance of models of several classes. Definitions: scikit-learn's user guide, §3.4.4.

use std::cmp::Ordering;

use onnward_schemas::{ClassFigures, NumberSlice};
use serde::{Deserialize, Serialize};

use super::ratio;

/// A predicted class whose label is known, with what the figures need of the probabilities.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LabelledClass {
    /// The index of the predicted class.
    pub predicted: u32,
    /// The index of the label's class.
    pub label: u32,
    /// What the model said of the label's class. `None` if it has no probabilities.
    pub of_label: Option<LabelProbability>,
}

/// The probability of the label's class.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LabelProbability {
    /// The probability.
    pub probability: f32,
    /// The number of classes that are more probable. Of classes of one probability, later ones come first, as in
    /// scikit-learn.
    pub more_probable: u32,
}

impl LabelProbability {
    /// Returns that of a class among the probabilities of all classes. `None` if it is not among them.
    pub fn of(label: u32, probabilities: NumberSlice<'_>) -> Option<Self> {
        let label = label as usize;
        let own = probabilities.get(label)?.to_f64();
        let precedes = |(class, other): &(usize, f64)| *other > own || (*other == own && *class > label);
        let more_probable = probabilities.iter().enumerate().filter(precedes).count() as u32;
        Some(Self { probability: own as f32, more_probable })
    }
}

/// The number of equal predictions: predicted class, label's class, probability of the label's class, number of more
/// probable classes, count. The counts of several engines are added by putting them one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ClassCount(
    /// The index of the predicted class.
    pub u32,
    /// The index of the label's class.
    pub u32,
    /// The probability of the label's class.
    pub Option<f32>,
    /// The number of classes that are more probable.
    pub Option<u32>,
    /// The number of such predictions.
    pub u64,
);

impl ClassCount {
    /// Counts predictions that are sorted as [`ClassPerformance::of`] leaves them.
    pub fn of(sorted: &[LabelledClass]) -> Vec<Self> {
        let count = |equal: &[LabelledClass]| {
            let LabelledClass { predicted, label, of_label } = *equal.first()?;
            let probability = of_label.map(|of_label| of_label.probability);
            let more_probable = of_label.map(|of_label| of_label.more_probable);
            Some(Self(predicted, label, probability, more_probable, equal.len() as u64))
        };
        sorted.chunk_by(|a, b| a == b).filter_map(count).collect()
    }

    /// Returns the predictions that were counted. `None` if they are more than `limit`.
    pub fn predictions(counts: &[Self], limit: u64) -> Option<Vec<LabelledClass>> {
        let all = counts.iter().try_fold(0_u64, |sum, one| sum.checked_add(one.4));
        all.filter(|all| *all <= limit)?;
        let repeated = counts.iter().flat_map(|Self(predicted, label, probability, more_probable, count)| {
            let of_label = probability
                .zip(*more_probable)
                .map(|(probability, more_probable)| LabelProbability { probability, more_probable });
            let one = LabelledClass { predicted: *predicted, label: *label, of_label };
            (0..*count).map(move |_| one)
        });
        Some(repeated.collect())
    }
}

/// Figures of predicted classes whose labels are known. A figure is `None` if it is not defined.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassPerformance {
    /// The share of correct predictions.
    pub accuracy: Option<f64>,
    /// The mean of the classes' F1. A class that neither a label nor a prediction has does not count.
    pub macro_f1: Option<f64>,
    /// The mean of the classes' F1, weighted by their labels.
    pub weighted_f1: Option<f64>,
    /// The mean negative log-likelihood, in nats. `None` if the model has no probabilities.
    pub log_loss: Option<f64>,
    /// The share of labels that are one of the two most probable classes. `None` if the model has no
    /// probabilities.
    pub top_2_accuracy: Option<f64>,
    /// The predictions by the label's class, one list a class, and in it by the predicted class. Empty for more
    /// than [`ClassFigures::MAX_CONFUSION`] classes.
    pub confusion: Vec<Vec<u64>>,
}

impl ClassPerformance {
    /// Computes the figures of predictions of so many classes. Sorts the predictions.
    ///
    /// ```
    /// use onnward_quality::performance::{ClassPerformance, LabelledClass};
    ///
    /// let labelled = [(0, 0), (1, 1), (2, 1), (2, 2)];
    /// let mut predictions =
    ///     labelled.map(|(predicted, label)| LabelledClass { predicted, label, of_label: None });
    /// let performance = ClassPerformance::of(&mut predictions, 3);
    /// assert_eq!((performance.accuracy, performance.log_loss), (Some(0.75), None));
    /// assert_eq!(performance.confusion, [[1, 0, 0], [0, 1, 1], [0, 0, 1]]);
    /// ```
    pub fn of(predictions: &mut [LabelledClass], classes: usize) -> Self {
        // The same predictions give the same bits, in whatever order they come.
        predictions.sort_unstable_by(order);
        let all = predictions.len() as f64;
        let right = predictions.iter().filter(|one| one.predicted == one.label).count() as f64;
        let f1 = f1_by_class(predictions, classes);
        let weighted: f64 = f1.iter().map(|class| class.f1 * class.labels as f64).sum();
        let of_labels: Option<Vec<LabelProbability>> = predictions.iter().map(|one| one.of_label).collect();
        let (log_loss, top_2) = of_labels.as_deref().map(of_probabilities).unwrap_or_default();
        Self {
            accuracy: ratio(right, all),
            macro_f1: ratio(f1.iter().map(|class| class.f1).sum(), f1.len() as f64),
            weighted_f1: ratio(weighted, all),
            log_loss,
            top_2_accuracy: top_2,
            confusion: confusion(predictions, classes),
        }
    }

    /// Returns the figures with their metric labels.
    pub fn figures(&self) -> [(&'static str, Option<f64>); 5] {
        [
            ("accuracy", self.accuracy),
            ("macro_f1", self.macro_f1),
            ("weighted_f1", self.weighted_f1),
            ("log_loss", self.log_loss),
            ("top_2_accuracy", self.top_2_accuracy),
        ]
    }
}

/// Orders predictions, so that equal ones lie side by side.
fn order(a: &LabelledClass, b: &LabelledClass) -> Ordering {
    let rank = |one: &LabelledClass| one.of_label.map(|of_label| of_label.more_probable);
    let probability = |one: &LabelledClass| one.of_label.map_or(0.0, |of_label| of_label.probability);
    let key = |one: &LabelledClass| (one.predicted, one.label, rank(one));
    key(a).cmp(&key(b)).then_with(|| probability(a).total_cmp(&probability(b)))
}

/// The F1 of one class.
struct ClassF1 {
    f1: f64,
    labels: u64,
}

/// Computes F1 = 2 TP / (2 TP + FP + FN) of each class that a label or a prediction has.
fn f1_by_class(predictions: &[LabelledClass], classes: usize) -> Vec<ClassF1> {
    // Right predictions, predictions and labels of each class.
    let mut counts = vec![[0_u64; 3]; classes];
    let mut add = |class: u32, what: usize| {
        if let Some(count) = counts.get_mut(class as usize).and_then(|counts| counts.get_mut(what)) {
            *count += 1;
        }
    };
    for one in predictions {
        if one.predicted == one.label {
            add(one.label, 0);
        }
        add(one.predicted, 1);
        add(one.label, 2);
    }
    let f1 = |[right, predicted, labels]: [u64; 3]| {
        let f1 = ratio(2.0 * right as f64, (predicted + labels) as f64)?;
        Some(ClassF1 { f1, labels })
    };
    counts.into_iter().filter_map(f1).collect()
}

/// Computes the log loss and the top-2 accuracy. As in scikit-learn, probabilities are kept 2.2e-16 away from 0 and 1.
fn of_probabilities(of_labels: &[LabelProbability]) -> (Option<f64>, Option<f64>) {
    let loss =
        |one: &LabelProbability| -f64::from(one.probability).clamp(f64::EPSILON, 1.0 - f64::EPSILON).ln();
    let all = of_labels.len() as f64;
    let among_two = of_labels.iter().filter(|one| one.more_probable < 2).count();
    (ratio(of_labels.iter().map(loss).sum(), all), ratio(among_two as f64, all))
}

fn confusion(predictions: &[LabelledClass], classes: usize) -> Vec<Vec<u64>> {
    if classes > ClassFigures::MAX_CONFUSION {
        return Vec::new();
    }
    let mut confusion = vec![vec![0; classes]; classes];
    for one in predictions {
        let row = confusion.get_mut(one.label as usize);
        if let Some(count) = row.and_then(|row| row.get_mut(one.predicted as usize)) {
            *count += 1;
        }
    }
    confusion
}
