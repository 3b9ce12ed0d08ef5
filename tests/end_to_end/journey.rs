//! The whole path by the two programs, for two tables that have nothing in common: sample, train, export,
//! publish, check, serve, predict.

use std::collections::HashSet;
use std::path::Path;

use onnward_exporter::export::export;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::programs::{Engine, fail, run, succeed, succeed_json};
use crate::support::{bank, root, schema};

const EXPORTER: &str = "onnward-exporter";
const ENGINE: &str = "onnward-engine";

#[test]
fn telco_goes_the_whole_path() {
    whole_path("telco", "churn");
}

#[test]
fn a_bank_goes_the_whole_path() {
    whole_path("bank", "exited");
}

fn whole_path(name: &str, label: &str) {
    let folder = TempDir::new().unwrap();
    let file = |part: &str| folder.path().join(part).display().to_string();
    let (table, repository, report) = (file("customers.csv"), file("repository"), file("report"));
    let schema_path = format!("schemas/{name}.toml");

    succeed(EXPORTER, &["schema", "check", &schema_path]);
    succeed(
        EXPORTER,
        &["sample", "--schema", &schema_path, "--rows", "2500", "--seed", "1", "--out", &table],
    );
    let train = |out: &str| {
        let data = ["train", "--schema", &schema_path, "--data", &table, "--repository", &repository];
        let rest =
            ["--model", name, "--folds", "3", "--forest-trees", "20", "--out", out, "--output", "json"];
        succeed_json(EXPORTER, &[&data[..], &rest[..]].concat())
    };
    let first = train(&report);
    let second = train(&file("second"));
    assert_eq!(first["published"]["version"], 1);
    // The same bytes are the same version.
    assert_eq!((&second["published"]["version"], &second["changes"]), (&Value::from(1), &Value::from(false)));
    check_report(Path::new(&report), &first);
    same_bytes(folder.path());

    let artifact = format!("{repository}/{name}/1/model.onnx");
    let inspected = succeed_json(EXPORTER, &["inspect", &artifact, "--output", "json"]);
    assert_eq!(inspected["sha256"], second["published"]["manifest"]["sha256"]);
    assert_eq!(inspected["description"]["schema"]["name"], name);
    for family in ["logistic", "forest"] {
        let checked =
            succeed_json(ENGINE, &["check", &format!("{report}/{family}.onnx"), "--output", "json"]);
        let results = checked["results"].as_array().unwrap();
        assert!(results.iter().all(|result| result.get("failure").is_none()), "{checked}");
        let backends = crate::support::backends().len();
        assert_eq!(results.len(), 2 * backends);
        let comparisons = checked["comparisons"].as_array().unwrap();
        assert_eq!(comparisons.len(), backends - 1, "{checked}");
        assert!(comparisons.iter().all(|compared| compared["rows"].as_u64().unwrap() > 300), "{checked}");
    }
    serve(name, label, &file("rows.json"), Path::new(&repository), &artifact);
}

fn serve(name: &str, label: &str, rows_path: &str, repository: &Path, artifact: &str) {
    let lines = succeed(
        EXPORTER,
        &["sample", "--schema", &format!("schemas/{name}.toml"), "--rows", "40", "--format", "jsonl"],
    );
    let rows: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    std::fs::write(rows_path, serde_json::to_string(&rows).unwrap()).unwrap();
    let offline = succeed_json(ENGINE, &["predict", artifact, rows_path, "--output", "json"]);
    let offline = offline["predictions"].as_array().unwrap();
    assert_eq!(offline.len(), rows.len());

    let engine = Engine::serve(repository, &[]);
    succeed(ENGINE, &["health", "--url", &format!("{}/health/ready", engine.url)]);
    let path = format!("/models/{name}/predict");
    let (status, many) = engine.post(&path, &serde_json::to_string(&rows).unwrap());
    assert_eq!((status, &many["model"], &many["version"]), (200, &name.into(), &1.into()));
    let mut online = many["predictions"].as_array().unwrap().clone();
    let ids: HashSet<Value> = online
        .iter_mut()
        .map(|prediction| prediction.as_object_mut().unwrap().remove("id").unwrap())
        .collect();
    assert_eq!((&online, ids.len()), (offline, rows.len()));
    let threshold = schema(name).schema.binary().unwrap().threshold;
    for (row, prediction) in rows.iter().zip(offline) {
        let (status, single) = engine.post("/predict", &row.to_string());
        assert_eq!((status, &single["model"]), (200, &name.into()));
        assert_eq!(
            single["probability"], prediction["probability"],
            "a batched answer differs from a single one"
        );
        let positive = prediction["probability"].as_f64().unwrap() >= threshold;
        assert_eq!((&single[label], &prediction[label]), (&positive.into(), &positive.into()));
    }
    let example = &engine.get_json("/openapi.json")["paths"][&path]["post"]["requestBody"];
    assert!(!example.is_null(), "the interface's description does not know the model");
    assert_eq!(engine.get_json(&format!("/models/{name}"))["version"], 1);
    assert!(engine.get("/metrics").1.contains("onnward_inference_rows_total"));

    let (status, log) = engine.stop();
    assert!(status.success(), "{status}: {}", log.join("\n"));
    let log = log.join("\n");
    for value in rows.iter().flat_map(|row| row.as_object().unwrap().values()).filter_map(Value::as_f64) {
        let is_telling = value.fract() != 0.0 && value > 1000.0;
        assert!(!is_telling || !log.contains(&value.to_string()), "the log holds a customer's value: {log}");
    }
}

/// Checks that the report's files exist, contain what was printed, and load nothing from elsewhere.
fn check_report(report: &Path, printed: &Value) {
    let comparison = std::fs::read_to_string(report.join("comparison.json")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&comparison).unwrap(), printed["comparison"]);
    let page = std::fs::read_to_string(report.join("report.html")).unwrap();
    assert!(!page.contains("src=\"http") && !page.contains("<script"));
}

/// Checks that two runs with one seed wrote the same files.
fn same_bytes(folder: &Path) {
    let read = |path: String| std::fs::read(folder.join(path)).unwrap();
    for file in ["logistic.onnx", "forest.onnx"] {
        assert_eq!(read(format!("report/{file}")), read(format!("second/{file}")), "{file} differs");
    }
}

#[test]
fn an_inferred_schema_trains_the_table_it_was_inferred_from() {
    let folder = TempDir::new().unwrap();
    let file = |part: &str| folder.path().join(part).display().to_string();
    let (table, inferred) = (file("bank.csv"), file("inferred.toml"));
    succeed(EXPORTER, &["sample", "--schema", "schemas/bank.toml", "--rows", "1500", "--out", &table]);
    std::fs::write(&inferred, succeed(EXPORTER, &["schema", "infer", &table])).unwrap();
    let data = ["train", "--schema", &inferred, "--data", &table, "--repository", &file("repository")];
    let rest = ["--model", "bank", "--candidates", "logistic", "--folds", "2", "--output", "json"];
    let trained = succeed_json(EXPORTER, &[&data[..], &rest[..]].concat());
    assert_eq!(trained["published"]["version"], 1);
}

#[test]
fn mistakes_at_the_command_line_are_one_clear_sentence() {
    let folder = TempDir::new().unwrap();
    let file = |part: &str| folder.path().join(part).display().to_string();
    std::fs::write(file("half.onnx"), b"\x08\x0aonn").unwrap();
    let schema = "schemas/telco.toml";
    let nowhere = file("nowhere.csv");
    let cases: [(&str, Vec<&str>, &str); 9] = [
        (EXPORTER, vec!["schema", "check", "schemas/none.toml"], "cannot read schemas/none.toml"),
        (EXPORTER, vec!["inspect", &*file("half.onnx").leak()], "not an ONNX file"),
        (ENGINE, vec!["check", &*file("half.onnx").leak()], "not an ONNX file"),
        (
            EXPORTER,
            vec!["train", "--schema", schema, "--data", &nowhere, "--repository", "r", "--model", "m"],
            "cannot read",
        ),
        (ENGINE, vec!["serve", "--repository", &nowhere], "no model repository"),
        (EXPORTER, vec!["versions", "churn", "--repository", "tests"], "no model churn"),
        (EXPORTER, vec!["promote", "churn", "1", "--repository", "s3://"], "names no bucket"),
        (
            EXPORTER,
            vec!["publish", "README.md", "--model", "m", "--repository", "s3://models"],
            "not an ONNX file",
        ),
        (ENGINE, vec!["serve", "--repository", "tests", "--backend", "onnx"], "backend"),
    ];
    for (program, arguments, expected) in cases {
        let message = fail(program, &arguments);
        assert!(message.contains(expected), "{arguments:?}: {message}");
        assert!(!message.contains("panicked") && !message.contains("RUST_BACKTRACE"), "{message}");
    }
}

#[test]
fn a_health_check_says_whether_the_engine_is_ready_and_why_not() {
    let folder = TempDir::new().unwrap();
    let engine = Engine::start(folder.path(), &[]);
    let ready = format!("{}/health/ready", engine.url);
    let check = ["health", "--url", &ready];
    let reason = fail(ENGINE, &check);
    assert!(reason.contains("responded with 503: "), "{reason}");
    drop(engine);
    let reason = fail(ENGINE, &check);
    assert!(reason.contains("no response from an engine"), "{reason}");
}

#[test]
fn an_engine_that_asks_for_keys_looks_at_its_repository_for_an_administrator_alone() {
    let folder = TempDir::new().unwrap();
    let file = |name: &str| folder.path().join(name).display().to_string();
    let (repository, keys, artifact) = (file("repository"), file("keys.toml"), file("bank.onnx"));
    std::fs::write(&artifact, export(&bank().models[0]).unwrap().encode()).unwrap();
    let publish = || {
        let publish = ["publish", &artifact, "--repository", &repository, "--model", "bank"];
        succeed(EXPORTER, &[&publish[..], &["--allow-duplicate"]].concat());
    };
    publish();
    let key_file = |name: &str, scope: &str| {
        let arguments = ["api-key", name, "--scopes", scope, "--file", &keys, "--output", "json"];
        let made = succeed_json(ENGINE, &arguments);
        std::fs::write(file(name), made["key"].as_str().unwrap()).unwrap();
        file(name)
    };
    let (operator, reader) = (key_file("operator", "admin"), key_file("reader", "read"));

    let settings = [("ONNWARD_AUTH__KEYS_FILE".to_owned(), keys.clone())];
    let engine = Engine::serve_in(&settings, &repository, &[]);
    publish();
    let url = format!("{}/admin/reload", engine.admin_url);
    let reload = ["reload", "--url", &url];
    assert!(fail(ENGINE, &reload).contains("responded with 401: "));
    assert!(fail(ENGINE, &[&reload[..], &["--key-file", &reader]].concat()).contains("responded with 403: "));
    let looked = succeed(ENGINE, &[&reload[..], &["--key-file", &operator]].concat());
    assert!(looked.starts_with("bank version 2 on "), "{looked}");
    let json = [&reload[..], &["--key-file", &operator, "--output", "json"]].concat();
    assert_eq!(succeed_json(ENGINE, &json)["models"][0]["version"], 2);

    let nowhere = fail(ENGINE, &["reload"]);
    assert!(nowhere.contains("ONNWARD_ADMIN__LISTEN"), "{nowhere}");
    assert!(fail(ENGINE, &[&reload[..], &["--key-file", &file("none")]].concat()).contains("none"));
}

#[test]
fn every_command_explains_itself_with_an_example() {
    let commands: [(&str, &[&str]); 30] = [
        (EXPORTER, &["schema", "infer"]),
        (EXPORTER, &["schema", "check"]),
        (EXPORTER, &["sample"]),
        (EXPORTER, &["train"]),
        (EXPORTER, &["inspect"]),
        (EXPORTER, &["publish"]),
        (EXPORTER, &["promote"]),
        (EXPORTER, &["rollback"]),
        (EXPORTER, &["alias", "list"]),
        (EXPORTER, &["alias", "set"]),
        (EXPORTER, &["alias", "delete"]),
        (EXPORTER, &["versions"]),
        (EXPORTER, &["pin"]),
        (EXPORTER, &["unpin"]),
        (EXPORTER, &["delete-version"]),
        (EXPORTER, &["models"]),
        (EXPORTER, &["history"]),
        (EXPORTER, &["pull"]),
        (EXPORTER, &["copy"]),
        (EXPORTER, &["tag"]),
        (EXPORTER, &["delete-model"]),
        (EXPORTER, &["repair"]),
        (EXPORTER, &["gc"]),
        (ENGINE, &["serve"]),
        (ENGINE, &["check"]),
        (ENGINE, &["predict"]),
        (ENGINE, &["health"]),
        (ENGINE, &["reload"]),
        (ENGINE, &["api-key"]),
        (EXPORTER, &["audit"]),
    ];
    for (program, command) in commands {
        let help = succeed(program, &[command, &["--help"][..]].concat());
        assert!(help.contains("Example"), "{program} {}: {help}", command.join(" "));
    }
}

/// A reader of a command's output may stop early, as `head` does.
#[test]
fn output_into_a_closed_pipe_is_no_error() {
    let sample = format!(
        "{} sample --schema schemas/telco.toml --rows 200000 | head -n 1",
        crate::support::programs::program(EXPORTER).display()
    );
    let output = std::process::Command::new("sh").args(["-c", &sample]).current_dir(root()).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("customerID,"));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(run(EXPORTER, &["--version"]).status.success());
}
