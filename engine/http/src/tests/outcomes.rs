//! Ground truth and performance.

use std::sync::Arc;

use onnward_records::ground_truth::PredictionBatch;
use onnward_records::prediction_id::PredictionId;
use onnward_rows::RowKeys;
use onnward_schemas::{
    ClassFigures, ClassPredictions, Classes, ErrorProfile, FeatureProfile, Figures, GoldenPrediction, Label,
    Metadata, NumberFigures, Numbers, PredictedValues, ScoreProfile, Task,
};
use onnward_serving::version::ModelVersion;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::fixtures::{BANK_ROW, Engine, PHONE, PHONE_ROW, metadata};

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
        {"key": "b", "model": "phone", "label": true},
        {"id": "01890a5d-ac96-774b-bcce-b302099a8057", "label": true},
    ]});
    let told = tell(&engine, outcomes).await;
    let of_each: Vec<_> = told["results"].as_array().unwrap().iter().map(|one| &one["result"]).collect();
    // Nobody was asked about the fifth, and the last prediction is from 2023.
    assert_eq!(of_each, ["joined", "joined", "duplicate", "joined", "unknown", "late"]);
    assert_eq!(told["results"][1]["id"], id(1));
    // Without a name it is the default model's, which has no identifier.
    let unnamed = json!([{"id": id(2), "label": true}, {"key": "a", "label": true}]).to_string();
    let problem = engine.post("/outcomes", unnamed).await.problem(422);
    let refused = &problem["errors"][0];
    assert_eq!(refused["pointer"], "/1/key");
    assert!(
        refused["expected"].as_str().unwrap().contains("the model \"bank\" has no identifier"),
        "{problem}"
    );
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
    let answer = engine.post("/outcomes", r#"{"key": "a", "model": "phone", "label": true}"#).await;
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
    let batch = PredictionBatch { first, by: Arc::new(other), predictions: vec![0.5; 7].into(), keys };
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

/// Stores predictions of another version of the model `phone`, and returns the id of the first.
fn keep(engine: &Engine, version: u64, task: Task, values: PredictedValues) -> PredictionId {
    let loaded = Arc::clone(&engine.registry.entry("phone").unwrap().version(3).unwrap().identity);
    let sha256 = Some(format!("{version:064x}"));
    let by = Arc::new(ModelVersion { version, sha256, task, ..ModelVersion::clone(&loaded) });
    let first = PredictionId::now();
    let batch = PredictionBatch { first, by, predictions: values.into(), keys: RowKeys::default() };
    engine.outcomes.as_ref().unwrap().keep(batch);
    first
}

async fn performance_of(engine: &Engine, version: u64) -> Value {
    let path = format!("/models/phone/performance?version={version}&counts=true");
    engine.get(&path).await.json()["versions"][0].clone()
}

#[tokio::test]
async fn outcomes_of_classes_are_given_by_value_and_their_figures_name_the_classes() {
    let folder = TempDir::new().unwrap();
    let engine = Engine::keeping(folder.path());
    let values = ["basic", "2", "full"].map(str::to_owned).to_vec();
    let probabilities = Some(Numbers::Single(vec![0.5, 0.25, 0.25, 0.25, 0.5, 0.25, 0.0, 0.25, 0.75]));
    let predicted = PredictedValues::Classes(ClassPredictions { indices: vec![0, 1, 2], probabilities });
    let first = keep(&engine, 7, Task::Classes(Classes { values: values.clone() }), predicted);
    let id = |row| first.of_row(row).text().as_str().to_owned();
    for wrong in [json!("other"), json!(3), json!(true)] {
        let body = json!({"id": id(0), "label": wrong}).to_string();
        let problem = engine.post("/outcomes", body).await.problem(422);
        assert_eq!(problem["errors"][0]["pointer"], "/label");
        let expected = problem["errors"][0]["expected"].as_str().unwrap();
        assert!(expected.contains(r#"one of "basic", "2", "full""#), "{problem}");
    }
    let outcomes = json!([
        {"id": id(0), "label": "basic"}, {"id": id(1), "label": 2}, {"id": id(2), "label": "2"},
    ]);
    assert_eq!(tell(&engine, outcomes).await["joined"], 3);
    let version = performance_of(&engine, 7).await;
    assert_eq!((&version["task"], &version["classes"]), (&json!("classes"), &json!(values)));
    assert_eq!(version["kept"]["with_outcome"], 3);
    let measured = &version["measured"];
    assert_eq!((&measured["accuracy"], &measured["top_2_accuracy"]), (&json!(2.0 / 3.0), &json!(1.0)));
    assert_eq!(measured["confusion"], json!([[1, 0, 0], [0, 1, 1], [0, 0, 0]]));
    assert_eq!((measured.get("positives"), &version["threshold"]), (None, &Value::Null));
    assert_eq!(version["counts"]["measured"][0], json!([0, 0, 0.5, 0, 1]));
}

#[tokio::test]
async fn outcomes_of_numbers_are_json_numbers_and_a_reason_is_in_place_of_an_estimate() {
    let folder = TempDir::new().unwrap();
    let engine = Engine::keeping(folder.path());
    let predicted = PredictedValues::Numbers(Numbers::Double(vec![10.0, 20.5, 30.0]));
    let first = keep(&engine, 8, Task::Number, predicted);
    let id = |row| first.of_row(row).text().as_str().to_owned();
    for wrong in [json!("10"), json!(true)] {
        let body = json!([{"id": id(0), "label": wrong}]).to_string();
        let problem = engine.post("/outcomes", body).await.problem(422);
        assert_eq!(problem["errors"][0]["pointer"], "/0/label");
        assert!(problem["errors"][0]["expected"].as_str().unwrap().contains("a number"), "{problem}");
    }
    let outcomes = json!([
        {"id": id(0), "label": 9}, {"id": id(1), "label": 20.5}, {"id": id(2), "label": 32},
    ]);
    assert_eq!(tell(&engine, outcomes).await["joined"], 3);
    let version = performance_of(&engine, 8).await;
    assert_eq!((&version["task"], &version["estimated"]), (&json!("number"), &Value::Null));
    let measured = &version["measured"];
    assert_eq!((&measured["mae"], &measured["bias"]), (&json!(1.0), &json!(-1.0 / 3.0)));
    assert_eq!(measured["error_quantiles"][2], json!({"percent": 50, "error": 0.0}));
    let counted = measured["error_histogram"].as_array().unwrap().iter();
    assert_eq!(counted.map(|bin| bin["predictions"].as_u64().unwrap()).sum::<u64>(), 3);
    assert_eq!(version["counts"]["measured"][0], json!([30.0, 32.0]));
}

/// Returns the metadata of a model that predicts a plan of the phone company's customers.
fn plans() -> Metadata {
    let mut plans = metadata(PHONE);
    let values = ["basic", "full", "trial"].map(str::to_owned).to_vec();
    plans.schema.label = Label {
        column: "Plan".to_owned(),
        name: "best_plan".to_owned(),
        task: Task::Classes(Classes { values }),
    };
    plans.golden.rows.iter_mut().for_each(|row| {
        row.prediction = GoldenPrediction::Probabilities(vec![0.5, 0.25, 0.25]);
    });
    plans.evaluation.test = Figures::Classes(ClassFigures {
        accuracy: 0.75,
        macro_f1: 0.7,
        weighted_f1: 0.7,
        roc_auc_ovr: 0.8,
        top_2_accuracy: 0.9,
        top_3_accuracy: 1.0,
        log_loss: 0.5,
        confusion: vec![vec![3, 0, 0], vec![0, 3, 0], vec![1, 1, 2]],
    });
    let counts = vec![4, 3, 3];
    plans.profile.score =
        ScoreProfile::Values(FeatureProfile::Categorical { counts, missing: 0, unknown: 0 });
    plans
}

/// Returns the metadata of a model that predicts what the phone company's customers spend.
fn prices() -> Metadata {
    let mut prices = metadata(PHONE);
    prices.schema.label = Label { column: "Spend".to_owned(), name: "spend".to_owned(), task: Task::Number };
    prices.golden.rows.iter_mut().for_each(|row| row.prediction = GoldenPrediction::Number(7.5));
    prices.evaluation.test = Figures::Number(NumberFigures {
        rmse: 2.0,
        mae: 1.5,
        median_absolute_error: 1.0,
        r2: 0.75,
        mape: None,
        pinball_10: 0.5,
        pinball_50: 0.75,
        pinball_90: 0.5,
        bias: 0.25,
    });
    let (edges, counts) = (vec![50.0], vec![5, 5]);
    prices.profile.errors = Some(ErrorProfile { absolute: vec![1.5; 2], squared: vec![4.0; 2] });
    prices.profile.score = ScoreProfile::Values(FeatureProfile::Numeric {
        edges,
        counts,
        missing: 0,
        min: 0.0,
        median: 50.0,
        mean: 50.0,
        max: 100.0,
    });
    prices
}

/// Returns an engine with models of every task: one predicts the first class, the other one the months.
fn with_every_task(folder: &std::path::Path) -> Engine {
    let engine = Engine::keeping(folder);
    engine.serve_task("plans", plans(), |rows| {
        let probabilities = Some(Numbers::Single([0.5, 0.25, 0.25].repeat(rows.nrows())));
        PredictedValues::Classes(ClassPredictions { indices: vec![0; rows.nrows()], probabilities })
    });
    engine.serve_task("prices", prices(), |rows| {
        PredictedValues::Numbers(Numbers::Double(rows.outer_iter().map(|row| f64::from(row[0])).collect()))
    });
    engine
}

/// Predicts for 20 customers of as many months, and returns the ids.
async fn predict_twenty(engine: &Engine, model: &str) -> Vec<String> {
    let row = |months: u32| json!({"id": months, "months": months, "plan": "full", "senior": 0});
    let rows: Vec<Value> = (0..20).map(row).collect();
    let answer = engine.post(&format!("/models/{model}/predict"), json!(rows).to_string()).await.json();
    let predictions = answer["predictions"].as_array().unwrap().iter();
    predictions.map(|one| one["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_served_model_of_classes_has_an_estimate_and_is_compared_with_its_training() {
    let folder = TempDir::new().unwrap();
    let engine = with_every_task(folder.path());
    let ids = predict_twenty(&engine, "plans").await;
    let label =
        |(at, id): (usize, &String)| json!({"id": id, "label": if at < 10 { "basic" } else { "full" }});
    tell(&engine, ids.iter().enumerate().map(label).collect()).await;
    let performance = engine.get("/models/plans/performance").await.json();
    let version = &performance["versions"][0];
    let estimated = &version["estimated"];
    assert_eq!((&estimated["predictions"], &estimated["accuracy"]), (&json!(20), &json!(0.5)));
    assert_eq!(estimated["confusion"], json!([[10.0, 0.0, 0.0], [5.0, 0.0, 0.0], [5.0, 0.0, 0.0]]));
    assert_eq!(version["measured"]["accuracy"], 0.5);
    let first = json!({"figure": "accuracy", "training": 0.75, "measured": 0.5, "difference": -0.25});
    assert_eq!(version["compared"][0], first);
    let drift = engine.get("/models/plans/drift").await.json();
    let score = &drift["sliding"]["score"];
    assert_eq!((&score["name"], &score["kind"]), (&json!("best_plan"), &json!("score")));
    assert_eq!((&score["bins"][0]["name"], &score["bins"][0]["live_rows"]), (&json!("basic"), &json!(20)));
    let page = engine.get("/models/plans/drift/report").await.text;
    assert!(page.contains("PSI of the predicted class"), "{page}");
    let metrics = engine.get("/metrics").await.text;
    for line in [
        r#"onnward_estimated_performance{figure="accuracy",model="plans",version="3"} 0.5"#,
        r#"onnward_model_evaluation{figure="log_loss",model="plans",version="3"} 0.5"#,
        r#"onnward_drift_psi{feature="best_plan",kind="score",model="plans",version="3",window="sliding"}"#,
    ] {
        assert!(metrics.lines().any(|printed| printed.starts_with(line)), "{line} is not in\n{metrics}");
    }
}

#[tokio::test]
async fn a_served_model_of_a_number_is_compared_with_its_training_and_estimated_by_its_errors() {
    let folder = TempDir::new().unwrap();
    let engine = with_every_task(folder.path());
    let ids = predict_twenty(&engine, "prices").await;
    let label = |(at, id): (usize, &String)| json!({"id": id, "label": at + 1});
    tell(&engine, ids.iter().enumerate().map(label).collect()).await;
    let performance = engine.get("/models/prices/performance").await.json();
    let version = &performance["versions"][0];
    assert_eq!((&version["estimated"]["rmse"], &version["measured"]["rmse"]), (&json!(2.0), &json!(1.0)));
    assert!(version["estimated"]["note"].as_str().unwrap().contains("DLE"), "{version}");
    assert_eq!(version.get("not_estimated"), None);
    let bias = json!({"figure": "bias", "training": 0.25, "measured": -1.0, "difference": -1.25});
    assert_eq!(version["compared"][2], bias);
    let score = &engine.get("/models/prices/drift").await.json()["sliding"]["score"];
    assert_eq!((&score["name"], &score["bins"][0]["live_rows"]), (&json!("spend"), &json!(20)));
}

#[tokio::test]
async fn the_document_describes_the_tasks_that_are_served() {
    let folder = TempDir::new().unwrap();
    let schemas = |document: Value| document["components"]["schemas"].clone();
    let binary = schemas(Engine::keeping(folder.path()).get("/openapi.json").await.json());
    assert_eq!(binary.get("MeasuredClassPerformance"), None);
    assert_eq!(binary["VersionPerformance"]["properties"].get("task"), None);
    let all = schemas(with_every_task(TempDir::new().unwrap().path()).get("/openapi.json").await.json());
    let described = |name: &str, field: &str| all[name]["properties"].get(field).is_some();
    for (name, field) in [
        ("MeasuredClassPerformance", "confusion"),
        ("MeasuredNumberPerformance", "error_quantiles"),
        ("EstimatedClassPerformance", "confusion"),
        ("EstimatedNumberPerformance", "rmse"),
        ("VersionPerformance", "not_estimated"),
        ("VersionPerformance", "compared"),
        ("ComparedFigure", "difference"),
    ] {
        assert!(described(name, field), "{name}.{field}: {all}");
    }
    assert!(all["OutcomeById"]["properties"]["label"]["description"].as_str().unwrap().contains("a number"));
}
