//! Drift is found where there is some and nowhere else: on the real Telco table if `TELCO_CSV` is its path,
//! else on sampled rows.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use ndarray::s;
use onnward_models::{
    CandidateParams, Dataset, Family, OnInvalid, SampleFormat, TrainedModel, TrainingPlan, train,
    write_sample,
};
use onnward_quality::drift::Drift;
use onnward_quality::drift::DriftConfig;
use onnward_schemas::SchemaFile;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use crate::support::programs::{Engine, succeed};
use crate::support::{random_numbers, schema};

/// The column of contract terms, and its values before and after the shift.
const MONTHS: &str = "tenure";
const PAID_A_MONTH: &str = "MonthlyCharges";
const PAID_IN_ALL: &str = "TotalCharges";
/// Variables that are not features but are compared like them.
const SCORE: &str = "probability";

/// Sends an engine rows as in training, and then the same rows a year later.
#[test]
fn a_real_engine_sees_a_shift_and_what_depends_on_it() {
    let folder = TempDir::new().unwrap();
    let file = |part: &str| folder.path().join(part).display().to_string();
    let (training, fresh) = halves(&folder, 1, 2000);
    let repository = file("repository");
    let train = ["train", "--schema", "schemas/telco.toml", "--data", &training, "--repository", &repository];
    let rest = ["--model", "telco", "--folds", "2", "--candidates", "logistic", "--out", &file("report")];
    succeed("onnward-exporter", &[&train[..], &rest[..]].concat());

    let settings = [("ONNWARD_DRIFT__WINDOW_ROWS", "1000"), ("ONNWARD_DRIFT__MIN_ROWS", "500")];
    let environment = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let engine = Engine::serve_in(&environment, &repository, &[]);
    let rows = rows(&fresh, &schema("telco"));
    let drift = || engine.get_json("/models/telco/drift");

    post(&engine, &rows[..400]);
    assert_eq!(drift()["sliding"]["ready"], false);
    assert!(drift()["sliding"]["reason"].as_str().unwrap().contains("400 rows"), "{}", drift());
    post(&engine, &rows[400..1000]);
    for window in ["sliding", "tumbling"] {
        assert_eq!((&drift()[window]["rows"], &drift()[window]["drifted"]), (&json!(1000), &json!([])));
    }
    let page = engine.get("/models/telco/drift/report?window=tumbling").1;
    assert!(page.contains("<h1>None of 19 features has drifted</h1>"), "{page}");

    let later: Vec<Value> = rows[1000..].iter().map(a_year_later).collect();
    post(&engine, &later);
    for window in ["sliding", "tumbling"] {
        let window = &drift()[window];
        let mut drifted: Vec<&str> =
            window["drifted"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
        // How far the score follows is the model's affair: on the real table it does, on sampled customers
        // less.
        let is_real = std::env::var_os("TELCO_CSV").is_some();
        assert!(!is_real || drifted.contains(&SCORE), "{drifted:?}");
        drifted.retain(|name| *name != SCORE);
        drifted.sort_unstable();
        assert_eq!(drifted, [PAID_IN_ALL, MONTHS]);
        assert_eq!(window["drifted"][0], MONTHS);
    }
    shows(&engine);
    assert_eq!(engine.get_json("/models/telco/drift?version=1")["version"], 1);
    assert_eq!(engine.get("/models/telco/drift?version=2").0, 404);
}

/// Checks the page and the metrics after the shift.
fn shows(engine: &Engine) {
    let page = engine.get("/models/telco/drift/report").1;
    assert!(page.contains("<h1>2 of 19 features have drifted; look at tenure first</h1>"), "{page}");
    let metrics = engine.get("/metrics").1;
    let value = |name: &str, kind: &str, feature: &str| -> f64 {
        let labels = format!(
            r#"{name}{{feature="{feature}",kind="{kind}",model="telco",version="1",window="sliding"}} "#
        );
        let line = metrics.lines().find_map(|line| line.strip_prefix(&labels));
        line.unwrap_or_else(|| panic!("{labels} is not in {metrics}")).parse().unwrap()
    };
    assert_eq!(value("onnward_drift_detected", "feature", MONTHS), 1.0);
    assert!(value("onnward_drift_psi", "score", SCORE) > value("onnward_drift_psi", "feature", "gender"));
    assert_eq!(value("onnward_drift_detected", "feature", "gender"), 0.0);
    assert!(value("onnward_drift_psi", "feature", MONTHS) > 0.5);
    assert!(value("onnward_drift_js_distance", "feature", "gender") < 0.1);
    assert!(value("onnward_drift_p_value", "feature", MONTHS) < 1e-20);
}

/// Compares windows of fresh rows from the training distribution. For every variable about 5 in 100 windows
/// have a p-value below 0.05, and at most 1 in 100 raises an alarm. A few windows at a time share a table and
/// a model.
#[test]
fn fresh_customers_raise_false_alarms_at_the_promised_rate() {
    const WINDOW: usize = 500;
    let file = schema("telco");
    let (mut windows, mut low, mut significant, mut alarms) =
        (0, vec![0; file.schema.features.len() + 1], 0, 0);
    for seed in 0..17 {
        let folder = TempDir::new().unwrap();
        let (training, fresh) = halves(&folder, seed, 3000);
        let read = |path: &str| Dataset::read(Path::new(path), &file.schema, OnInvalid::Fail).unwrap();
        let (model, fresh) = (fit(&read(&training)), read(&fresh));
        for start in (0..fresh.rows() - WINDOW + 1).step_by(WINDOW) {
            let rows = fresh.features.slice(s![start..start + WINDOW, ..]);
            let drift = Drift::new(&file.schema, &model.metadata.profile, config(WINDOW));
            let scores = model.predict(rows);
            let scores: Vec<f32> =
                scores.probabilities().unwrap().iter().map(|score| *score as f32).collect();
            drift.observe(&rows.iter().copied().collect::<Vec<_>>(), &scores);
            let report = drift.report();
            let p_values: Vec<f64> =
                report.tumbling.variables().map(|variable| variable.statistics.p_value.unwrap()).collect();
            low.iter_mut().zip(&p_values).for_each(|(low, p_value)| *low += usize::from(*p_value < 0.05));
            significant += usize::from(p_values.iter().any(|p_value| *p_value < report.p_value_threshold));
            alarms += usize::from(!report.tumbling.drifted.is_empty());
            windows += 1;
        }
    }
    println!("{windows} windows: below 0.05 {low:?}, below the threshold {significant}, alarms {alarms}");
    assert_eq!(windows, 102);
    // The features of a customer depend on each other, and so do the windows that share a model: the bounds
    // of independent draws would be 13 of 102 for one subject, and 3.3 to 6.7 % of all.
    assert!(low.iter().all(|low| *low <= 15), "{low:?}");
    let share = low.iter().sum::<usize>() as f64 / (windows * low.len()) as f64;
    assert!((0.02..0.08).contains(&share), "{share}");
    assert!(significant <= 5 && alarms <= 1, "{significant} {alarms}");
}

fn config(window_rows: usize) -> DriftConfig {
    DriftConfig {
        window_rows,
        window: Duration::from_secs(86_400),
        min_rows: 500,
        sample: 1.0,
        max_rows_per_second: 1_000_000,
        alpha: 0.01,
        psi_threshold: 0.1,
    }
}

fn fit(data: &Dataset) -> TrainedModel {
    let candidates = vec![CandidateParams::default_of(Family::Logistic)];
    let plan = TrainingPlan { candidates, folds: 2, ..TrainingPlan::default() };
    train(data, &plan, &|_| ()).unwrap().models.remove(0)
}

/// Splits the rows into a training table and one of `fresh` rows, in an order that depends on the seed.
fn halves(folder: &TempDir, seed: u64, fresh: usize) -> (String, String) {
    let text = match std::env::var_os("TELCO_CSV") {
        Some(path) => std::fs::read_to_string(path).unwrap(),
        None => {
            let path = folder.path().join("all.csv");
            write_sample(
                &schema("telco"),
                7043,
                seed,
                SampleFormat::Csv,
                File::create(&path).unwrap(),
                |_| (),
            )
            .unwrap();
            std::fs::read_to_string(path).unwrap()
        }
    };
    let mut lines = text.lines();
    let header = lines.next().unwrap();
    let mut lines: Vec<&str> = lines.collect();
    // Fisher and Yates's shuffle.
    let mut numbers = random_numbers(seed);
    for last in (1..lines.len()).rev() {
        lines.swap(last, (numbers() >> 33) as usize % (last + 1));
    }
    let (fresh, training) = lines.split_at(fresh);
    let write = |name: &str, lines: &[&str]| {
        let path = folder.path().join(name);
        std::fs::write(&path, format!("{header}\n{}\n", lines.join("\n"))).unwrap();
        path.display().to_string()
    };
    (write("training.csv", training), write("fresh.csv", fresh))
}

/// Returns a table's rows as a client sends them.
fn rows(table: &str, file: &SchemaFile) -> Vec<Value> {
    let text = std::fs::read_to_string(table).unwrap();
    let mut lines = text.lines();
    let columns: Vec<&str> = lines.next().unwrap().split(',').collect();
    let row = |line: &str| {
        let cells: Map<String, Value> =
            columns.iter().zip(line.split(',')).fold(Map::new(), |mut row, (name, cell)| {
                if let Some(feature) = file.schema.features.iter().find(|feature| feature.name == *name) {
                    let number = || cell.trim().parse::<f64>().map_or(Value::Null, Value::from);
                    row.insert(
                        feature.name.clone(),
                        if feature.is_numeric() { number() } else { cell.into() },
                    );
                }
                row
            });
        Value::Object(cells)
    };
    lines.map(row).collect()
}

fn a_year_later(row: &Value) -> Value {
    let mut row = row.clone();
    let number = |row: &Value, name: &str| row[name].as_f64().unwrap_or(0.0);
    row[MONTHS] = (number(&row, MONTHS) + 12.0).into();
    row[PAID_IN_ALL] = (number(&row, PAID_IN_ALL) + 12.0 * number(&row, PAID_A_MONTH)).into();
    row
}

fn post(engine: &Engine, rows: &[Value]) {
    for rows in rows.chunks(250) {
        let (status, answer) = engine.post("/predict", &serde_json::to_string(rows).unwrap());
        assert_eq!(status, 200, "{answer}");
    }
}
