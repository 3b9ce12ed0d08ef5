//! The drift and the performance of several engines together.

use std::fs;

use serde_json::{Value, json};

use super::operator::Workplace;
use crate::support::json_schema::{check, exporter_schemas};
use crate::support::programs::{Engine, run, succeed, succeed_json};

const EXPORTER: &str = "onnward-exporter";
/// Rows, and the rows of one request.
const ROWS: usize = 400;
const AT_ONCE: usize = 10;

/// Starts an engine that keeps outcomes in a folder of its own.
fn start(here: &Workplace, name: &str) -> Engine {
    let settings = [("OUTCOMES__FOLDER", here.text(name)), ("DRIFT__MIN_ROWS", "200".to_owned())];
    let settings = settings.map(|(key, value)| (format!("ONNWARD_{key}"), value));
    Engine::serve_in(&settings, here.path("repository"), &["--backend", "tract"])
}

/// Draws rows of the model `bank`.
fn rows(here: &Workplace) -> Vec<Value> {
    let file = here.text("rows.jsonl");
    let sample =
        ["sample", "--schema", "schemas/bank.toml", "--format", "jsonl", "--seed", "5", "--out", &file];
    succeed(EXPORTER, &[&sample[..], &["--rows", &ROWS.to_string()]].concat());
    let text = fs::read_to_string(file).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Scores rows, and tells their outcomes: the label is 1 in the rows that `is_positive` says.
fn serve(engine: &Engine, rows: &[Value], first: usize) {
    let (status, answer) = engine.post("/models/bank/predict", &json!(rows).to_string());
    assert_eq!(status, 200, "{answer}");
    let predictions = answer["predictions"].as_array().unwrap().iter().enumerate();
    let outcomes: Vec<Value> = predictions
        .map(|(row, prediction)| json!({"id": prediction["id"], "label": (first + row).is_multiple_of(3)}))
        .collect();
    let (status, told) = engine.post("/outcomes", &json!({"outcomes": outcomes}).to_string());
    assert_eq!((status, &told["joined"]), (200, &json!(rows.len())), "{told}");
}

fn added(command: &str, arguments: &[&str]) -> Value {
    let result = succeed_json(EXPORTER, &[&[command, "bank"], arguments, &["--output", "json"]].concat());
    check(&exporter_schemas(), command, &result).unwrap_or_else(|problem| panic!("{problem}: {result}"));
    result
}

/// Returns what is compared of a window: everything but its times.
fn figures(report: &Value) -> Value {
    let mut window = report["sliding"].clone();
    for time in ["from", "to"] {
        window.as_object_mut().unwrap().remove(time);
    }
    window
}

/// One engine sees everything. Two others share the same traffic, and one of them restarts.
#[test]
fn engines_that_share_the_traffic_report_together_what_one_would() {
    let here = Workplace::new();
    here.publish(1);
    let (whole, one, other) = (start(&here, "whole"), start(&here, "one"), start(&here, "other"));
    let rows = rows(&here);
    for (index, rows) in rows.chunks(AT_ONCE).enumerate() {
        let shared = if index % 3 == 0 { &one } else { &other };
        for engine in [&whole, shared] {
            serve(engine, rows, index * AT_ONCE);
        }
    }
    let (state, page) = (here.text("drift.json"), here.text("drift.html"));
    let engines = ["--engines", &one.url, &other.url, &one.url];
    let drift = added("drift", &[&engines[..], &["--state", &state, "--html", &page]].concat());
    let expected = whole.get_json("/models/bank/drift");
    assert_eq!(drift["sliding"]["rows"], ROWS, "an engine that is named twice is counted once");
    assert_eq!(figures(&drift), figures(&expected));
    let page = fs::read_to_string(page).unwrap();
    assert!(page.contains("Drift report") && !page.contains("/models/bank/drift"), "{page}");
    let text = succeed(EXPORTER, &[&["drift", "bank"], &engines[..]].concat());
    assert!(text.contains("400 rows of 2 engines") && text.contains("probability"), "{text}");

    let performance = added("performance", &engines);
    let expected = whole.get_json("/models/bank/performance")["versions"][0].clone();
    let found = &performance["versions"][0];
    for figure in
        ["outcomes", "positives", "roc_auc", "accuracy", "precision", "recall", "brier", "calibration"]
    {
        assert_eq!(found["measured"][figure], expected["measured"][figure], "{figure}");
    }
    assert_eq!((&found["kept"], &found["engines"]), (&expected["kept"], &json!(2)));
    let area = |performance: &Value| performance["estimated"]["roc_auc"].as_f64().unwrap();
    assert!((area(found) - area(&expected)).abs() < 1e-12);
    let text = succeed(EXPORTER, &[&["performance", "bank"], &engines[..]].concat());
    assert!(text.contains("measured on 400 outcomes"), "{text}");

    a_restart_forgets_nothing(&here, one, &other, &state);
}

fn a_restart_forgets_nothing(here: &Workplace, one: Engine, other: &Engine, state: &str) {
    let url = one.url.clone();
    one.stop();
    let engines = ["--engines", &url, &other.url];
    let refused = run(EXPORTER, &[&["drift", "bank"], &engines[..]].concat());
    let message = String::from_utf8(refused.stderr).unwrap();
    assert!(message.contains("1 of them do not report") && message.contains("no response"), "{message}");
    let down = added("drift", &[&engines[..], &["--state", state]].concat());
    assert_eq!(down["sliding"]["rows"], ROWS, "what it had counted is recent");
    assert!(down["engines"].as_array().unwrap().iter().any(|engine| engine["reason"].is_string()), "{down}");

    let again = start(here, "one");
    // It has another port, as no engine in operation has.
    let text = fs::read_to_string(state).unwrap().replace(&url, &again.url);
    fs::write(state, text).unwrap();
    let engines = ["--engines", &again.url, &other.url];
    let performance = added("performance", &engines);
    assert_eq!(performance["versions"][0]["measured"]["outcomes"], ROWS, "outcomes are on disk");
    serve(&again, &rows(here)[..AT_ONCE], 0);
    for _ in 0..2 {
        let drift = added("drift", &[&engines[..], &["--state", state]].concat());
        assert_eq!(drift["sliding"]["rows"], ROWS + AT_ONCE, "{}", drift["engines"]);
    }
    let other_model = run(EXPORTER, &["drift", "shop", "--engines", &again.url, "--state", state]);
    assert!(String::from_utf8(other_model.stderr).unwrap().contains("it is of bank"));
}
