//! Labels of every type, from a table to an answer: the schemas with classes and with numbers that ship with the
//! project, on both runtimes.

use std::path::Path;

use serde_json::{Map, Value, json};
use tempfile::TempDir;

use crate::support::json_schema::{check, exporter_schemas};
use crate::support::programs::{Engine, fail, succeed, succeed_json};
use crate::support::schema;
use crate::support::wait::eventually;

const EXPORTER: &str = "onnward-exporter";
const ENGINE: &str = "onnward-engine";

/// A schema whose label is no binary one: its key in an answer, and the figure that its models are ranked by.
struct Case {
    schema: &'static str,
    label: &'static str,
    criterion: &'static str,
}

const CLASSES: [Case; 2] = [
    Case { schema: "plans", label: "plan", criterion: "log_loss" },
    Case { schema: "churn_reason", label: "reason", criterion: "log_loss" },
];
const NUMBERS: [Case; 2] = [
    Case { schema: "lifetime_value", label: "value", criterion: "rmse" },
    Case { schema: "rent", label: "rent", criterion: "rmse" },
];

/// Draws a table, trains, and returns what `train` prints.
fn train(folder: &Path, case: &Case, seed: &str) -> Value {
    let file = |part: &str| folder.join(part).display().to_string();
    let (schema, table, report) =
        (format!("schemas/{}.toml", case.schema), file("table.csv"), file("report"));
    succeed(EXPORTER, &["sample", "--schema", &schema, "--rows", "1500", "--seed", seed, "--out", &table]);
    let data = ["train", "--schema", &schema, "--data", &table, "--repository", &file("repository")];
    let rest = ["--model", "model", "--folds", "2", "--forest-trees", "20", "--out", &report];
    succeed_json(EXPORTER, &[&data[..], &rest[..], &["--seed", seed, "--output", "json"]].concat())
}

/// Returns further sampled rows, as requests have them.
fn requests(case: &Case, rows: usize) -> Vec<Value> {
    let schema = format!("schemas/{}.toml", case.schema);
    let count = rows.to_string();
    let sample = ["sample", "--schema", &schema, "--rows", &count, "--seed", "77", "--format", "jsonl"];
    succeed(EXPORTER, &sample).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Trains two versions, serves the first, swaps to the second, and asks each on both runtimes.
fn check_whole_way(case: &Case, check: impl Fn(&Value)) {
    let folder = TempDir::new().unwrap();
    let trained = train(folder.path(), case, "1");
    let comparison = &trained["comparison"];
    let best = &comparison["candidates"][0];
    assert_eq!(comparison["selected"], best["family"]);
    let mean = format!("{}_mean", case.criterion);
    let [first, second] =
        [0, 1].map(|at| comparison["candidates"][at]["cross_validation"][&mean].as_f64().unwrap());
    assert!(first <= second, "the smaller {} is the better one: {first} {second}", case.criterion);
    let figure = |of: &Value| of["test"][case.criterion].as_f64().unwrap();
    assert!(figure(best) < 0.97 * figure(&comparison["baseline"]), "{comparison}");

    let repository = folder.path().join("repository");
    let rows = requests(case, 60);
    let body = json!({ "instances": rows }).to_string();
    let mut answers = Vec::new();
    for backend in ["onnxruntime", "tract"] {
        let settings = [("ONNWARD_BACKEND".to_owned(), backend.to_owned())];
        let engine = Engine::serve_in(&settings, &repository, &[]);
        let (status, answer) = engine.post("/models/model/predict", &body);
        assert_eq!(status, 200, "{answer}");
        let predictions = answer["predictions"].as_array().unwrap().clone();
        assert_eq!(predictions.len(), rows.len());
        predictions.iter().for_each(&check);
        for (row, of_batch) in rows.iter().zip(&predictions).take(5) {
            let (_, alone) = engine.post("/models/model/predict", &row.to_string());
            assert_eq!(without_id(&alone), without_id(of_batch), "batch = single");
        }
        answers.push(predictions.iter().map(without_id).collect::<Vec<_>>());
        let (status, refused) = engine.post("/models/model/predict", "{}");
        assert_eq!(status, 422, "{refused}");
        let openapi = engine.get_json("/openapi.json");
        assert!(openapi.to_string().contains(&format!("\"{}\"", case.label)), "{openapi}");
    }
    for (one, other) in answers[0].iter().zip(&answers[1]) {
        assert_close(one, other);
    }

    let engine = Engine::serve(&repository, &[]);
    train(folder.path(), case, "2");
    succeed(ENGINE, &["reload", "--url", &format!("{}/admin/reload", engine.admin_url)]);
    let answer = eventually("the second version answers", || {
        let answer = engine.post("/models/model/predict", &rows[0].to_string()).1;
        if answer["version"] == 2 { Ok(answer) } else { Err(answer.to_string()) }
    });
    check(&answer);
    let report = std::fs::read_to_string(folder.path().join("report/report.html")).unwrap();
    assert!(report.contains("held-out") && !report.contains("NaN"));
    let inspected = succeed_json(
        EXPORTER,
        &["inspect", &format!("{}/model/1/model.onnx", repository.display()), "--output", "json"],
    );
    assert!(inspected["description"]["evaluation"]["test"][case.criterion].is_f64(), "{inspected}");
}

fn without_id(prediction: &Value) -> Map<String, Value> {
    let mut fields = prediction.as_object().unwrap().clone();
    for field in ["id", "model", "version"] {
        fields.remove(field);
    }
    fields
}

/// Compares the answers of two runtimes: numbers but for rounding, all else exactly.
fn assert_close(one: &Map<String, Value>, other: &Map<String, Value>) {
    assert_eq!(one.keys().collect::<Vec<_>>(), other.keys().collect::<Vec<_>>());
    for (key, value) in one {
        match (value, &other[key]) {
            (Value::Number(one), Value::Number(other)) => {
                let (one, other) = (one.as_f64().unwrap(), other.as_f64().unwrap());
                assert!((one - other).abs() <= 1e-5 * one.abs().max(1.0), "{one} {other}");
            }
            (Value::Object(one), Value::Object(other)) => assert_close(one, other),
            (one, other) => assert_eq!(one, other),
        }
    }
}

#[test]
fn classes_go_from_a_table_to_an_answer() {
    for case in &CLASSES {
        let file = schema(case.schema);
        let onnward_schemas::Task::Classes(classes) = &file.schema.label.task else { panic!("no classes") };
        check_whole_way(case, |prediction| {
            let class = prediction[case.label].as_str().unwrap();
            let probabilities = prediction["probabilities"].as_object().unwrap();
            assert!(classes.values.iter().all(|class| probabilities.contains_key(class)), "{prediction}");
            assert_eq!(probabilities.len(), classes.values.len());
            let probability = |class: &str| probabilities[class].as_f64().unwrap();
            assert!(
                classes.values.iter().all(|other| probability(other) <= probability(class)),
                "{prediction}"
            );
            let sum: f64 = classes.values.iter().map(|class| probability(class)).sum();
            assert!((sum - 1.0).abs() < 1e-5, "{prediction}");
        });
    }
}

#[test]
fn numbers_go_from_a_table_to_an_answer() {
    for case in &NUMBERS {
        check_whole_way(case, |prediction| {
            assert!(prediction[case.label].as_f64().unwrap().is_finite(), "{prediction}");
            assert!(prediction.get("probability").is_none() && prediction.get("probabilities").is_none());
        });
    }
}

/// The predictions of another kind of customers are told as drift, under the label's name.
#[test]
fn other_predictions_are_drift_by_class_and_by_number() {
    for (case, changed, value) in [(&CLASSES[0], "gigabytes", json!(300)), (&NUMBERS[1], "Area", json!(220))]
    {
        let folder = TempDir::new().unwrap();
        train(folder.path(), case, "1");
        let settings = [("ONNWARD_DRIFT__WINDOW_ROWS", "600"), ("ONNWARD_DRIFT__MIN_ROWS", "500")];
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let engine = Engine::serve_in(&settings, folder.path().join("repository"), &[]);
        let mut rows = requests(case, 600);
        let post = |rows: &[Value]| {
            let (status, answer) =
                engine.post("/models/model/predict", &json!({ "instances": rows }).to_string());
            assert_eq!(status, 200, "{answer}");
        };
        let drifted = || -> Vec<String> {
            let report = engine.get_json("/models/model/drift");
            let names = report["sliding"]["drifted"].as_array().unwrap();
            names.iter().map(|name| name.as_str().unwrap().to_owned()).collect()
        };
        post(&rows);
        assert_eq!(drifted(), [] as [&str; 0]);
        rows.iter_mut().for_each(|row| row[changed] = value.clone());
        post(&rows);
        let mut names = drifted();
        names.sort_unstable();
        let mut expected = [changed, case.label];
        expected.sort_unstable();
        assert_eq!(names, expected);
        assert!(engine.get("/models/model/drift/report").1.contains(case.label));
        let gauge = format!(r#"onnward_drift_detected{{feature="{}",kind="score","#, case.label);
        assert!(engine.get("/metrics").1.contains(&gauge));
    }
}

#[test]
fn what_does_not_fit_the_label_is_refused_in_a_sentence() {
    let folder = TempDir::new().unwrap();
    let file = |part: &str| folder.path().join(part).display().to_string();
    let table = file("rent.csv");
    succeed(EXPORTER, &["sample", "--schema", "schemas/rent.toml", "--rows", "100", "--out", &table]);
    let repository = file("repository");
    let data = ["train", "--schema", "schemas/rent.toml", "--data", &table, "--repository", &repository];
    let train = |rest: &[&str]| fail(EXPORTER, &[&data[..], &["--model", "rent"], rest].concat());
    let message = train(&["--candidates", "logistic"]);
    assert!(
        message.contains("logistic cannot predict a label of type \"number\": use forest or ridge"),
        "{message}"
    );
    let text = std::fs::read_to_string(&table).unwrap();
    let row = text.lines().nth(1).unwrap();
    let wrong = row.rsplit_once(',').unwrap().0.to_owned() + ",much";
    std::fs::write(&table, text.replacen(row, &wrong, 1)).unwrap();
    let message = train(&[]);
    assert!(message.contains("line 2, column \"Rent\"") && message.contains("\"much\""), "{message}");

    let message = fail(ENGINE, &["check", &table]);
    assert!(message.contains("not an ONNX"), "{message}");
}

/// Reports what turned out, in the label's own terms, and reads the figures by the task.
#[test]
fn outcomes_of_classes_and_numbers_are_joined_and_measured() {
    for (case, figures, wrong) in [
        (&CLASSES[0], ["accuracy", "macro_f1", "log_loss"], json!("platinum")),
        (&NUMBERS[1], ["rmse", "mae", "r2"], json!("much")),
    ] {
        let folder = TempDir::new().unwrap();
        train(folder.path(), case, "1");
        let store = folder.path().join("outcomes").display().to_string();
        let settings = [("ONNWARD_OUTCOMES__FOLDER".to_owned(), store)];
        let engine = Engine::serve_in(&settings, folder.path().join("repository"), &[]);
        let rows = requests(case, 80);
        let (status, answer) =
            engine.post("/models/model/predict", &json!({ "instances": rows }).to_string());
        assert_eq!(status, 200, "{answer}");
        let predictions = answer["predictions"].as_array().unwrap();
        // What was predicted turned out, but for every fourth row.
        let outcomes = predictions.iter().enumerate().map(|(at, prediction)| {
            let label = match &prediction[case.label] {
                Value::String(_) if at % 4 == 0 => json!("none"),
                Value::Number(number) if at % 4 == 0 => json!(number.as_f64().unwrap() + 50.0),
                label => label.clone(),
            };
            json!({ "id": prediction["id"], "label": label })
        });
        let outcomes: Vec<Value> = outcomes.collect();
        let tell =
            |outcomes: &[Value]| engine.post("/outcomes", &json!({ "outcomes": outcomes }).to_string());
        let refused = json!({ "id": predictions[0]["id"], "label": wrong });
        let (_, told) = tell(&[refused]);
        assert!(told.to_string().contains("label"), "{told}");
        let (status, told) = tell(&outcomes);
        assert_eq!((status, &told["joined"]), (200, &json!(80)), "{told}");
        let report = engine.get_json("/models/model/performance");
        let measured = &report["versions"][0]["measured"];
        assert_eq!(measured["outcomes"], 80, "{report}");
        for figure in figures {
            assert!(measured[figure].is_f64(), "{figure} is not in {report}");
        }
        match case.criterion {
            "rmse" => assert!((measured["rmse"].as_f64().unwrap() - 25.0).abs() < 1e-3, "{report}"),
            _ => assert!(measured["accuracy"].as_f64().unwrap() >= 0.75, "{report}"),
        }
        assert!(report["versions"][0]["estimated"][figures[0]].is_f64(), "{report}");
        let combined = ["performance", "model", "--engines", &engine.url, "--output", "json"];
        let combined = succeed_json(EXPORTER, &combined);
        check(&exporter_schemas(), "performance", &combined)
            .unwrap_or_else(|problem| panic!("{problem}: {combined}"));
        assert_eq!(combined["versions"][0]["measured"][figures[0]], measured[figures[0]]);
        // The gauges are computed now and then, and at a start.
        drop(engine);
        let engine = Engine::serve_in(&settings, folder.path().join("repository"), &[]);
        assert_eq!(&engine.get_json("/models/model/performance")["versions"][0]["measured"], measured);
        let gauge = format!(r#"onnward_online_performance{{figure="{}","#, figures[0]);
        assert!(engine.get("/metrics").1.contains(&gauge));
    }
}
