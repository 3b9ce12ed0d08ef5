//! `GET /models/{name}/performance`: the performance of a model, measured with outcomes and estimated without
//! them.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::Uri;
use onnward_quality::estimate::{NO_ERRORS, TaskEstimate, TaskSums};
use onnward_quality::performance::{ComparedFigure, MeasuredCounts};
use onnward_quality::time::rfc3339;
use onnward_records::ground_truth::window::Measured;
use onnward_schemas::layout::parse_version;
use onnward_schemas::{Binary, Classes, Figures, Task, TaskKind};
use onnward_serving::registry::ModelEntry;
use serde::Serialize;

use crate::problem::ApiError;
use crate::state::{Models, Records};

/// The performance of a model's versions.
#[derive(Serialize)]
pub struct Performance {
    model: String,
    /// The window of the measured metrics; null if predictions are not stored.
    window: Option<Window>,
    /// The loaded versions and those with stored predictions, highest first.
    versions: Vec<VersionPerformance>,
}

/// The window of the outcomes that are measured.
#[derive(Serialize)]
struct Window {
    /// The maximum age of an outcome in days.
    days: u64,
    /// The maximum number of outcomes per version; the most recent ones count.
    outcomes: usize,
}

#[derive(Serialize)]
struct VersionPerformance {
    version: u64,
    /// The task, of a model of classes or a number.
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<TaskKind>,
    /// The classes in the order of the confusion matrices, of a model of classes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    classes: Vec<String>,
    /// The decision threshold: a row is positive if its probability is at least this value. Null for a model that
    /// decides by none.
    threshold: Option<f64>,
    /// The stored predictions; null if predictions are not stored.
    kept: Option<StoredPredictions>,
    /// The performance on the outcomes in the window; null if there are none.
    measured: Option<Measured>,
    /// The measured figures beside those of the training, of a loaded model of classes or a number that has both.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    compared: Vec<ComparedFigure>,
    /// The performance estimated without outcomes; null before the first prediction, and for a version
    /// that is not loaded.
    estimated: Option<Estimated>,
    /// The reason why there is no estimate, of a loaded model of a number whose file has no errors.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_estimated: Option<&'static str>,
    /// What the figures are made from, where `?counts=true` asks for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    counts: Option<FigureCounts>,
}

/// What figures are made from: those of several engines can be added.
#[derive(Default, Serialize)]
struct FigureCounts {
    /// The predictions with an outcome in the window. Of a binary model by probability: each with the numbers of positive
    /// and of other labels.
    measured: MeasuredCounts,
    /// The sums of the estimate.
    estimated: Option<TaskSums>,
}

/// The number of stored predictions of a version.
#[derive(Default, Serialize)]
struct StoredPredictions {
    predictions: u64,
    with_outcome: u64,
    /// The share of the predictions with an outcome.
    coverage: Option<f64>,
}

#[derive(Serialize)]
struct Estimated {
    /// The time of the first prediction.
    from: String,
    #[serde(flatten)]
    estimate: TaskEstimate,
    note: &'static str,
}

/// Returns the performance of a model's versions, or of the one in `?version=`.
pub async fn performance(
    State(models): State<Arc<Models>>,
    State(records): State<Arc<Records>>,
    Path(name): Path<String>,
    uri: Uri,
) -> Result<Json<Performance>, ApiError> {
    let entry = models.model_entry(&name)?;
    let named = |pair: &str| pair.strip_prefix("version=").map(str::to_owned);
    let asked = uri.query().and_then(|query| query.split('&').find_map(named));
    let asked = asked.map(|version| parse_version(&version).ok_or(ApiError::BadVersion)).transpose()?;
    let with_counts = uri.query().is_some_and(|query| query.split('&').any(|pair| pair == "counts=true"));
    let mut versions = loaded_versions(&entry, records.outcomes.is_some(), with_counts);
    let window = match &records.outcomes {
        Some(outcomes) => {
            let loaded = entry.loaded_versions().into_iter().filter_map(|version| entry.version(version));
            let loaded = loaded.map(|model| Arc::clone(&model.identity)).collect();
            for figures in outcomes.figures(&name, loaded).await? {
                let (predictions, with_outcome) = (figures.predictions, figures.with_outcome);
                let kept = StoredPredictions { predictions, with_outcome, coverage: figures.coverage };
                let of_version = versions
                    .entry(Reverse(figures.version))
                    .or_insert_with(|| VersionPerformance::of(figures.version, &figures.task));
                of_version.kept = Some(kept);
                if with_counts {
                    let measured = figures.measured.as_ref().map(|measured| measured.predictions.counts());
                    of_version.counts.get_or_insert_default().measured = measured.unwrap_or_default();
                }
                of_version.compared = compared(&entry, figures.version, figures.measured.as_ref());
                of_version.measured = figures.measured;
            }
            let window = outcomes.window();
            Some(Window { days: window.millis / 86_400_000, outcomes: window.outcomes })
        }
        None => None,
    };
    if let Some(version) = asked {
        let known = versions.keys().rev().map(|Reverse(version)| *version).collect();
        versions.retain(|known, _| *known == Reverse(version));
        if versions.is_empty() {
            return Err(ApiError::UnknownVersion { name, version, known });
        }
    }
    Ok(Json(Performance { model: name, window, versions: versions.into_values().collect() }))
}

/// Returns the performance of loaded versions, without outcomes.
fn loaded_versions(
    entry: &ModelEntry,
    is_kept: bool,
    with_counts: bool,
) -> BTreeMap<Reverse<u64>, VersionPerformance> {
    let loaded = entry.loaded_versions().into_iter().filter_map(|version| entry.version(version));
    let each = loaded.map(|model| {
        let estimate = model.monitor.estimate();
        let estimated = estimate.map(|estimate| Estimated {
            from: rfc3339(estimate.since_millis()),
            note: estimate.limits(),
            estimate,
        });
        let kept = is_kept.then(StoredPredictions::default);
        let counts = with_counts
            .then(|| FigureCounts { estimated: model.monitor.score_sums(), ..FigureCounts::default() });
        let of = VersionPerformance::of(model.version, &model.identity.task);
        let has_errors =
            model.description.metadata().is_some_and(|metadata| metadata.profile.errors.is_some());
        let lacks_errors = model.identity.task.kind() == TaskKind::Number && !has_errors;
        let not_estimated = lacks_errors.then_some(NO_ERRORS);
        (Reverse(model.version), VersionPerformance { kept, estimated, not_estimated, counts, ..of })
    });
    each.collect()
}

/// Compares the measured figures of a loaded version of classes or a number with those of its training. A binary model's
/// are not compared here.
fn compared(entry: &ModelEntry, version: u64, measured: Option<&Measured>) -> Vec<ComparedFigure> {
    let model = entry.version(version);
    let training = model.as_ref().and_then(|model| model.description.metadata());
    match (training.map(|metadata| &metadata.evaluation.test), measured) {
        (Some(training @ (Figures::Classes(_) | Figures::Number(_))), Some(measured)) => {
            ComparedFigure::all(&measured.performance, training)
        }
        (Some(Figures::Binary(_)) | None, _) | (_, None) => Vec::new(),
    }
}

impl VersionPerformance {
    fn of(version: u64, task: &Task) -> Self {
        let none = Self {
            version,
            task: None,
            classes: Vec::new(),
            threshold: None,
            kept: None,
            measured: None,
            compared: Vec::new(),
            estimated: None,
            not_estimated: None,
            counts: None,
        };
        match task {
            Task::Binary(Binary { threshold, .. }) => Self { threshold: Some(*threshold), ..none },
            Task::Classes(Classes { values }) => {
                Self { task: Some(TaskKind::Classes), classes: values.clone(), ..none }
            }
            Task::Number => Self { task: Some(TaskKind::Number), ..none },
            Task::Raw(_) => none,
        }
    }
}
