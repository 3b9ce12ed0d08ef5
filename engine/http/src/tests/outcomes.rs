//! Ground truth and performance.

use std::sync::Arc;

use onnward_records::ground_truth::PredictionBatch;
use onnward_records::prediction_id::PredictionId;
use onnward_rows::RowKeys;
use onnward_schemas::Label;
use onnward_serving::version::ModelVersion;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::fixtures::{BANK_ROW, Engine, PHONE_ROW};

async fn predict(engine: &Engine, key: &str, months: u32) -> String {
    let body = json!({"id": key, "months": months, "plan": "full", "senior": 0}).to_string();
    let answer = engine.post("/models/phone/predict", body).await;
    answer.json()["id"].as_str().unwrap().to_owned()
}

async fn tell(engine: &Engine, outcomes: Value) -> Value {
    let answer = engine.post("/outcomes", outcomes.to_string()).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()
}

#[tokio::test]
async fn an_outcome_is_joined_to_the_prediction_that_its_id_names() {
    let folder = TempDir::new().unwrap();
    let engine = Engine::keeping(folder.path());
    let id = predict(&engine, "a", 90).await;
    let joined = tell(&engine, json!({"id": id, "label": true})).await;
    assert_eq!(joined, json!({"result": "joined", "id": id, "model": "phone", "version": 3}));
    assert_eq!(tell(&engine, json!({"id": id, "label": "Yes"})).await["result"], "duplicate");
    assert_eq!(tell(&engine, json!({"id": id, "label": false})).await["result"], "contradicting");
    let corrected = json!([{"id": id, "label": "No", "correct": true, "time": "2026-01-01T00:00:00+01:00"}]);
    let counted = tell(&engine, corrected).await;
    assert_eq!((&counted["corrected"], &counted["joined"]), (&json!(1), &json!(0)));
    assert_eq!(counted["results"][0]["result"], "corrected");
}

#[tokio::test]
async fn rows_of_one_request_are_joined_one_by_one_and_keys_name_customers() {
    let folder = TempDir::new().unwrap();
    let engine = Engine::keeping(folder.path());
    let row = |key: Value| json!({"id": key, "months": 12, "plan": "full", "senior": 0});
    let rows = json!([row(json!("a")), row(json!(17)), row(json!(null))]);
    let predictions = engine.post("/models/phone/predict", rows.to_string()).await.json();
    let id = |row: usize| predictions["predictions"][row]["id"].clone();
    let outcomes = json!({"outcomes": [
        {"key": "a", "model": "phone", "label": false},
        {"key": "17", "model": "phone", "label": true},
        {"key": 17, "model": "phone", "label": "Yes"},
        {"id": id(2), "label": true},
        {"key": "a", "label": true},
        {"id": "01890a5d-ac96-774b-bcce-b302099a8057", "label": true},
    ]});
    let told = tell(&engine, outcomes).await;
    let of_each: Vec<_> = told["results"].as_array().unwrap().iter().map(|one| &one["result"]).collect();
    // The fifth refers to the default model, and the last prediction is from 2023.
    assert_eq!(of_each, ["joined", "joined", "duplicate", "joined", "unknown", "late"]);
    assert_eq!(told["results"][1]["id"], id(1));
    assert_eq!((&told["joined"], &told["late"]), (&json!(3), &json!(1)));
    let metrics = engine.get("/metrics").await.text;
    for line in [
        r#"onnward_outcomes_total{model="phone",result="joined",version="3"} 3"#,
        r#"onnward_outcomes_total{model="",result="late",version=""} 1"#,
        "onnward_outcomes_unknown_total 1",
        "onnward_stored_predictions 3",
    ] {
        assert!(metrics.lines().any(|printed| printed == line), "{line} is not in\n{metrics}");
    }
}

#[tokio::test]
async fn what_is_wrong_with_outcomes_is_told_by_item_and_field_and_none_is_joined() {
    let folder = TempDir::new().unwrap();
    let mut engine = Engine::keeping(folder.path());
    engine.config.max_request_rows = 12;
    let id = predict(&engine, "a", 90).await;
    let body = json!([
        {"id": id, "label": true},
        {"id": "17", "label": true},
        {"label": true},
        {"id": id, "key": "a", "label": true},
        {"id": id, "model": "phone", "label": true},
        {"id": id},
        {"id": id, "label": true, "time": "yesterday"},
        {"id": id, "label": true, "time": "2999-01-01T00:00:00Z"},
        {"id": id, "label": true, "correct": 1, "note": ""},
        {"key": [], "label": {}},
        "an outcome",
    ]);
    let problem = engine.post("/outcomes", body.to_string()).await.problem(422);
    assert_eq!(problem["type"], "urn:onnward:problem:invalid-outcomes");
    let errors = problem["errors"].as_array().unwrap();
    let pointers: Vec<_> = errors.iter().map(|error| error["pointer"].as_str().unwrap()).collect();
    let expected = [
        "/1/id",
        "/2/id",
        "/3/key",
        "/4/model",
        "/5/label",
        "/6/time",
        "/7/time",
        "/8/note",
        "/8/correct",
        "/9/key",
        "/9/label",
        "/10",
    ];
    assert_eq!(pointers, expected);
    assert_eq!(errors[5]["got"], "\"yesterday\"");
    let wrong_label = json!({"outcomes": [{"id": id, "label": false}, {"id": id, "label": "Perhaps"}]});
    let problem = engine.post("/outcomes", wrong_label.to_string()).await.problem(422);
    assert_eq!(problem["errors"][0]["pointer"], "/outcomes/1/label");
    assert!(problem["errors"][0]["expected"].as_str().unwrap().contains("\"Yes\" or \"No\""), "{problem}");
    for (body, pointer) in
        [("[]", ""), ("17", ""), (r#"{"outcomes": 1}"#, "/outcomes"), (r#"{"outcomes": [], "x": 1}"#, "/x")]
    {
        assert_eq!(
            engine.post("/outcomes", body).await.problem(422)["errors"][0]["pointer"],
            pointer,
            "{body}"
        );
    }
    let many = json!(vec![json!({"id": id, "label": true}); 13]);
    let problem = engine.post("/outcomes", many.to_string()).await.problem(422);
    assert_eq!(problem["errors"][0]["expected"], "1 to 12 outcomes");
    assert_eq!(engine.post("/outcomes", "{").await.problem(400)["type"], "urn:onnward:problem:not-json");
    assert_eq!(tell(&engine, json!({"id": id, "label": true})).await["result"], "joined");
}

#[tokio::test]
async fn without_a_store_outcomes_are_told_what_to_set_and_predictions_have_ids_all_the_same() {
    let engine = Engine::ready();
    assert!(!predict(&engine, "a", 12).await.is_empty());
    let problem = engine.post("/outcomes", r#"{"id": "x", "label": true}"#).await.problem(501);
    assert!(problem["detail"].as_str().unwrap().contains("outcomes.folder"), "{problem}");
    let performance = engine.get("/models/phone/performance").await.json();
    assert_eq!(performance["window"], Value::Null);
    let version = &performance["versions"][0];
    assert_eq!((&version["kept"], &version["measured"]), (&Value::Null, &Value::Null));
    let estimated = &version["estimated"];
    assert_eq!(
        (&estimated["predictions"], &estimated["accuracy"]),
        (&json!(1), &json!(1.0 - 0.12f32 as f64))
    );
    assert_eq!(estimated["precision"], Value::Null);
    assert!(estimated["note"].as_str().unwrap().contains("estimate"));
    let metrics = engine.get("/metrics").await.text;
    let line = r#"onnward_estimated_performance{figure="accuracy",model="phone",version="3"} 0.88"#;
    assert!(metrics.lines().any(|printed| printed.starts_with(line)), "{metrics}");
    assert!(!metrics.contains(r#"onnward_estimated_performance{figure="precision""#));
}

#[tokio::test]
async fn figures_follow_outcomes_at_once() {
    let folder = TempDir::new().unwrap();
    let engine = Engine::keeping(folder.path());
    let empty = engine.get("/models/phone/performance").await.json();
    assert_eq!(empty["window"], json!({"days": 30, "outcomes": 1000}));
    assert_eq!(empty["versions"][0]["kept"], json!({"predictions": 0, "with_outcome": 0, "coverage": null}));
    let mut outcomes = Vec::new();
    for (months, label) in [(95, true), (85, false), (65, true), (35, false), (15, false)] {
        outcomes.push(json!({"id": predict(&engine, "a", months).await, "label": label}));
    }
    predict(&engine, "b", 20).await;
    tell(&engine, json!(outcomes)).await;
    let performance = engine.get("/models/phone/performance?version=3").await.json();
    let version = &performance["versions"][0];
    assert_eq!(version["kept"], json!({"predictions": 6, "with_outcome": 5, "coverage": 5.0 / 6.0}));
    let measured = &version["measured"];
    assert_eq!((&measured["outcomes"], &measured["positives"]), (&json!(5), &json!(2)));
    assert_eq!((&measured["roc_auc"], &measured["accuracy"]), (&json!(5.0 / 6.0), &json!(0.8)));
    assert_eq!((&measured["precision"], &measured["recall"]), (&json!(2.0 / 3.0), &json!(1.0)));
    assert_eq!(measured["calibration"].as_array().unwrap().len(), 5);
    assert_eq!(version.get("counts"), None);
    let counted = engine.get("/models/phone/performance?version=3&counts=true").await.json();
    let counts = &counted["versions"][0]["counts"];
    let measured = counts["measured"].as_array().unwrap();
    assert_eq!((measured.len(), measured[4][1].as_u64(), measured[4][2].as_u64()), (5, Some(1), Some(0)));
    assert_eq!(counts["estimated"]["rows"], 6);
    let problem = engine.get("/models/phone/performance?version=9").await.problem(404);
    assert!(problem["detail"].as_str().unwrap().contains("known: 3"), "{problem}");
    engine.get("/models/phone/performance?version=x").await.problem(400);
    engine.get("/models/nobody/performance").await.problem(404);
}

#[tokio::test]
async fn a_store_that_cannot_be_opened_costs_outcomes_and_no_prediction() {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("predictions.redb"), vec![7; 100_000]).unwrap();
    let engine = Engine::keeping(folder.path());
    assert_eq!(engine.post("/models/phone/predict", PHONE_ROW).await.status, 200);
    assert_eq!(engine.post("/models/bank/predict", BANK_ROW).await.status, 200);
    let answer = engine.post("/outcomes", r#"{"key": "a", "label": true}"#).await;
    let problem = answer.problem(503);
    assert!(problem["detail"].as_str().unwrap().contains("move it away"), "{problem}");
    assert!(answer.header("retry-after").is_some());
}

#[tokio::test]
async fn a_version_of_another_repository_has_labels_of_its_own_and_is_not_in_the_figures() {
    let folder = TempDir::new().unwrap();
    let engine = Engine::keeping(folder.path());
    let ours = predict(&engine, "a", 90).await;
    // Predictions of an earlier repository, which had a model with the same name and version.
    let loaded = Arc::clone(&engine.registry.entry("phone").unwrap().version(3).unwrap().identity);
    let other = ModelVersion {
        sha256: Some("ef".repeat(32)),
        task: Label::binary("left", "left", "stayed").task,
        ..ModelVersion::clone(&loaded)
    };
    let first = PredictionId::now();
    let keys = RowKeys::default();
    let batch = PredictionBatch { first, by: Arc::new(other), probabilities: vec![0.5; 7], keys };
    engine.outcomes.as_ref().unwrap().keep(batch);
    let theirs = first.text();
    let outcomes = json!([{"id": ours, "label": "Yes"}, {"id": theirs.as_str(), "label": "stayed"}]);
    let told = tell(&engine, outcomes).await;
    assert_eq!(told["joined"], 2, "{told}");
    let performance = engine.get("/models/phone/performance").await.json();
    let versions = performance["versions"].as_array().unwrap();
    assert_eq!((versions.len(), &versions[0]["version"]), (1, &json!(3)));
    assert_eq!(versions[0]["kept"]["predictions"], 1, "{performance}");
}
