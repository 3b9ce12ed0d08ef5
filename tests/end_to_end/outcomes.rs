//! Ground truth for predictions whose engine was killed.

use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::programs::{Engine, fail, succeed};
use crate::support::root;

/// A row, and its outcome.
struct Customer {
    row: Value,
    key: String,
    label: String,
}

const CUSTOMERS: usize = 300;

/// Kills an engine after its predictions, starts it again and reports the outcomes. After another kill it
/// still has all that it has acknowledged.
#[test]
fn what_was_predicted_and_told_outlives_the_engine() {
    let folder = TempDir::new().unwrap();
    let customers = prepare(folder.path());
    let engine = start(folder.path());
    let predictions = predict(&engine, &customers);
    let kept = &performance(&engine)["versions"][0]["kept"];
    assert_eq!(kept["predictions"], CUSTOMERS);
    let shared = settings(folder.path());
    let second = [&["serve", "--listen", "127.0.0.1:0"], &shared.each_ref().map(String::as_str)[..]];
    let message = fail("onnward-engine", &second.concat());
    assert!(message.contains("outcomes.folder") && message.contains("another engine"), "{message}");
    drop(engine);

    let engine = start(folder.path());
    let (by_id, by_key) = customers.split_at(CUSTOMERS / 2);
    let named = by_id
        .iter()
        .zip(&predictions)
        .map(|(customer, prediction)| json!({"id": prediction.id, "label": customer.label}));
    let told = tell(&engine, named.collect());
    assert_eq!(
        (&told["joined"], told["results"].as_array().unwrap().len()),
        (&by_id.len().into(), by_id.len())
    );
    let keyed = by_key.iter().map(|customer| json!({"key": customer.key, "label": customer.label}));
    let told = tell(&engine, keyed.collect());
    assert_eq!(told["joined"], by_key.len());
    assert_eq!(told["results"][7]["id"], predictions[by_id.len() + 7].id);
    again_and_wrong(&engine, &customers[0], &predictions[0].id);
    let before = performance(&engine);
    drop(engine);

    let engine = start(folder.path());
    let after = performance(&engine);
    assert_eq!(before["versions"][0]["measured"], after["versions"][0]["measured"]);
    let kept = &after["versions"][0]["kept"];
    assert_eq!((&kept["with_outcome"], &kept["coverage"]), (&CUSTOMERS.into(), &1.0.into()));
    let measured = after["versions"][0]["measured"]["roc_auc"].as_f64().unwrap();
    let expected = roc_auc(&customers, &predictions);
    assert!((measured - expected).abs() < 1e-9 && measured > 0.7, "{measured} is not {expected}");
    let metrics = engine.get("/metrics").1;
    let figure = r#"onnward_online_performance{figure="roc_auc",model="churn",version="1"} 0."#;
    for line in [
        figure,
        r#"onnward_outcome_coverage_ratio{model="churn",version="1"} 1"#,
        "onnward_stored_predictions 300",
    ] {
        assert!(metrics.lines().any(|printed| printed.starts_with(line)), "{line} is not in\n{metrics}");
    }
    let (status, log) = engine.stop();
    assert!(status.success(), "{}", log.join("\n"));
}

/// Reports outcomes twice, with other labels, for unknown predictions, and too late.
fn again_and_wrong(engine: &Engine, customer: &Customer, id: &str) {
    let other = if customer.label == "Yes" { "No" } else { "Yes" };
    let (time, random) = id.split_at(19);
    let unknown = format!("{time}{}", random.replace(|digit: char| digit != '-', "a"));
    let told = tell(
        engine,
        vec![
            json!({"id": id, "label": customer.label}),
            json!({"id": id, "label": other}),
            json!({"id": unknown, "label": true}),
            json!({"id": "01890a5d-ac96-774b-bcce-b302099a8057", "label": true}),
            json!({"key": "nobody", "label": true}),
        ],
    );
    let results: Vec<&Value> = told["results"].as_array().unwrap().iter().map(|one| &one["result"]).collect();
    assert_eq!(results, ["duplicate", "contradicting", "unknown", "late", "unknown"]);
}

/// Trains a model and samples rows with known outcomes.
fn prepare(folder: &Path) -> Vec<Customer> {
    let path = |name: &str| folder.join(name).display().to_string();
    let schema = root().join("schemas/telco.toml").display().to_string();
    let sample = |seed: &str, rows: &str, format: &str, out: &str| {
        let drawn = ["sample", "--schema", &schema, "--rows", rows, "--seed", seed];
        succeed("onnward-exporter", &[&drawn[..], &["--format", format, "--out", &path(out)]].concat());
    };
    sample("1", "2000", "csv", "train.csv");
    let rows = CUSTOMERS.to_string();
    sample("2", &rows, "csv", "later.csv");
    sample("2", &rows, "jsonl", "later.jsonl");
    let data =
        ["train", "--schema", &schema, "--data", &path("train.csv"), "--repository", &path("repository")];
    let rest = ["--model", "churn", "--candidates", "logistic", "--folds", "2", "--out", &path("report")];
    succeed("onnward-exporter", &[&data[..], &rest[..]].concat());
    std::fs::write(folder.join("engine.toml"), format!("[outcomes]\nfolder = {:?}\n", path("outcomes")))
        .unwrap();

    let table = std::fs::read_to_string(folder.join("later.csv")).unwrap();
    let rows = std::fs::read_to_string(folder.join("later.jsonl")).unwrap();
    let customers = rows.lines().zip(table.lines().skip(1)).map(|(row, line)| {
        let (key, rest) = line.split_once(',').unwrap();
        let (_, label) = rest.rsplit_once(',').unwrap();
        let mut row: Value = serde_json::from_str(row).unwrap();
        row["customerID"] = key.into();
        Customer { row, key: key.to_owned(), label: label.to_owned() }
    });
    customers.collect()
}

fn settings(folder: &Path) -> [String; 4] {
    let path = |name: &str| folder.join(name).display().to_string();
    ["--repository".to_owned(), path("repository"), "--config".to_owned(), path("engine.toml")]
}

fn start(folder: &Path) -> Engine {
    let [_, repository, rest @ ..] = settings(folder);
    Engine::serve(Path::new(&repository), &rest.each_ref().map(String::as_str))
}

/// Returns the answer for a row.
struct Prediction {
    id: String,
    probability: f64,
}

/// Sends half of the rows in one request, the others one by one.
fn predict(engine: &Engine, customers: &[Customer]) -> Vec<Prediction> {
    let (together, alone) = customers.split_at(CUSTOMERS / 3);
    let rows: Vec<&Value> = together.iter().map(|customer| &customer.row).collect();
    let (status, many) = engine.post("/predict", &json!(rows).to_string());
    assert_eq!(status, 200, "{many}");
    let many = many["predictions"].as_array().unwrap().clone();
    let singles = alone.iter().map(|customer| engine.post("/predict", &customer.row.to_string()).1);
    let prediction = |answer: Value| Prediction {
        id: answer["id"].as_str().unwrap().to_owned(),
        probability: answer["probability"].as_f64().unwrap(),
    };
    many.into_iter().chain(singles).map(prediction).collect()
}

fn tell(engine: &Engine, outcomes: Vec<Value>) -> Value {
    let (status, told) = engine.post("/outcomes", &json!({ "outcomes": outcomes }).to_string());
    assert_eq!(status, 200, "{told}");
    told
}

fn performance(engine: &Engine) -> Value {
    engine.get_json("/models/churn/performance")
}

/// Computes ROC AUC by its definition: the share of pairs in which the positive has the higher probability.
fn roc_auc(customers: &[Customer], predictions: &[Prediction]) -> f64 {
    let of = |label: &'static str| {
        let pairs = customers.iter().zip(predictions).filter(move |(customer, _)| customer.label == label);
        pairs.map(|(_, prediction)| prediction.probability)
    };
    let won = |positive: f64, negative: f64| match positive.total_cmp(&negative) {
        std::cmp::Ordering::Greater => 1.0,
        std::cmp::Ordering::Equal => 0.5,
        std::cmp::Ordering::Less => 0.0,
    };
    let pairs: Vec<f64> = of("Yes").flat_map(|yes| of("No").map(move |no| won(yes, no))).collect();
    pairs.iter().sum::<f64>() / pairs.len() as f64
}
