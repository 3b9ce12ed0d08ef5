use ndarray::ArrayView2;
use onnward_schemas::Schema;

use super::{calibration, roc_and_precision_recall, score_histogram, thinned};
use crate::comparison::{ClassCurves, ClassResult};
use crate::labels::{ClassLabels, most_probable_classes};
use crate::metrics::roc_auc;

/// The maximum number of classes with a ROC curve.
const MOST_ROC_CURVES: usize = 10;

/// Computes the curves for probabilities `[rows, classes]`.
pub(super) fn curves(
    schema: &Schema,
    labels: &ClassLabels,
    probabilities: ArrayView2<'_, f64>,
) -> ClassCurves {
    let predicted = most_probable_classes(probabilities);
    let confidences: Vec<f64> =
        probabilities.outer_iter().zip(&predicted).map(|(row, class)| row[*class]).collect();
    let right: Vec<bool> =
        labels.indices.iter().zip(&predicted).map(|(label, class)| *label as usize == *class).collect();
    let of = |wanted| {
        let rows = right.iter().zip(&confidences).filter(move |(right, _)| **right == wanted);
        score_histogram(rows.map(|(_, confidence)| *confidence))
    };
    ClassCurves {
        classes: results(schema, labels, &predicted, probabilities),
        calibration: calibration(right.iter().map(|right| f64::from(u8::from(*right))), &confidences),
        right_confidences: of(true),
        wrong_confidences: of(false),
    }
}

fn results(
    schema: &Schema,
    labels: &ClassLabels,
    predicted: &[usize],
    probabilities: ArrayView2<'_, f64>,
) -> Vec<ClassResult> {
    let names = schema.label.task.classes();
    let counts = labels.counts();
    let mut by_rows: Vec<usize> = (0..counts.len()).collect();
    by_rows.sort_by_key(|class| std::cmp::Reverse(counts[*class]));
    by_rows.truncate(MOST_ROC_CURVES);
    let result = |(class, name): (usize, &String)| {
        let is_class: Vec<bool> = labels.indices.iter().map(|label| *label as usize == class).collect();
        let scores = probabilities.column(class).to_vec();
        let rows = counts[class];
        let guessed = predicted.iter().filter(|guess| **guess == class).count() as u64;
        let hits = is_class.iter().zip(predicted).filter(|(is_class, guess)| **is_class && **guess == class);
        let hits = hits.count() as f64;
        let share = |of: u64| if of == 0 { 0.0 } else { hits / of as f64 };
        let has_curve = by_rows.contains(&class) && rows > 0 && rows < is_class.len() as u64;
        ClassResult {
            class: name.clone(),
            rows,
            predicted: guessed,
            precision: share(guessed),
            recall: share(rows),
            f1: 2.0 * share(guessed + rows),
            roc_auc: roc_auc(&is_class, &scores),
            roc: if has_curve {
                thinned(&roc_and_precision_recall(&is_class, &scores).0)
            } else {
                Vec::new()
            },
        }
    };
    names.iter().enumerate().map(result).collect()
}
