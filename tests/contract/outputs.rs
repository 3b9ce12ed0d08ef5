//! The JSON of the exporter's commands is what its document says.

use clap::CommandFactory;
use onnward_exporter::cli::Arguments;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::json_schema::{check, exporter_schemas};
use crate::support::programs::{run, succeed_json};

const EXPORTER: &str = "onnward-exporter";

#[test]
fn every_command_has_a_schema_and_takes_a_format() {
    let schemas = exporter_schemas();
    let command = Arguments::command();
    let mut commands: Vec<(String, clap::Command)> = Vec::new();
    for sub in command.get_subcommands() {
        let nested: Vec<_> = sub.get_subcommands().collect();
        let name = sub.get_name();
        match nested.as_slice() {
            [] => commands.push((name.to_owned(), sub.clone())),
            nested => {
                let named =
                    |inner: &&clap::Command| (format!("{name} {}", inner.get_name()), (*inner).clone());
                commands.extend(nested.iter().map(named));
            }
        }
    }
    assert!(commands.len() > 25, "{}", commands.len());
    for (name, command) in commands {
        assert!(schemas["$defs"].get(&name).is_some(), "{name} has no schema");
        assert!(command.get_opts().any(|option| option.get_long() == Some("output")), "{name}");
    }
}

/// The commands that `tests/operations/operator.rs` does not run: from a table to signed and deleted versions.
#[test]
fn what_the_commands_print_fits_their_schemas() {
    let schemas = exporter_schemas();
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (table, repository) = (path("bank.csv"), path("repository"));
    let run = |name: &str, arguments: &[&str]| -> Value {
        let words: Vec<&str> = name.split(' ').collect();
        let printed = succeed_json(EXPORTER, &[&words, arguments, &["--output", "json"]].concat());
        check(&schemas, name, &printed).unwrap_or_else(|problem| panic!("{problem}: {printed}"));
        printed
    };
    let schema = ["--schema", "schemas/bank.toml"];
    run("sample", &[&schema[..], &["--rows", "600", "--out", &table]].concat());
    run("schema infer", &[&table]);
    run("schema check", &["schemas/bank.toml", "--data", &table]);
    run("schema check", &["schemas/bank.toml"]);
    run("keygen", &["--out", &path("release")]);
    let at = ["--repository", &repository];
    let of = |arguments: &[&'static str]| {
        [arguments, &at[..]].concat().iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let model = ["--model", "bank", "--candidates", "logistic", "--folds", "2"];
    let out = path("report");
    let train = [&schema[..], &["--data", &table, "--out", &out], &model, &at].concat();
    run("train", &train);
    run("train", &[&train[..], &["--if-absent"]].concat());
    for name in ["plans", "rent"] {
        let (schema, table) = (format!("schemas/{name}.toml"), path(&format!("{name}.csv")));
        run("sample", &["--schema", &schema, "--rows", "400", "--out", &table]);
        run("schema check", &[&schema, "--data", &table]);
        let data = ["--schema", &schema, "--data", &table, "--model", name, "--folds", "2"];
        run("train", &[&data[..], &at].concat());
        run("inspect", &[&path(&format!("repository/{name}/1/model.onnx"))]);
        run("versions", &[&[name][..], &at].concat());
    }
    run("inspect", &[&path("repository/bank/1/model.onnx")]);
    run("inspect", &["tests/data/external/torch-logits.onnx"]);
    let key = path("release.pem");
    run("sign", &[&["bank", "1", "--key", &key][..], &at].concat());
    let file = path("report/logistic.onnx");
    run("publish", &[&[&file, "--model", "bank", "--allow-duplicate"][..], &at].concat());
    for (name, arguments) in [
        ("promote", &["bank", "1"][..]),
        ("promote", &["bank", "2"]),
        ("rollback", &["bank"]),
        ("alias set", &["bank", "challenger", "2"]),
        ("alias list", &["bank"]),
        ("alias delete", &["bank", "challenger"]),
        ("pin", &["bank", "2"]),
        ("unpin", &["bank"]),
        ("gc", &["--keep", "1", "--dry-run"]),
        ("delete-version", &["bank", "2"]),
        ("models", &[]),
        ("versions", &["bank"]),
        ("audit", &[]),
    ] {
        let arguments = of(arguments);
        run(name, &arguments.iter().map(String::as_str).collect::<Vec<_>>());
    }
}

#[test]
fn an_error_is_one_line_of_json_for_programs() {
    let schemas = exporter_schemas();
    for (arguments, code) in [
        (&["versions", "churn", "--repository", "/nowhere", "--output", "json"][..], 1),
        (&["versions", "churn", "--repository", "/nowhere", "--output=json"], 1),
        (&["promote", "churn", "--output", "json"], 2),
    ] {
        let output = run(EXPORTER, arguments);
        assert_eq!(output.status.code(), Some(code));
        assert!(output.stdout.is_empty());
        let text = String::from_utf8(output.stderr).unwrap();
        let error: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        check(&schemas, "error", &error).unwrap();
        assert_eq!(error["error"]["exit_code"], json!(code));
    }
}

#[test]
fn the_repository_of_both_programs_is_in_one_variable() {
    let folder = TempDir::new().unwrap();
    let variable = [("ONNWARD_REPOSITORY".to_owned(), folder.path().display().to_string())];
    let listed = crate::support::programs::succeed_in(&variable, EXPORTER, &["models"]);
    assert!(listed.contains("no models"), "{listed}");
}
