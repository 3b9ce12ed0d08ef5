//! `GET /models/{name}/performance`: how good a model's predictions are, measured by outcomes and estimated without them.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::Uri;
use onnward_quality::estimate::Estimate;
use onnward_quality::time::rfc3339;
use onnward_records::ground_truth::window::Measured;
use onnward_schemas::layout::parse_version;
use onnward_serving::registry::ModelEntry;
use serde::Serialize;

use crate::problem::ApiError;
use crate::state::{Models, Records};

/// How good the predictions of a model's versions are.
#[derive(Serialize)]
pub struct Performance {
    model: String,
    /// Over which outcomes figures are measured; null where no predictions are kept.
    window: Option<Window>,
    /// The loaded versions and those whose predictions are kept, the highest first.
    versions: Vec<VersionPerformance>,
}

/// Over which outcomes figures are measured.
#[derive(Serialize)]
struct Window {
    /// How many days ago an outcome may have come.
    days: u64,
    /// How many outcomes of a version count at most, the last ones.
    outcomes: usize,
}

#[derive(Serialize)]
struct VersionPerformance {
    version: u64,
    /// The probability from which a row is judged positive.
    threshold: f64,
    /// What is kept; null where no predictions are.
    kept: Option<StoredPredictions>,
    /// By the outcomes in the window; null if there are none.
    measured: Option<Measured>,
    /// By what the predictions say of themselves; null before there are any, and for a version that is not loaded.
    estimated: Option<Estimated>,
}

/// How much is kept of a version.
#[derive(Default, Serialize)]
struct StoredPredictions {
    predictions: u64,
    with_outcome: u64,
    /// The share of the predictions that have their outcome.
    coverage: Option<f64>,
}

#[derive(Serialize)]
struct Estimated {
    /// When the first of the predictions was made.
    from: String,
    #[serde(flatten)]
    estimate: Estimate,
    note: &'static str,
}

/// How to read the estimate.
const NOTE: &str = "an estimate without outcomes, by confidence-based performance estimation: it is as good as the model's \
calibration, and does not see when customers begin to behave otherwise";

/// Returns the figures of a model's versions, or of the one that `?version=` names.
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
    let mut versions = loaded_versions(&entry, records.outcomes.is_some());
    let window = match &records.outcomes {
        Some(outcomes) => {
            let loaded = entry.loaded_versions().into_iter().filter_map(|version| entry.version(version));
            let loaded = loaded.map(|model| Arc::clone(&model.identity)).collect();
            for figures in outcomes.figures(&name, loaded).await? {
                let (predictions, with_outcome) = (figures.predictions, figures.with_outcome);
                let kept = StoredPredictions { predictions, with_outcome, coverage: figures.coverage };
                let of_version = versions
                    .entry(Reverse(figures.version))
                    .or_insert_with(|| VersionPerformance::of(figures.version, figures.threshold));
                of_version.kept = Some(kept);
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

/// Returns the figures of loaded versions that need no outcomes.
fn loaded_versions(entry: &ModelEntry, is_kept: bool) -> BTreeMap<Reverse<u64>, VersionPerformance> {
    let loaded = entry.loaded_versions().into_iter().filter_map(|version| entry.version(version));
    let each = loaded.map(|model| {
        let estimate = model.monitor.estimate();
        let estimated =
            estimate.map(|estimate| Estimated { from: rfc3339(estimate.since_millis), estimate, note: NOTE });
        let kept = is_kept.then(StoredPredictions::default);
        let of = VersionPerformance::of(model.version, model.identity.threshold);
        (Reverse(model.version), VersionPerformance { kept, estimated, ..of })
    });
    each.collect()
}

impl VersionPerformance {
    fn of(version: u64, threshold: f64) -> Self {
        Self { version, threshold, kept: None, measured: None, estimated: None }
    }
}
