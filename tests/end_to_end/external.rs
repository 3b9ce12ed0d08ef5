//! ONNX files of other programs, served and compared with Python's ONNX Runtime on the same rows.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use onnward_exporter::export::export;
use onnward_onnx::proto::tensor_proto::DataLocation;
use onnward_onnx::proto::{ModelProto, StringStringEntryProto};
use prost::Message;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::programs::{Engine, fail, succeed, succeed_json};
use crate::support::wait::eventually;
use crate::support::{bank, root};

fn data(file: &str) -> PathBuf {
    root().join("tests/data/external").join(file)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Reads rows and their expected probabilities.
fn rows_and_probabilities(name: &str) -> (Vec<Value>, Vec<f64>) {
    let file = std::fs::read(data(&format!("{name}.json"))).unwrap();
    let mut file: Value = serde_json::from_slice(&file).unwrap();
    let probabilities = serde_json::from_value(file["expected"].take()).unwrap();
    (serde_json::from_value(file["rows"].take()).unwrap(), probabilities)
}

fn publish(repository: &TempDir, name: &str) -> Value {
    let (model, config) = (data(&format!("{name}.onnx")), data(&format!("{name}.toml")));
    let mut arguments =
        vec!["publish", text(&model), "--model", name, "--repository", text(repository.path())];
    arguments.extend(["--output", "json"]);
    if config.exists() {
        arguments.extend(["--config", text(&config)]);
    }
    succeed_json("onnward-exporter", &arguments)
}

/// The files, which both runtimes can open.
const NAMES: [&str; 3] = ["lightgbm", "sklearn-pipeline", "torch-logits"];

#[test]
fn external_models_answer_as_python_does_and_are_reported_as_unproven() {
    let repository = TempDir::new().unwrap();
    for name in NAMES {
        let published = publish(&repository, name);
        assert!(published["manifest"].get("fingerprint").is_none(), "{published}");
        assert!(published["foreign"]["fields"].as_array().unwrap().len() >= 3, "{published}");
    }
    let engine = Engine::serve(repository.path(), &[]);
    for name in NAMES {
        let (rows, expected) = rows_and_probabilities(name);
        let path = format!("/models/{name}/predict");
        // Readiness does not wait for a model that is tested in a process of its own.
        let answer = eventually("the model is loaded", || {
            match engine.post(&path, &json!({ "instances": rows }).to_string()) {
                (200, answer) => Ok(answer),
                (status, answer) => Err(format!("{name}: {status} {answer}")),
            }
        });
        let predictions = answer["predictions"].as_array().unwrap();
        assert_eq!(predictions.len(), expected.len());
        for ((row, prediction), expected) in rows.iter().zip(predictions).zip(expected) {
            let got = prediction["probability"].as_f64().unwrap();
            assert!((got - expected).abs() < 1e-6, "{name}: {got} instead of {expected} for {row}");
            let alone = engine.post(&path, &row.to_string()).1["probability"].as_f64().unwrap();
            assert!((alone - got).abs() < 1e-6, "{name}: {alone} alone, {got} in a batch for {row}");
        }
        let status = engine.get_json(&format!("/models/{name}"));
        assert_eq!((&status["family"], &status["golden_rows"]), (&json!("foreign"), &json!(0)));
        assert!(status["unproven"].as_str().unwrap().contains("no golden rows"), "{status}");
    }
    let summaries = engine.get_json("/models");
    assert!(summaries["models"].as_array().unwrap().iter().all(|model| model["golden_rows"] == 0));
    let documented = engine.get_json("/openapi.json");
    let example = &documented["paths"]["/models/torch-logits/predict"]["post"]["requestBody"]["content"]["application/json"]
        ["examples"]["one"]["value"];
    let (status, answer) = engine.post("/models/torch-logits/predict", &example.to_string());
    assert_eq!(status, 200, "{answer}");
    assert_eq!(
        answer["churn"],
        json!(answer["probability"].as_f64().unwrap() >= 0.4),
        "the label's name and threshold"
    );
    let log = engine.stop().1.join("\n");
    assert!(log.contains("has no golden rows"), "{log}");
}

#[test]
fn what_an_external_model_does_not_accept_is_reported_by_field_or_row() {
    let repository = TempDir::new().unwrap();
    publish(&repository, "sklearn-pipeline");
    let engine = Engine::serve(repository.path(), &[]);
    let path = "/models/sklearn-pipeline/predict";
    let good = json!({"months": 12, "charges": 70.5, "calls": 2, "plan": "full", "region": "elsewhere"});
    assert_eq!(
        engine.post(path, &good.to_string()).0,
        200,
        "the encoder of the region ignores what it does not know"
    );

    let bad =
        json!({"months": "x", "charges": null, "calls": 20.5, "plan": "gold", "region": 3, "city": "Ulm"});
    let (status, problem) = engine.post(path, &json!([good, bad]).to_string());
    assert_eq!(status, 422);
    let errors = problem["errors"].as_array().unwrap();
    let mut pointers: Vec<&str> = errors.iter().map(|error| error["pointer"].as_str().unwrap()).collect();
    pointers.sort_unstable();
    assert_eq!(pointers, ["/1/calls", "/1/city", "/1/months", "/1/plan", "/1/region"]);
    let plan = errors.iter().find(|error| error["pointer"] == "/1/plan").unwrap();
    assert_eq!(plan["expected"], "one of \"basic\", \"full\"");

    // A field is required, and a number may be null. The model has no probability for that.
    let (status, problem) =
        engine.post(path, &json!([good, {"calls": 2, "plan": "full", "region": ""}]).to_string());
    let errors = problem["errors"].as_array().unwrap();
    let mut pointers: Vec<&str> = errors.iter().map(|error| error["pointer"].as_str().unwrap()).collect();
    pointers.sort_unstable();
    assert_eq!((status, pointers), (422, vec!["/1/charges", "/1/months"]), "{problem}");
    assert_eq!(engine.post(path, "{}").0, 422);
    let missing = json!({"months": null, "charges": 70.5, "calls": 2, "plan": "full", "region": ""});
    let (status, problem) = engine.post(path, &json!([good, missing]).to_string());
    assert_eq!((status, &problem["errors"][0]["row"]), (422, &json!(1)), "{problem}");
}

#[test]
fn what_an_external_file_leaves_open_is_required_before_it_is_served() {
    let repository = TempDir::new().unwrap();
    let target = text(repository.path());
    let logits = data("torch-logits.onnx");
    let wrong = repository.path().join("wrong.toml");
    std::fs::write(&wrong, "[inputs]\nfeatures = [\"months\", \"charges\"]").unwrap();
    let publish = ["publish", text(&logits), "--model", "logits", "--repository", target];
    let message = fail("onnward-exporter", &[&publish[..], &["--config", text(&wrong)]].concat());
    assert!(message.contains("has 3 columns") && message.contains("config.toml"), "{message}");

    // Numbers without a bound are answered as they are, unless they are said to be probabilities.
    let probability = repository.path().join("probability.toml");
    std::fs::write(&probability, "[output]\nkind = \"probability\"").unwrap();
    let stated = [&publish[..], &["--config", text(&probability)]].concat();
    let message = fail("onnward-exporter", &stated);
    assert!(message.contains("was not published") && message.contains("activation"), "{message}");
    succeed("onnward-exporter", &[&stated[..], &["--no-check"]].concat());
    let guessed = ["publish", text(&logits), "--model", "guessed", "--repository", target];
    let said = succeed("onnward-exporter", &guessed);
    assert!(said.contains("guessed") && said.contains("kind = \"number\""), "{said}");
    let artifact = repository.path().join("artifact.onnx");
    std::fs::write(&artifact, export(&bank().models[0]).unwrap().encode()).unwrap();
    let own = ["publish", text(&artifact), "--model", "bank", "--repository", target];
    let message = fail("onnward-exporter", &[&own[..], &["--config", text(&wrong)]].concat());
    assert!(message.contains("threshold and label_name under [output]"), "{message}");
    succeed("onnward-exporter", &own);

    let engine = Engine::serve(repository.path(), &[]);
    let models = engine.get_json("/models");
    let failed = &models["failed"][0];
    assert_eq!((&failed["name"], &failed["step"]), (&json!("logits"), &json!("trial")), "{models}");
    assert!(failed["reason"].as_str().unwrap().contains("kind = \"number\""), "{failed}");
    let row = json!({"f0": 12, "f1": 70.5, "f2": 2});
    let (status, answer) = engine.post("/models/guessed/predict", &row.to_string());
    assert!(status == 200 && answer["prediction"].is_f64(), "{answer}");
    assert_eq!(engine.get_json("/models/guessed")["guessed"], json!(true));
}

#[test]
fn check_predict_and_inspect_read_the_config_beside_an_external_file() {
    let folder = TempDir::new().unwrap();
    let (file, rows) = (folder.path().join("model.onnx"), folder.path().join("rows.json"));
    std::fs::copy(data("torch-logits.onnx"), &file).unwrap();
    std::fs::copy(data("torch-logits.toml"), folder.path().join("config.toml")).unwrap();
    let (example, expected) = rows_and_probabilities("torch-logits");
    std::fs::write(&rows, json!(example).to_string()).unwrap();

    let checked = succeed("onnward-engine", &["check", text(&file)]);
    assert!(checked.contains("no golden rows"), "{checked}");
    let arguments = ["predict", text(&file), text(&rows), "--output", "json"];
    let answer = succeed_json("onnward-engine", &arguments);
    let first = &answer["predictions"][0];
    assert!((first["probability"].as_f64().unwrap() - expected[0]).abs() < 1e-6, "{first}");
    assert!(first.get("churn").is_some(), "{first}");
    let repository = folder.path().join("repository");
    let publish = ["publish", text(&file), "--model", "beside", "--repository", text(&repository)];
    succeed("onnward-exporter", &publish);
    assert!(repository.join("beside/1/config.toml").is_file(), "it is published with the file");
    let inspected = succeed_json("onnward-exporter", &["inspect", text(&file), "--output", "json"]);
    assert_eq!(inspected["foreign"]["fields"][0]["name"], "months");
}

/// Moves the weights of a model into a file beside it, as exporters write large models.
fn move_weights_out(model: &[u8], data: &str) -> (Vec<u8>, Vec<u8>) {
    let mut model = ModelProto::decode(model).unwrap();
    let mut moved = Vec::new();
    for tensor in &mut model.graph.as_mut().unwrap().initializer {
        let floats = std::mem::take(&mut tensor.float_data);
        let packed = || floats.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>();
        let content = tensor.raw_data.take().map_or_else(packed, |raw| raw.to_vec());
        let entry = |key: &str, value: String| StringStringEntryProto {
            key: Some(key.to_owned()),
            value: Some(value),
        };
        tensor.external_data = vec![
            entry("location", data.to_owned()),
            entry("offset", moved.len().to_string()),
            entry("length", content.len().to_string()),
        ];
        tensor.data_location = Some(DataLocation::External as i32);
        moved.extend(content);
    }
    (model.encode_to_vec(), moved)
}

#[test]
fn weights_beside_a_file_are_published_in_one_file_with_it() {
    let folder = TempDir::new().unwrap();
    let (file, repository) = (folder.path().join("model.onnx"), folder.path().join("repository"));
    let (model, weights) =
        move_weights_out(&std::fs::read(data("torch-logits.onnx")).unwrap(), "model.onnx.data");
    assert!(!weights.is_empty());
    std::fs::write(&file, model).unwrap();
    let publish = ["publish", text(&file), "--model", "apart", "--repository", text(&repository)];
    let message = fail("onnward-exporter", &publish);
    assert!(message.contains("model.onnx.data") && message.contains("beside it"), "{message}");
    std::fs::write(folder.path().join("model.onnx.data"), weights).unwrap();
    std::fs::copy(data("torch-logits.toml"), folder.path().join("config.toml")).unwrap();
    succeed("onnward-exporter", &publish);

    let rows = folder.path().join("rows.json");
    let (example, expected) = rows_and_probabilities("torch-logits");
    std::fs::write(&rows, json!(example).to_string()).unwrap();
    let published = repository.join("apart/1/model.onnx");
    let answer =
        succeed_json("onnward-engine", &["predict", text(&published), text(&rows), "--output", "json"]);
    for (prediction, expected) in answer["predictions"].as_array().unwrap().iter().zip(expected) {
        assert!((prediction["probability"].as_f64().unwrap() - expected).abs() < 1e-6, "{prediction}");
    }
}

/// Returns the lines of a file of rows with the probabilities that are expected of them.
fn expected_lines(rows: &[Value], probabilities: &[f64]) -> String {
    let lines = rows.iter().zip(probabilities).map(|(row, probability)| {
        let mut line = row.clone();
        line["probability"] = json!(probability);
        format!("{line}\n")
    });
    lines.collect()
}

/// Returns the same as a table.
fn expected_table(rows: &[Value], probabilities: &[f64]) -> String {
    let fields: Vec<&String> = rows[0].as_object().unwrap().keys().collect();
    let mut table =
        format!("{},probability\n", fields.iter().map(|field| field.as_str()).collect::<Vec<_>>().join(","));
    for (row, probability) in rows.iter().zip(probabilities) {
        for field in &fields {
            let cell = &row[field.as_str()];
            table += &cell.as_str().map_or_else(|| cell.to_string(), str::to_owned);
            table.push(',');
        }
        writeln!(table, "{probability}").unwrap();
    }
    table
}

#[test]
fn rows_that_a_library_has_scored_prove_an_external_model() {
    let folder = TempDir::new().unwrap();
    let repository = folder.path().join("repository");
    for (name, ending) in [("lightgbm", "jsonl"), ("sklearn-pipeline", "csv"), ("torch-logits", "jsonl")] {
        let (rows, probabilities) = rows_and_probabilities(name);
        let write = if ending == "csv" { expected_table } else { expected_lines };
        let golden = folder.path().join(format!("{name}.{ending}"));
        std::fs::write(&golden, write(&rows, &probabilities)).unwrap();
        let (model, config) = (data(&format!("{name}.onnx")), data(&format!("{name}.toml")));
        let mut publish = vec!["publish", text(&model), "--model", name, "--repository", text(&repository)];
        publish.extend(["--golden", text(&golden)]);
        if config.exists() {
            publish.extend(["--config", text(&config)]);
        }
        succeed("onnward-exporter", &publish);
        let published = repository.join(name).join("1/model.onnx");
        let checked = succeed("onnward-engine", &["check", text(&published)]);
        assert!(
            checked.contains(&rows.len().to_string()) && !checked.contains("no golden rows"),
            "{checked}"
        );
    }
    let engine = Engine::serve(&repository, &[]);
    for (name, ending) in [("lightgbm", "jsonl"), ("sklearn-pipeline", "csv"), ("torch-logits", "jsonl")] {
        let status = eventually("the model is loaded", || {
            let status = engine.get_json(&format!("/models/{name}"));
            if status["version"] == 1 { Ok(status) } else { Err(status.to_string()) }
        });
        let rows = rows_and_probabilities(name).0.len();
        assert_eq!(status["golden_rows"], json!(rows), "{ending}: {status}");
        assert!(status.get("unproven").is_none_or(Value::is_null), "{status}");
    }
    let log = engine.stop().1.join("\n");
    assert!(!log.contains("has no golden rows"), "{log}");
}

#[test]
fn an_external_model_that_answers_otherwise_than_its_library_is_not_served() {
    let folder = TempDir::new().unwrap();
    let (repository, golden) = (folder.path().join("repository"), folder.path().join("rows.jsonl"));
    let (rows, mut probabilities) = rows_and_probabilities("sklearn-pipeline");
    probabilities[2] += 0.0015;
    std::fs::write(&golden, expected_lines(&rows, &probabilities)).unwrap();
    let file = data("sklearn-pipeline.onnx");
    let publish = ["publish", text(&file), "--model", "churn", "--repository", text(&repository)];
    let publish = [&publish[..], &["--golden", text(&golden)]].concat();
    let message = fail("onnward-exporter", &[&publish[..], &["--check"]].concat());
    assert!(message.contains("expected row 3 is answered with probability"), "{message}");
    assert!(message.contains("was not published"), "{message}");
    let message = fail("onnward-exporter", &[&publish[..], &["--check", "--tolerance", "0.01"]].concat());
    assert!(message.contains("at most 0.001"), "{message}");
    assert!(!repository.join("churn").exists(), "nothing was written");

    // Whoever publishes without the check does not get it served.
    succeed("onnward-exporter", &[&publish[..], &["--no-check"]].concat());
    let message = fail("onnward-engine", &["check", text(&repository.join("churn/1/model.onnx"))]);
    assert!(message.contains("failed verification"), "{message}");
    let other = data("lightgbm.onnx");
    succeed(
        "onnward-exporter",
        &["publish", text(&other), "--model", "other", "--repository", text(&repository)],
    );
    let engine = Engine::serve(&repository, &[]);
    let failed = eventually("the trial has failed", || {
        let models = engine.get_json("/models");
        match models["failed"].get(0) {
            Some(failed) => Ok(failed.clone()),
            None => Err(models.to_string()),
        }
    });
    assert_eq!((&failed["name"], &failed["step"]), (&json!("churn"), &json!("trial")), "{failed}");
    assert!(failed["reason"].as_str().unwrap().contains("expected row 3"), "{failed}");
    let (status, _) = engine.post("/models/churn/predict", &rows[0].to_string());
    assert_ne!(status, 200);
}
