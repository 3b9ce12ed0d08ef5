//! Checks the figures in an artifact's metadata. An artifact is untrusted input: its own figures decide how
//! it is verified and monitored, so a file could weaken its checks by them or break what reads them.

use std::collections::BTreeSet;

use crate::digest::is_digest;
use crate::encode::shorten;
use crate::evaluation::{BinaryFigures, ClassFigures, Criterion, Evaluation, Figures, NumberFigures};
use crate::feature::{Feature, FeatureKind};
use crate::golden::{Golden, GoldenPrediction, GoldenValue};
use crate::metadata::{Metadata, Provenance};
use crate::metadata_error::MetadataError;
use crate::profile::{ErrorProfile, FeatureProfile, Profile, SCORE_BINS, ScoreProfile};
use crate::schema::Schema;
use crate::task::{Classes, Task, TaskKind};

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
    check_golden(golden, schema)?;
    check_evaluation(evaluation, &schema.label.task)?;
    check_profile(profile, evaluation, schema)?;
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

fn check_golden(golden: &Golden, schema: &Schema) -> Checked {
    let features = schema.features.len();
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
        check_prediction(&format!("golden.rows[{at}]"), &row.prediction, &schema.label.task)?;
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

/// Checks a golden row's prediction. One of another task would compare with nothing that a runtime returns.
fn check_prediction(field: &str, prediction: &GoldenPrediction, task: &Task) -> Checked {
    match (prediction, task) {
        (GoldenPrediction::Probability(probability), Task::Binary(_)) => {
            share(|| format!("{field}.probability"), *probability)
        }
        (GoldenPrediction::Probabilities(all), Task::Classes(classes)) => {
            let field = format!("{field}.probabilities");
            let expected = classes.values.len();
            if all.len() != expected {
                let permitted = format!("a list of {expected}: a probability for each class");
                return Err(MetadataError::new(field, format!("a list of {}", all.len()), permitted));
            }
            all.iter().try_for_each(|probability| share(|| field.clone(), *probability))
        }
        (GoldenPrediction::Number(number), Task::Number) => {
            single_precision(|| format!("{field}.number"), *number)
        }
        (prediction, task) => Err(of_another_task(field, prediction.task(), task)),
    }
}

fn of_another_task(field: &str, is: TaskKind, task: &Task) -> MetadataError {
    let permitted = format!("one of a model of type {:?}, as the label is", task.kind().name());
    MetadataError::new(field, format!("one of a model of type {:?}", is.name()), permitted)
}

fn check_evaluation(evaluation: &Evaluation, task: &Task) -> Checked {
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
    let criterion = cross_validation.criterion;
    let field = "evaluation.cross_validation";
    if Criterion::of(task.kind()) != Some(criterion) {
        let permitted = format!("the figure of a label of type {:?}", task.kind().name());
        return Err(MetadataError::new(field, criterion.name(), permitted));
    }
    let name = criterion.name();
    at_most(&format!("{field}.fold_{name}"), cross_validation.folds.len(), MAX_FOLDS)?;
    for (fold, value) in cross_validation.folds.iter().enumerate() {
        check_criterion(|| format!("{field}.fold_{name}[{fold}]"), criterion, *value)?;
    }
    for (of, value) in [("mean", cross_validation.mean), ("std", cross_validation.std)] {
        check_criterion(|| format!("{field}.{name}_{of}"), criterion, value)?;
    }
    let rows = *test_rows as u64;
    match (test, task) {
        (Figures::Binary(figures), Task::Binary(_)) => check_binary(figures, rows),
        (Figures::Classes(figures), Task::Classes(classes)) => check_classes(figures, classes, rows),
        (Figures::Number(figures), Task::Number) => check_number(figures),
        (figures, task) => Err(of_another_task("evaluation.test", figures.task(), task)),
    }
}

fn check_criterion(field: impl FnOnce() -> String, criterion: Criterion, value: f64) -> Checked {
    match criterion {
        Criterion::RocAuc => share(field, value),
        Criterion::LogLoss => log_loss(field, value),
        Criterion::Rmse => positive(field, value),
    }
}

fn check_binary(figures: &BinaryFigures, rows: u64) -> Checked {
    for (name, value) in figures.by_name().into_iter().filter(|(name, _)| *name != "log_loss") {
        share(|| format!("evaluation.test.{name}"), value)?;
    }
    log_loss(|| "evaluation.test.log_loss".to_owned(), figures.log_loss)?;
    let confusion = figures.confusion;
    let counts = [
        confusion.true_positives,
        confusion.false_positives,
        confusion.true_negatives,
        confusion.false_negatives,
    ];
    sum_to("evaluation.test.confusion", "evaluation.test_rows", counts, rows)
}

fn check_classes(figures: &ClassFigures, classes: &Classes, rows: u64) -> Checked {
    for (name, value) in figures.by_name().into_iter().filter(|(name, _)| *name != "log_loss") {
        share(|| format!("evaluation.test.{name}"), value)?;
    }
    log_loss(|| "evaluation.test.log_loss".to_owned(), figures.log_loss)?;
    let (field, expected) = ("evaluation.test.confusion", classes.values.len());
    let confusion = &figures.confusion;
    if confusion.is_empty() && expected > ClassFigures::MAX_CONFUSION {
        return Ok(());
    }
    if confusion.len() != expected || confusion.iter().any(|row| row.len() != expected) {
        let value = format!("a list of {} lists", confusion.len());
        return Err(MetadataError::new(field, value, format!("{expected} lists of {expected}")));
    }
    sum_to(field, "evaluation.test_rows", confusion.iter().flatten().copied(), rows)
}

fn check_number(figures: &NumberFigures) -> Checked {
    for (name, value) in figures.by_name() {
        let field = || format!("evaluation.test.{name}");
        match name {
            "bias" => finite(field, value)?,
            "r2" if value > 1.0 => return Err(MetadataError::new(field(), shown(value), "at most 1")),
            "r2" => finite(field, value)?,
            _ => positive(field, value)?,
        }
    }
    Ok(())
}

/// Checks the profile. Live rows are compared with it, so one of no rows, or of other rows than those that the
/// model was fitted and evaluated on, would switch the drift of its model off.
fn check_profile(profile: &Profile, evaluation: &Evaluation, schema: &Schema) -> Checked {
    let features = &schema.features;
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
    check_score(&profile.score, &schema.label.task, evaluation.test_rows as u64)?;
    profile.errors.as_ref().map_or(Ok(()), |errors| check_errors(errors, &profile.score))
}

/// Checks the errors of a model of a number, which are means in the bins of its score.
fn check_errors(errors: &ErrorProfile, score: &ScoreProfile) -> Checked {
    let ScoreProfile::Values(FeatureProfile::Numeric { counts, .. }) = score else {
        return Err(MetadataError::new("profile.errors", "a list", "nothing for a label that is no number"));
    };
    let bins = counts.len();
    for (name, means) in [("absolute", &errors.absolute), ("squared", &errors.squared)] {
        let field = format!("profile.errors.{name}");
        if means.len() != bins {
            let value = format!("a list of {}", means.len());
            return Err(MetadataError::new(field, value, format!("a list of {bins}")));
        }
        for (at, mean) in means.iter().enumerate() {
            let permitted = *mean >= 0.0 && mean.is_finite();
            if !permitted {
                return Err(MetadataError::new(
                    format!("{field}[{at}]"),
                    *mean,
                    "0 or a finite number above it",
                ));
            }
        }
    }
    Ok(())
}

fn check_score(score: &ScoreProfile, task: &Task, rows: u64) -> Checked {
    let (field, of) = ("profile.score", "evaluation.test_rows");
    match (score, task) {
        (ScoreProfile::Probability(counts), Task::Binary(_)) => {
            if counts.len() != SCORE_BINS {
                let value = format!("a list of {}", counts.len());
                return Err(MetadataError::new(field, value, format!("a list of {SCORE_BINS}")));
            }
            sum_to(field, of, counts.iter().copied(), rows)
        }
        (
            ScoreProfile::Values(FeatureProfile::Categorical { counts, missing, unknown }),
            Task::Classes(classes),
        ) => {
            length(field, counts, classes.values.len())?;
            sum_to(field, of, counts.iter().copied().chain([*missing, *unknown]), rows)
        }
        (ScoreProfile::Values(seen @ FeatureProfile::Numeric { .. }), Task::Number) => {
            check_numeric(field, of, seen, rows)
        }
        (ScoreProfile::Probability(_) | ScoreProfile::Values(_), task) => {
            let permitted = format!("that of a label of type {:?}", task.kind().name());
            Err(MetadataError::new(field, "a distribution of other predictions", permitted))
        }
    }
}

/// Checks the profile of numbers, whose counts add up to `rows`, as `of` says.
fn check_numeric(field: &str, of: &str, seen: &FeatureProfile, rows: u64) -> Checked {
    let FeatureProfile::Numeric { edges, counts, missing, min, median, mean, max } = seen else {
        return Ok(());
    };
    check_order(field, edges, [*min, *median, *max])?;
    check_mean(field, *mean, [*min, *max].map(f64::from))?;
    length(field, counts, edges.len() + 1)?;
    sum_to(field, of, counts.iter().copied().chain([*missing]), rows)
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
        (FeatureProfile::Numeric { .. }, FeatureKind::Numeric { .. }) => {
            check_numeric(field, "profile.rows", seen, rows)
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

fn log_loss(field: impl FnOnce() -> String, value: f64) -> Checked {
    if (0.0..=MAX_LOG_LOSS).contains(&value) {
        return Ok(());
    }
    Err(MetadataError::new(field(), shown(value), format!("from 0 to {MAX_LOG_LOSS}")))
}

fn positive(field: impl FnOnce() -> String, value: f64) -> Checked {
    if value >= 0.0 && value.is_finite() {
        return Ok(());
    }
    Err(MetadataError::new(field(), shown(value), "a finite number of at least 0"))
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
