//! Checks the figures in an artifact's metadata. An artifact is untrusted input: its own figures decide how
//! it is verified and monitored, so a file could weaken its checks by them or break what reads them.

use std::collections::BTreeSet;

use crate::digest::is_digest;
use crate::encode::shorten;
use crate::evaluation::{Evaluation, Figures};
use crate::feature::{Feature, FeatureKind};
use crate::golden::{Golden, GoldenValue};
use crate::metadata::{Metadata, Provenance};
use crate::metadata_error::MetadataError;
use crate::profile::{FeatureProfile, Profile, SCORE_BINS};
use crate::schema::Schema;

/// The maximum number of inner edges of a numeric profile; the trainer writes nine. Every live row is
/// compared with all of them.
const MAX_EDGES: usize = 1000;

/// The maximum number of a model's parameters, and the maximum length of the names of a family and of a
/// parameter. Pages and logs print them.
const MAX_PARAMETERS: usize = 1000;
const MAX_NAME_BYTES: usize = 200;
/// How many libraries a model's provenance lists at most.
const MAX_VERSIONS: usize = 100;

/// The maximum number of folds of a cross-validation.
const MAX_FOLDS: usize = 1000;

/// The largest log loss. That of a double's smallest probability is 745.
const MAX_LOG_LOSS: f64 = 1000.0;

type Checked = Result<(), MetadataError>;

pub(crate) fn check(metadata: &Metadata) -> Checked {
    let Metadata { schema, family, parameters, evaluation, profile, golden, provenance } = metadata;
    printable("family", family)?;
    at_most("parameters", parameters.len(), MAX_PARAMETERS)?;
    for (name, value) in parameters {
        printable("parameters", name)?;
        finite(|| format!("parameters.{name}"), *value)?;
    }
    check_golden(golden, schema.features.len())?;
    check_evaluation(evaluation)?;
    check_profile(profile, evaluation, &schema.features)?;
    check_segments(schema)?;
    check_provenance(provenance)
}

/// Checks the segments: each is a series of metrics for every category.
fn check_segments(schema: &Schema) -> Checked {
    let mut seen = BTreeSet::new();
    for (at, segment) in schema.segments.iter().enumerate() {
        let is_categorical =
            schema.index_of(segment).is_some_and(|index| !schema.features[index].is_numeric());
        if !is_categorical || !seen.insert(segment) {
            let permitted = "a categorical feature that is listed once";
            return Err(MetadataError::new(
                format!("segments[{at}]"),
                format!("{:?}", shorten(segment)),
                permitted,
            ));
        }
    }
    Ok(())
}

fn check_provenance(provenance: &Provenance) -> Checked {
    let Provenance { data_sha256, seed: _, versions } = provenance;
    // A table that was never a file has no digest.
    if !data_sha256.is_empty() && !is_digest(data_sha256) {
        let permitted = "64 hexadecimal digits in lower case, or empty";
        return Err(MetadataError::new(
            "provenance.data_sha256",
            format!("{:?}", shorten(data_sha256)),
            permitted,
        ));
    }
    at_most("provenance.versions", versions.len(), MAX_VERSIONS)?;
    versions
        .iter()
        .flat_map(|(name, version)| [name, version])
        .try_for_each(|text| printable("provenance.versions", text))
}

fn check_golden(golden: &Golden, features: usize) -> Checked {
    let most = Golden::MAX_TOLERANCE;
    if !(golden.tolerance > 0.0 && golden.tolerance <= most) {
        let permitted = format!("above 0 and at most {most}");
        return Err(MetadataError::new("golden.tolerance", shown(golden.tolerance), permitted));
    }
    if golden.rows.is_empty() {
        let permitted = "at least one row: without golden rows nothing verifies a runtime";
        return Err(MetadataError::new("golden.rows", "empty", permitted));
    }
    for (at, row) in golden.rows.iter().enumerate() {
        share(|| format!("golden.rows[{at}].probability"), row.probability)?;
        if row.values.len() != features {
            let value = format!("a list of {}", row.values.len());
            let permitted = format!("a list of {features}: a value for each feature");
            return Err(MetadataError::new(format!("golden.rows[{at}].values"), value, permitted));
        }
        for (column, value) in row.values.iter().enumerate() {
            if let GoldenValue::Number(number) = value {
                single_precision(|| format!("golden.rows[{at}].values[{column}]"), *number)?;
            }
        }
    }
    Ok(())
}

fn check_evaluation(evaluation: &Evaluation) -> Checked {
    let Evaluation { train_rows, test_rows, cross_validation, test, threshold } = evaluation;
    if let Some(threshold) = threshold {
        share(|| "evaluation.threshold".to_owned(), *threshold)?;
    }
    for (field, rows) in [("train_rows", train_rows), ("test_rows", test_rows)] {
        // A double holds every whole number up to here, and what is computed from counts is a double.
        if !(1..=1 << 53).contains(rows) {
            return Err(MetadataError::new(format!("evaluation.{field}"), rows, "from 1 to 2^53"));
        }
    }
    at_most("evaluation.cross_validation.fold_roc_auc", cross_validation.fold_roc_auc.len(), MAX_FOLDS)?;
    for (fold, area) in cross_validation.fold_roc_auc.iter().enumerate() {
        share(|| format!("evaluation.cross_validation.fold_roc_auc[{fold}]"), *area)?;
    }
    let of_folds = [("mean", cross_validation.roc_auc_mean), ("std", cross_validation.roc_auc_std)];
    for (name, value) in of_folds {
        share(|| format!("evaluation.cross_validation.roc_auc_{name}"), value)?;
    }
    check_figures(test, *test_rows as u64)
}

fn check_figures(figures: &Figures, rows: u64) -> Checked {
    let Figures { accuracy, precision, recall, f1, roc_auc, average_precision, log_loss, brier, confusion } =
        *figures;
    let shares = [
        ("accuracy", accuracy),
        ("precision", precision),
        ("recall", recall),
        ("f1", f1),
        ("roc_auc", roc_auc),
        ("average_precision", average_precision),
        ("brier", brier),
    ];
    for (name, value) in shares {
        share(|| format!("evaluation.test.{name}"), value)?;
    }
    if !(0.0..=MAX_LOG_LOSS).contains(&log_loss) {
        let permitted = format!("from 0 to {MAX_LOG_LOSS}");
        return Err(MetadataError::new("evaluation.test.log_loss", shown(log_loss), permitted));
    }
    let counts = [
        confusion.true_positives,
        confusion.false_positives,
        confusion.true_negatives,
        confusion.false_negatives,
    ];
    sum_to("evaluation.test.confusion", "evaluation.test_rows", counts, rows)
}

/// Checks the profile. Live rows are compared with it, so one of no rows, or of other rows than those that the
/// model was fitted and evaluated on, would switch the drift of its model off.
fn check_profile(profile: &Profile, evaluation: &Evaluation, features: &[Feature]) -> Checked {
    if profile.rows != evaluation.train_rows as u64 {
        let permitted = format!("{}, as evaluation.train_rows says", evaluation.train_rows);
        return Err(MetadataError::new("profile.rows", profile.rows, permitted));
    }
    if profile.features.len() != features.len() {
        let value = format!("a list of {}", profile.features.len());
        let permitted = format!("a list of {}: a profile for each feature", features.len());
        return Err(MetadataError::new("profile.features", value, permitted));
    }
    for (at, (seen, feature)) in profile.features.iter().zip(features).enumerate() {
        check_feature(&format!("profile.features[{at}]"), seen, feature, profile.rows)?;
    }
    if profile.score.len() != SCORE_BINS {
        let value = format!("a list of {}", profile.score.len());
        return Err(MetadataError::new("profile.score", value, format!("a list of {SCORE_BINS}")));
    }
    let scores = profile.score.iter().copied();
    sum_to("profile.score", "evaluation.test_rows", scores, evaluation.test_rows as u64)
}

fn check_feature(field: &str, seen: &FeatureProfile, feature: &Feature, rows: u64) -> Checked {
    let wrong_kind = |kind: &str, other: &str| {
        Err(MetadataError::new(format!("{field}.type"), kind, format!("{other}, as the feature is")))
    };
    match (seen, &feature.kind) {
        (FeatureProfile::Numeric { .. }, FeatureKind::Kept(_)) => wrong_kind("numeric", "kept"),
        (FeatureProfile::Categorical { .. }, FeatureKind::Kept(_)) => wrong_kind("categorical", "kept"),
        (FeatureProfile::Numeric { .. }, FeatureKind::Categorical { .. }) => {
            wrong_kind("numeric", "categorical")
        }
        (FeatureProfile::Categorical { .. }, FeatureKind::Numeric { .. }) => {
            wrong_kind("categorical", "numeric")
        }
        (FeatureProfile::Numeric { edges, counts, missing, min, median, mean, max }, _) => {
            check_order(field, edges, [*min, *median, *max])?;
            check_mean(field, *mean, [*min, *max].map(f64::from))?;
            length(field, counts, edges.len() + 1)?;
            sum_to(field, "profile.rows", counts.iter().copied().chain([*missing]), rows)
        }
        (
            FeatureProfile::Categorical { counts, missing, unknown },
            FeatureKind::Categorical { values, .. },
        ) => {
            length(field, counts, values.len())?;
            sum_to(field, "profile.rows", counts.iter().copied().chain([*missing, *unknown]), rows)
        }
    }
}

/// Checks that the edges ascend from the smallest value to the largest.
fn check_order(field: &str, edges: &[f32], [min, median, max]: [f32; 3]) -> Checked {
    for (name, value) in [("min", min), ("median", median), ("max", max)] {
        finite(|| format!("{field}.{name}"), f64::from(value))?;
    }
    if !(min <= median && median <= max) {
        let permitted = format!("from its min, {min}, to its max, {max}");
        return Err(MetadataError::new(format!("{field}.median"), median, permitted));
    }
    at_most(&format!("{field}.edges"), edges.len(), MAX_EDGES)?;
    let mut last = None;
    for (at, edge) in edges.iter().enumerate() {
        let follows = last.is_none_or(|last| *edge > last);
        // Written so that NaN is refused, too.
        if !(follows && *edge >= min && *edge <= max) {
            let permitted = format!("above the edge before it, and from the min, {min}, to the max, {max}");
            return Err(MetadataError::new(format!("{field}.edges[{at}]"), edge, permitted));
        }
        last = Some(*edge);
    }
    Ok(())
}

/// Checks that the mean lies between the smallest and the largest value, but for rounding.
fn check_mean(field: &str, mean: f64, [min, max]: [f64; 2]) -> Checked {
    let slack = 1e-6 * min.abs().max(max.abs());
    if (min - slack..=max + slack).contains(&mean) {
        return Ok(());
    }
    let permitted = format!("from the min, {min}, to the max, {max}");
    Err(MetadataError::new(format!("{field}.mean"), shown(mean), permitted))
}

/// Formats a number in a few digits, whatever its size.
fn shown(value: f64) -> String {
    if value == 0.0 || (1e-6..1e9).contains(&value.abs()) { value.to_string() } else { format!("{value:e}") }
}

fn length(field: &str, counts: &[u64], expected: usize) -> Checked {
    if counts.len() == expected {
        return Ok(());
    }
    let value = format!("a list of {}", counts.len());
    Err(MetadataError::new(format!("{field}.counts"), value, format!("a list of {expected}")))
}

/// Checks a text that terminals, logs and pages print.
fn printable(field: &str, text: &str) -> Checked {
    let permitted = format!("1 to {MAX_NAME_BYTES} bytes of printable text");
    if text.is_empty() || text.len() > MAX_NAME_BYTES || text.chars().any(char::is_control) {
        return Err(MetadataError::new(
            field,
            format!("{:?}, {} bytes", shorten(text), text.len()),
            permitted,
        ));
    }
    Ok(())
}

fn at_most(field: &str, length: usize, most: usize) -> Checked {
    if length <= most {
        return Ok(());
    }
    let (value, permitted) = (format!("a list of {length}"), format!("a list of at most {most}"));
    Err(MetadataError::new(field, value, permitted))
}

fn share(field: impl FnOnce() -> String, value: f64) -> Checked {
    if (0.0..=1.0).contains(&value) {
        return Ok(());
    }
    Err(MetadataError::new(field(), shown(value), "from 0 to 1"))
}

fn finite(field: impl FnOnce() -> String, value: f64) -> Checked {
    if value.is_finite() { Ok(()) } else { Err(MetadataError::new(field(), value, "a finite number")) }
}

fn single_precision(field: impl FnOnce() -> String, value: f64) -> Checked {
    if value.abs() <= f64::from(f32::MAX) {
        return Ok(());
    }
    Err(MetadataError::new(
        field(),
        format!("{value:e}"),
        "a number within the range of single precision, up to 3.4e38",
    ))
}

/// Adds counts up. Whoever reads them adds them up too, and must not overflow.
fn sum(field: &str, counts: impl IntoIterator<Item = u64>) -> Result<u64, MetadataError> {
    let sum = counts.into_iter().try_fold(0_u64, u64::checked_add);
    sum.ok_or_else(|| MetadataError::new(field, "a sum of counts beyond 2^64", "a sum of counts below 2^64"))
}

fn sum_to(field: &str, of: &str, counts: impl IntoIterator<Item = u64>, expected: u64) -> Checked {
    let sum = sum(field, counts)?;
    if sum == expected {
        return Ok(());
    }
    Err(MetadataError::new(field, format!("a sum of counts of {sum}"), format!("{expected}, as {of} says")))
}

#[cfg(test)]
mod tests;
