use std::sync::Arc;
use std::time::Duration;

use onnward_rows::RowKeys;
use onnward_schemas::Label;
use onnward_serving::version::ModelVersion;
use tempfile::TempDir;

use super::join::{JoinResult, LabelValue, Reference};
use super::queue::MAX_PENDING_ROWS;
use super::*;
use crate::prediction_id::PredictionId;

const DAY: Duration = Duration::from_secs(86_400);

fn config(folder: &Path) -> OutcomesConfig {
    OutcomesConfig {
        folder: Some(folder.to_owned()),
        retention: 90 * DAY,
        max_predictions: 1_000_000,
        window: 30 * DAY,
        window_outcomes: 3,
        estimate_rows: 100,
    }
}

fn start(folder: &Path) -> (GroundTruthStore, Arc<Metrics>) {
    let metrics = Arc::new(Metrics::new().unwrap());
    (GroundTruthStore::start(&config(folder), Arc::clone(&metrics)).unwrap().unwrap(), metrics)
}

fn predicted(rows: usize) -> PredictionBatch {
    let by = ModelVersion {
        model: "churn".to_owned(),
        version: 1,
        sha256: Some("cd".repeat(32)),
        task: Label::binary("churn", "1", "0").task,
    };
    let probabilities: Vec<f32> = (0..rows).map(|row| (row % 10) as f32 / 10.0).collect();
    let predictions = probabilities.into();
    PredictionBatch { first: PredictionId::now(), by: Arc::new(by), predictions, keys: RowKeys::default() }
}

fn outcome(id: PredictionId, value: &str) -> Outcome {
    let label = LabelValue::Value(value.to_owned());
    Outcome { of: Reference::Id(id), label, millis: None, corrects: false }
}

#[tokio::test]
async fn a_prediction_is_found_as_soon_as_it_is_kept_and_after_a_new_start() {
    let folder = TempDir::new().unwrap();
    let (outcomes, _) = start(folder.path());
    let scored = predicted(10);
    let first = scored.first;
    outcomes.keep(scored);
    let told = (0..4).map(|row| outcome(first.of_row(row), if row < 2 { "1" } else { "0" })).collect();
    let joined = outcomes.join(told).await.unwrap();
    assert!(joined.iter().all(|joined| joined.result == JoinResult::Joined), "{joined:?}");
    outcomes.stop();
    drop(outcomes);

    let (outcomes, _) = start(folder.path());
    let figures = outcomes.figures("churn", Vec::new()).await.unwrap();
    assert_eq!((figures[0].predictions, figures[0].with_outcome), (10, 4));
    let measured = figures[0].measured.as_ref().unwrap();
    assert_eq!((measured.outcomes, measured.positives), (3, Some(1)), "the window has three");
    assert_eq!(measured.performance.binary().unwrap().roc_auc, Some(0.0));
    assert!(outcomes.figures("other", Vec::new()).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_correction_changes_the_figures() {
    let folder = TempDir::new().unwrap();
    let (outcomes, _) = start(folder.path());
    let scored = predicted(10);
    let first = scored.first;
    outcomes.keep(scored);
    outcomes.join(vec![outcome(first.of_row(1), "1"), outcome(first.of_row(9), "0")]).await.unwrap();
    let corrects = |row, value| Outcome { corrects: true, ..outcome(first.of_row(row), value) };
    outcomes.join(vec![corrects(1, "0"), corrects(9, "1")]).await.unwrap();
    let figures = outcomes.figures("churn", Vec::new()).await.unwrap();
    assert_eq!(figures[0].with_outcome, 2);
    assert_eq!(figures[0].measured.as_ref().unwrap().performance.binary().unwrap().roc_auc, Some(1.0));
}

#[test]
fn two_engines_do_not_share_a_folder() {
    let folder = TempDir::new().unwrap();
    let (first, metrics) = start(folder.path());
    let message = GroundTruthStore::start(&config(folder.path()), metrics).unwrap_err().to_string();
    assert!(message.contains("outcomes.folder") && message.contains("folder of its own"), "{message}");
    first.stop();
    drop(first);
    start(folder.path()).0.stop();
}

#[tokio::test]
async fn what_has_no_room_is_counted_and_costs_nobody_a_wait() {
    let folder = TempDir::new().unwrap();
    let (outcomes, metrics) = start(folder.path());
    // The writer cannot take what comes while the queue is held.
    let lost = predicted(MAX_PENDING_ROWS + 1);
    let id = lost.first;
    outcomes.keep(lost);
    let kept = predicted(1);
    let found = kept.first;
    outcomes.keep(kept);
    let joined = outcomes.join(vec![outcome(id, "1"), outcome(found, "1")]).await.unwrap();
    assert_eq!([joined[0].result, joined[1].result], [JoinResult::Unknown, JoinResult::Joined]);
    let text = String::from_utf8(metrics.render(&[]).unwrap()).unwrap();
    let line =
        format!("onnward_predictions_not_stored_total{{reason=\"queue_full\"}} {}", MAX_PENDING_ROWS + 1);
    assert!(text.lines().any(|printed| printed == line), "{text}");
    let many = vec![outcome(found, "1"); 300_000];
    assert_eq!(outcomes.join(many).await, Err(OutcomesError::Full));
}
