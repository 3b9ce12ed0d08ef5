//! Log lines have the names and types of their table, and contain no client data.

use std::path::Path;

use onnward_exporter::export::export;
use onnward_harness::process::{Signal, send_signal};
use onnward_telemetry::logging::{COMMON_KEYS, FIELDS, Kind, LABELS};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::programs::{Engine, fail, succeed};
use crate::support::wait::eventually;
use crate::support::{bank, root};

/// The table has every field that the code of the engine and the repository writes.
#[test]
fn every_field_that_the_code_writes_is_in_the_table() {
    let mut calls = 0;
    for folder in ["engine", "schemas/repository/src"] {
        for file in rust_files(&root().join(folder)) {
            let is_test =
                file.components().any(|part| part.as_os_str().to_string_lossy().starts_with("test"));
            if is_test {
                continue;
            }
            let text = std::fs::read_to_string(&file).unwrap();
            for call in logging_calls(text.split("#[cfg(test)]").next().unwrap()) {
                calls += 1;
                for name in field_names(&call) {
                    let is_known = FIELDS.iter().any(|field| field.short == name);
                    assert!(is_known, "{}: {name} is not in logging/fields.rs: {call}", file.display());
                }
            }
        }
    }
    assert!(calls > 30, "only {calls} calls were found");
}

#[test]
fn what_an_engine_writes_in_its_life_has_the_names_and_types_of_the_table() {
    let folder = TempDir::new().unwrap();
    let repository = folder.path().join("repository");
    let location = repository.display().to_string();
    let publish = |model: &str, bytes: &[u8]| {
        let file = folder.path().join("model.onnx");
        std::fs::write(&file, bytes).unwrap();
        let file = file.display().to_string();
        succeed("onnward-exporter", &["publish", &file, "--repository", &location, "--model", model]);
    };
    publish("bank", &export(&bank().models[0]).unwrap().encode());
    publish("foreign", &std::fs::read(root().join("tests/data/external/lightgbm.onnx")).unwrap());
    let settings = [("ONNWARD_LOG__LEVEL", "trace"), ("ONNWARD_SHUTDOWN__GRACE_MS", "0")];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let engine = Engine::serve_in(&settings, &repository, &[]);
    assert_eq!(engine.post("/models/bank/predict", r#"{"secret": "hidden"}"#).0, 422);
    assert_eq!(engine.get("/hidden/hidden?hidden").0, 404);
    publish("bank", &export(&bank().models[1]).unwrap().encode());
    assert_eq!(engine.post("/admin/reload", "").0, 200);
    // A version that its manifest does not describe.
    std::fs::write(repository.join("bank/2/model.onnx"), "changed").unwrap();
    engine.post("/admin/reload", "");
    let (status, lines) = engine.stop();
    assert!(status.success(), "{status}: {}", lines.join("\n"));

    for message in ["listening", "serving", "request", "stopped"] {
        let key = format!("\"message\":\"{message}\"");
        assert!(lines.iter().any(|line| line.contains(&key)), "{message}: {}", lines.join("\n"));
    }
    for line in &lines {
        assert!(!line.contains("hidden") && !line.contains("secret"), "{line}");
        check_line(line);
    }
}

#[test]
fn values_are_written_on_request_with_a_loud_warning() {
    let folder = TempDir::new().unwrap();
    let settings = [("ONNWARD_LOG__VALUES", "true"), ("ONNWARD_SHUTDOWN__GRACE_MS", "0")];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let engine = Engine::start_in(&settings, folder.path(), &[]);
    let lines = engine.stop().1;
    let first: Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!(first["log.level"], "warn");
    assert!(first["message"].as_str().unwrap().contains("log.values is on"), "{first}");
}

#[test]
fn a_share_that_is_none_is_refused_by_its_key() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("engine.toml");
    std::fs::write(&file, "repository = 'models'\n[log]\naccess_sample = 1.5").unwrap();
    let message = fail("onnward-engine", &["serve", "--config", &file.display().to_string()]);
    assert!(message.contains("`log.access_sample`") && message.contains("from 0 to 1"), "{message}");
}

#[test]
fn a_hangup_applies_what_can_change_and_names_what_needs_a_restart() {
    let folder = TempDir::new().unwrap();
    let repository = folder.path().join("repository");
    let (model, config) = (folder.path().join("model.onnx"), folder.path().join("engine.toml"));
    std::fs::write(&model, export(&bank().models[0]).unwrap().encode()).unwrap();
    let location = repository.display().to_string();
    succeed(
        "onnward-exporter",
        &["publish", &model.display().to_string(), "--repository", &location, "--model", "bank"],
    );
    std::fs::write(&config, "shutdown.grace_ms = '0s'\n").unwrap();
    let engine = Engine::serve_in(&[], &repository, &["--config", &config.display().to_string()]);
    let hang_up = |text: &str, expected: &str| {
        std::fs::write(&config, text).unwrap();
        send_signal(engine.id(), Signal::Hangup).unwrap();
        eventually("the signal is handled", || {
            let log = engine.log();
            let line = log.lines().rev().find(|line| line.contains("SIGHUP") && line.contains(expected));
            line.map(str::to_owned).ok_or(log)
        })
    };
    let changed =
        "shutdown.grace_ms = '0s'\ndefault_model = 'absent'\nlog.level = 'warn'\nbatching.workers = 1\n";
    let line: Value = serde_json::from_str(&hang_up(changed, "needs a restart")).unwrap();
    assert_eq!(line["onnward.applied_keys"], "default_model, log.level");
    assert_eq!(line["onnward.keys_that_need_a_restart"], "batching.workers");
    assert_eq!(engine.post("/predict", "{}").0, 503, "the default model is another one");
    assert_eq!(engine.get("/models/bank").0, 200);
    hang_up("nonsense = 1\n", "not valid any more");
    let (status, lines) = engine.stop();
    assert!(status.success(), "{status}");
    let requests = lines.iter().filter(|line| line.contains("\"/models/{name}\""));
    assert_eq!(requests.count(), 0, "lines of level info are no longer written: {}", lines.join("\n"));
}

fn check_line(line: &str) {
    let fields: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    let fields = fields.as_object().unwrap();
    for key in COMMON_KEYS {
        assert!(fields.get(key).is_some_and(Value::is_string), "{key} is missing: {line}");
    }
    // serde_json keeps the last of two: a key that is there twice shows in the text alone.
    let written = fields.keys().map(|key| line.matches(&format!("\"{key}\":")).count()).sum::<usize>();
    assert_eq!(written, fields.len(), "a key is there twice: {line}");
    for (key, value) in fields.iter().filter(|(key, _)| !COMMON_KEYS.contains(&key.as_str())) {
        if key.starts_with(LABELS) {
            assert!(!fields["log.logger"].as_str().unwrap().starts_with("onnward"), "{key}: {line}");
            continue;
        }
        let field = FIELDS.iter().find(|field| field.key == key);
        let field = field.unwrap_or_else(|| panic!("{key} is not in logging/fields.rs: {line}"));
        let fits = match field.kind {
            Kind::Text => value.is_string(),
            Kind::Long | Kind::Milliseconds => value.is_u64() || value.is_i64(),
            Kind::Boolean => value.is_boolean(),
        };
        assert!(fits, "{key} is no {:?}: {line}", field.kind);
    }
}

fn rust_files(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.flat_map(|path| if path.is_dir() { rust_files(&path) } else { vec![path] });
    files.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}

/// Returns the arguments of each call of `tracing::LEVEL!(…)`.
fn logging_calls(text: &str) -> Vec<String> {
    let levels = ["error", "warn", "info", "debug", "trace"].map(|level| format!("tracing::{level}!("));
    let starts = levels.iter().flat_map(|start| text.match_indices(start.as_str()));
    starts.map(|(at, start)| inside(&text[at + start.len()..])).collect()
}

/// Returns the text up to the closing parenthesis.
fn inside(text: &str) -> String {
    let mut depth = 1;
    let mut is_string = false;
    let mut before = ' ';
    let is_inside = |char: &char| {
        match char {
            '"' if before != '\\' => is_string = !is_string,
            '(' | '{' | '[' if !is_string => depth += 1,
            ')' | '}' | ']' if !is_string => depth -= 1,
            _ => {}
        }
        before = *char;
        depth > 0
    };
    text.chars().take_while(is_inside).collect()
}

/// Returns the field names of a call: `name`, `%name`, `?name`, `name = value`.
fn field_names(call: &str) -> Vec<String> {
    let mut rest = call.trim();
    let mut names = Vec::new();
    while !rest.is_empty() {
        let part = first_argument(rest);
        rest = rest[part.len()..].trim_start_matches([',', ' ', '\n']);
        let name = part.split('=').next().unwrap().trim().trim_start_matches(['%', '?']);
        let is_message = name.starts_with('"') || name.starts_with("target:");
        if !is_message && !name.is_empty() {
            names.push(name.to_owned());
        }
    }
    names
}

/// Returns the text up to the first comma outside of brackets and quotes.
fn first_argument(text: &str) -> &str {
    let mut depth = 0;
    let mut is_string = false;
    for (at, char) in text.char_indices() {
        match char {
            '"' => is_string = !is_string,
            '(' | '{' | '[' if !is_string => depth += 1,
            ')' | '}' | ']' if !is_string => depth -= 1,
            ',' if !is_string && depth == 0 => return &text[..at],
            _ => {}
        }
    }
    text
}
