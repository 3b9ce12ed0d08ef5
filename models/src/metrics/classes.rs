//! Figures of a classifier of several classes. Definitions: scikit-learn's user guide, §3.4.4, unless another source
//! is given.

use ndarray::ArrayView2;
use onnward_schemas::ClassFigures;

use super::binary::roc_auc;
use crate::labels::{ClassLabels, most_probable_classes};

/// Computes all figures of probabilities `[rows, classes]`. The predicted class is the most probable one, the first of
/// several.
pub(crate) fn figures(labels: &ClassLabels, probabilities: ArrayView2<'_, f64>) -> ClassFigures {
    let rows = labels.indices.len() as f64;
    let predicted = most_probable_classes(probabilities);
    let right = labels.indices.iter().zip(&predicted).filter(|(label, class)| **label as usize == **class);
    let f1 = f1_by_class(labels, &predicted);
    let counts = labels.counts();
    let weighted: f64 = f1.iter().zip(&counts).filter_map(|(f1, rows)| Some((*f1)? * *rows as f64)).sum();
    // As in scikit-learn, a class that is neither in the labels nor predicted does not count.
    let of_classes: Vec<f64> = f1.iter().flatten().copied().collect();
    ClassFigures {
        accuracy: right.count() as f64 / rows,
        macro_f1: of_classes.iter().sum::<f64>() / of_classes.len() as f64,
        weighted_f1: weighted / rows,
        roc_auc_ovr: roc_auc_ovr(labels, probabilities),
        top_2_accuracy: top_accuracy(labels, probabilities, 2),
        top_3_accuracy: top_accuracy(labels, probabilities, 3),
        log_loss: log_loss(labels, probabilities),
        confusion: confusion(labels, &predicted),
    }
}

/// Computes the mean of −ln p(class of the row), in nats (Bishop, Pattern Recognition and Machine Learning, 2006, eq.
/// 4.108).
///
/// As in scikit-learn, probabilities are kept 2.2e-16 away from 0 and 1.
pub(crate) fn log_loss(labels: &ClassLabels, probabilities: ArrayView2<'_, f64>) -> f64 {
    let rows = labels.indices.iter().zip(probabilities.outer_iter());
    let loss = |(label, row): (&u32, ndarray::ArrayView1<'_, f64>)| {
        -row[*label as usize].clamp(f64::EPSILON, 1.0 - f64::EPSILON).ln()
    };
    rows.map(loss).sum::<f64>() / labels.indices.len() as f64
}

/// Computes F1 = 2 TP / (2 TP + FP + FN) of each class against all others; `None` for a class that occurs neither
/// among the labels nor among the predictions.
fn f1_by_class(labels: &ClassLabels, predicted: &[usize]) -> Vec<Option<f64>> {
    let mut right = vec![0_u64; labels.classes];
    let mut guessed = vec![0_u64; labels.classes];
    for (label, class) in labels.indices.iter().zip(predicted) {
        guessed[*class] += 1;
        right[*class] += u64::from(*label as usize == *class);
    }
    let of = |((right, guessed), rows): ((u64, u64), u64)| {
        (guessed + rows > 0).then(|| 2.0 * right as f64 / (guessed + rows) as f64)
    };
    right.into_iter().zip(guessed).zip(labels.counts()).map(of).collect()
}

/// Computes the mean over the classes of the area under the ROC curve of each against all others (F. Provost and P.
/// Domingos, Well-trained PETs, CeDER Working Paper IS-00-04, 2000, unweighted as scikit-learn's
/// `average="macro"`). A class without rows, or with all of them, does not count.
fn roc_auc_ovr(labels: &ClassLabels, probabilities: ArrayView2<'_, f64>) -> f64 {
    let areas = probabilities.columns().into_iter().enumerate().filter_map(|(class, column)| {
        let is_class: Vec<bool> = labels.indices.iter().map(|label| *label as usize == class).collect();
        let occurs = is_class.contains(&true) && is_class.contains(&false);
        occurs.then(|| roc_auc(&is_class, &column.to_vec()))
    });
    let areas: Vec<f64> = areas.collect();
    if areas.is_empty() { 0.5 } else { areas.iter().sum::<f64>() / areas.len() as f64 }
}

/// Computes the share of rows whose class is one of the `k` most probable. Of classes of one probability, later ones
/// come first, as in scikit-learn.
fn top_accuracy(labels: &ClassLabels, probabilities: ArrayView2<'_, f64>, k: usize) -> f64 {
    let is_hit = |(label, row): &(&u32, ndarray::ArrayView1<'_, f64>)| {
        let (own, at) = (row[**label as usize], **label as usize);
        let before =
            row.iter().enumerate().filter(|(class, other)| **other > own || (**other == own && *class > at));
        before.count() < k
    };
    let hits = labels.indices.iter().zip(probabilities.outer_iter()).filter(is_hit).count();
    hits as f64 / labels.indices.len() as f64
}

fn confusion(labels: &ClassLabels, predicted: &[usize]) -> Vec<Vec<u64>> {
    if labels.classes > ClassFigures::MAX_CONFUSION {
        return Vec::new();
    }
    let mut confusion = vec![vec![0; labels.classes]; labels.classes];
    for (label, class) in labels.indices.iter().zip(predicted) {
        confusion[*label as usize][*class] += 1;
    }
    confusion
}
