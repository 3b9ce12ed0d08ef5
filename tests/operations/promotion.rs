//! A day at the model repository by the two programs: train, publish, promote, serve, roll back, pin, clean
//! up.

use std::path::Path;

use onnward_exporter::export::export;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::bank;
use crate::support::programs::{Engine, Environment, succeed_in};
use crate::support::seaweedfs::{self, SeaweedFs};

const EXPORTER: &str = "onnward-exporter";

#[test]
fn a_promotion_and_a_rollback_on_a_local_disk() {
    let folder = TempDir::new().unwrap();
    a_day(&folder.path().join("repository").display().to_string(), &[]);
}

#[test]
fn a_promotion_and_a_rollback_on_an_s3_server_with_keys_in_files() {
    let Some(server) = seaweedfs::start() else { return };
    let folder = TempDir::new().unwrap();
    let environment = server.environment().into_iter().map(|(name, value)| match name.as_str() {
        "AWS_ACCESS_KEY_ID" | "AWS_SECRET_ACCESS_KEY" => {
            let file = folder.path().join(&name);
            std::fs::write(&file, format!("{value}\n")).unwrap();
            (format!("{name}_FILE"), file.display().to_string())
        }
        _ => (name, value),
    });
    a_day(&SeaweedFs::location("a/day"), &environment.collect::<Vec<_>>());
}

fn a_day(repository: &str, environment: &Environment) {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("model.onnx");
    std::fs::write(&file, export(&bank().models[0]).unwrap().encode()).unwrap();
    let exporter = |arguments: &[&str]| {
        let rest = ["--repository", repository, "--output", "json"];
        let printed = succeed_in(environment, EXPORTER, &[arguments, &rest[..]].concat());
        serde_json::from_str::<Value>(&printed).unwrap()
    };
    let file = file.display().to_string();

    let publish = ["publish", &file, "--model", "bank", "--allow-duplicate"];
    assert_eq!(exporter(&[&publish[..], &["--dry-run"]].concat())["version"], 1);
    assert!(!Path::new(repository).exists(), "a plan makes no folder");
    assert_eq!(train(folder.path(), repository, environment)["published"]["version"], 1);
    let published = exporter(&[&publish[..], &["--alias", "challenger"]].concat());
    assert_eq!((&published["version"], &published["alias"]["to"]), (&json!(2), &json!(2)));
    let planned = exporter(&[&publish[..], &["--alias", "challenger", "--dry-run"]].concat());
    assert_eq!(
        (&planned["version"], &planned["alias"]),
        (&json!(3), &json!({"alias": "challenger", "from": 2, "to": 3}))
    );
    assert_eq!(served(repository, environment), (json!(2), json!({"rule": "highest-version"})));

    let champion = json!({"rule": "alias", "alias": "champion"});
    exporter(&["promote", "bank", "2"]);
    exporter(&["promote", "bank", "1"]);
    assert_eq!(served(repository, environment), (json!(1), champion.clone()));
    let planned = exporter(&["rollback", "bank", "--dry-run"]);
    assert_eq!((&planned["from"], &planned["to"], &planned["dry_run"]), (&json!(1), &json!(2), &json!(true)));
    let rolled_back = exporter(&["rollback", "bank"]);
    assert_eq!((&rolled_back["from"], &rolled_back["to"]), (&json!(1), &json!(2)));
    assert_eq!(served(repository, environment), (json!(2), champion));
    exporter(&["pin", "bank", "1"]);
    assert_eq!(served(repository, environment), (json!(1), json!({"rule": "pin"})));
    assert_eq!(exporter(&["unpin", "bank"])["to"], Value::Null);

    exporter(&["alias", "set", "bank", "previous", "1"]);
    exporter(&["alias", "delete", "bank", "challenger"]);
    the_audit_log_has_a_line_for_each_move(repository, environment, &exporter(&["audit"]));
    let aliases = exporter(&["alias", "list", "bank"]);
    let names =
        aliases["aliases"].as_array().unwrap().iter().map(|alias| (&alias["alias"], &alias["version"]));
    assert_eq!(names.collect::<Vec<_>>(), [(&json!("champion"), &json!(2)), (&json!("previous"), &json!(1))]);
    for _ in 0..3 {
        exporter(&publish);
    }
    assert_eq!(exporter(&["delete-version", "bank", "3"])["version"], 3);
    let planned = exporter(&["gc", "--keep", "1", "--dry-run"]);
    let deleted = exporter(&["gc", "--keep", "1"]);
    assert_eq!(planned["deleted"], deleted["deleted"]);
    assert_eq!(deleted["deleted"][0]["version"], 4);
    let versions = exporter(&["versions", "bank"]);
    let versions = versions["versions"].as_array().unwrap().iter().map(|found| found["version"].clone());
    assert_eq!(versions.collect::<Vec<_>>(), [5, 2, 1]);
}

/// Checks the commands that moved aliases and the pin, and that each entry is one line.
fn the_audit_log_has_a_line_for_each_move(repository: &str, environment: &Environment, log: &Value) {
    let entries = log["entries"].as_array().unwrap();
    let commands: Vec<&str> = entries.iter().map(|entry| entry["command"].as_str().unwrap()).collect();
    let moves = ["promote", "promote", "rollback", "pin", "unpin", "alias set", "alias delete"];
    assert!(commands.ends_with(&moves), "{commands:?}");
    assert!(entries.iter().all(|entry| !entry.to_string().contains("\\n")), "{log}");
    let text = succeed_in(environment, EXPORTER, &["audit", "--repository", repository]);
    assert_eq!(text.lines().count(), entries.len(), "{text}");
    assert!(!text.contains('?'), "{text}");
}

fn train(folder: &Path, repository: &str, environment: &Environment) -> Value {
    let table = folder.join("bank.csv").display().to_string();
    let schema = ["--schema", "schemas/bank.toml"];
    succeed_in(environment, EXPORTER, &[&["sample", "--rows", "800", "--out", &table], &schema[..]].concat());
    let rest = ["--model", "bank", "--candidates", "logistic", "--folds", "2", "--output", "json"];
    let train = ["train", "--data", &table, "--repository", repository];
    let printed = succeed_in(environment, EXPORTER, &[&train[..], &schema[..], &rest[..]].concat());
    serde_json::from_str(&printed).unwrap()
}

/// Returns the version that an engine serves, and the reason for it.
fn served(repository: &str, environment: &Environment) -> (Value, Value) {
    let engine = Engine::serve_in(environment, repository, &["--backend", "tract"]);
    let model = engine.get_json("/models/bank");
    (model["version"].clone(), model["serving"]["decided_by"].clone())
}
