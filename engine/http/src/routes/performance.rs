//! `GET /models/{name}/performance`: the performance of a model, measured with outcomes and estimated without
//! them.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::Uri;
use onnward_quality::estimate::{Estimate, ScoreSums};
use onnward_quality::performance::ScoreCount;
use onnward_quality::time::rfc3339;
use onnward_records::ground_truth::window::Measured;
use onnward_schemas::layout::parse_version;
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
    /// The decision threshold: a row is positive if its probability is at least this value. Null for a model that
    /// decides by none.
    threshold: Option<f64>,
    /// The stored predictions; null if predictions are not stored.
    kept: Option<StoredPredictions>,
    /// The performance on the outcomes in the window; null if there are none.
    measured: Option<Measured>,
    /// The performance estimated from the probabilities; null before the first prediction, and for a version
    /// that is not loaded.
    estimated: Option<Estimated>,
    /// What the figures are made from, where `?counts=true` asks for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    counts: Option<FigureCounts>,
}

/// What figures are made from: those of several engines can be added.
#[derive(Default, Serialize)]
struct FigureCounts {
    /// The predictions with an outcome in the window, by probability: each with the numbers of positive and of other
    /// labels.
    measured: Vec<ScoreCount>,
    /// The sums of the estimate.
    estimated: Option<ScoreSums>,
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
    estimate: Estimate,
    note: &'static str,
}

/// The limits of the estimate.
const NOTE: &str = "an estimate without outcomes, by confidence-based performance estimation (CBPE): it is \
as accurate as the model's calibration, and does not detect changes in the relation between features and \
labels (concept drift)";

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
                    .or_insert_with(|| VersionPerformance::of(figures.version, Some(figures.threshold)));
                of_version.kept = Some(kept);
                if with_counts {
                    let measured =
                        figures.measured.as_ref().map(|measured| ScoreCount::of(&measured.predictions));
                    of_version.counts.get_or_insert_default().measured = measured.unwrap_or_default();
                }
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
        let estimated =
            estimate.map(|estimate| Estimated { from: rfc3339(estimate.since_millis), estimate, note: NOTE });
        let kept = is_kept.then(StoredPredictions::default);
        let counts = with_counts
            .then(|| FigureCounts { estimated: model.monitor.score_sums(), ..FigureCounts::default() });
        let of =
            VersionPerformance::of(model.version, model.identity.binary().map(|binary| binary.threshold));
        (Reverse(model.version), VersionPerformance { kept, estimated, counts, ..of })
    });
    each.collect()
}

impl VersionPerformance {
    fn of(version: u64, threshold: Option<f64>) -> Self {
        Self { version, threshold, kept: None, measured: None, estimated: None, counts: None }
    }
}
