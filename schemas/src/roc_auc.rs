/// Computes the area under the ROC curve: the share of pairs of a positive and a negative row in which the
/// positive one has the higher score, ties counting half. `None` if one of the classes is absent.
///
/// `ties` holds, for each distinct score in ascending order, how many positive and how many negative rows
/// have it. Expected counts may be fractions. This is the Mann–Whitney U statistic divided by its largest
/// value (Hanley and McNeil, Radiology 143 (1982), doi:10.1148/radiology.143.1.7063747).
///
/// ```
/// use onnward_schemas::roc_auc;
///
/// // A negative row below, one of each class that tie, and a positive row above.
/// assert_eq!(roc_auc([(0.0, 1.0), (1.0, 1.0), (1.0, 0.0)]), Some(0.875));
/// assert_eq!(roc_auc([(0.0, 3.0)]), None);
/// ```
pub fn roc_auc(ties: impl IntoIterator<Item = (f64, f64)>) -> Option<f64> {
    let (mut positives, mut negatives, mut won) = (0.0, 0.0, 0.0);
    for (tied_positives, tied_negatives) in ties {
        won += tied_positives * (negatives + tied_negatives / 2.0);
        positives += tied_positives;
        negatives += tied_negatives;
    }
    let pairs = positives * negatives;
    (pairs > 0.0).then(|| won / pairs)
}
