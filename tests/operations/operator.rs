//! What an operator reaches for: refusals of what would break clients, checks before a publication, waiting for
//! engines, webhooks, and the commands that show, copy, tag and repair.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use onnward_exporter::export::export;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::artifacts;
use crate::support::json_schema::{check, exporter_schemas};
use crate::support::programs::{Engine, program};
use crate::support::{root, train_small};

/// The exit code of a change that an engine does not serve.
const NOT_SERVED: i32 = 3;

/// A folder with a repository and with files to publish.
pub struct Workplace {
    folder: TempDir,
}

impl Workplace {
    pub fn new() -> Self {
        Self { folder: TempDir::new().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Writes a file, and returns its path.
    pub fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        fs::write(self.path(name), bytes).unwrap();
        self.text(name)
    }

    /// Runs a command on the repository.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.run_in("repository", arguments)
    }

    fn run_in(&self, repository: &str, arguments: &[&str]) -> Output {
        let target = ["--output", "json", "--repository", &self.text(repository)];
        self.run_with(&[], &[arguments, &target].concat())
    }

    /// Runs a command with all its arguments, and with variables in its environment.
    fn run_with(&self, environment: &[(&str, &str)], arguments: &[&str]) -> Output {
        let mut command = Command::new(program("onnward-exporter"));
        command.args(arguments).envs(environment.iter().copied());
        command.current_dir(root()).output().unwrap()
    }

    /// Runs a command that must succeed, and returns its result.
    pub fn succeed(&self, arguments: &[&str]) -> Value {
        parsed(&self.run(arguments), arguments)
    }

    /// Runs a command that must fail, and returns its message.
    pub fn fail(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    /// Publishes a correct version of the model `bank`, whose probabilities identify it.
    pub fn publish(&self, version: u64) -> Value {
        let file = self.file("next.onnx", artifacts::version("bank", version));
        self.succeed(&["publish", &file, "--model", "bank", "--no-check"])
    }
}

pub fn parsed(output: &Output, arguments: &[&str]) -> Value {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    let result = serde_json::from_slice(&output.stdout).unwrap();
    let schema = match arguments {
        ["alias", command, ..] => format!("alias {command}"),
        ["versions", _, "--compare", ..] => "comparison".to_owned(),
        [command, ..] => (*command).to_owned(),
        [] => panic!("there is no command"),
    };
    check(&exporter_schemas(), &schema, &result).unwrap_or_else(|problem| panic!("{problem}: {result}"));
    result
}

/// Runs the command that a message names in backticks, as a reader would.
pub fn run_hint(message: &str) -> Output {
    let command = message.rsplit("onnward-exporter ").next().unwrap();
    let command = command.split('`').next().unwrap().replace("\\\"", "\"");
    let exporter = program("onnward-exporter").display().to_string();
    Command::new("sh").args(["-c", &format!("{exporter} {command}")]).current_dir(root()).output().unwrap()
}

/// Returns an artifact of other rows, from another table.
pub fn of_other_rows() -> Vec<u8> {
    export(&train_small("telco", 7).models[0]).unwrap().encode()
}

#[test]
fn a_version_of_other_rows_is_refused_wherever_it_would_be_served() {
    let here = Workplace::new();
    here.publish(1);
    let other = here.file("other.onnx", of_other_rows());

    // Without an alias, the highest version is served.
    let publish = ["publish", &other, "--model", "bank", "--no-check"];
    for dry_run in [&[][..], &["--dry-run"]] {
        let message = here.fail(&[&publish[..], dry_run].concat());
        for part in
            ["version 1 of bank", "field \\\"", "no longer accepted", "is new and required", "--other-schema"]
        {
            assert!(message.contains(part), "{part}: {message}");
        }
    }
    assert_eq!(here.succeed(&["versions", "bank"])["versions"].as_array().unwrap().len(), 1);

    // With one, publishing is harmless, and the promotion is refused.
    let promoted = here.succeed(&["promote", "bank", "1"]);
    assert_eq!(promoted.get("compatibility"), None, "nothing changes for clients");
    assert_eq!(here.succeed(&publish)["version"], 2);
    let message = here.fail(&["promote", "bank", "2", "--dry-run"]);
    assert!(message.contains("--dry-run --output json"), "{message}");
    let before = here.succeed(&["history", "bank"]);
    let message = here.fail(&["promote", "bank", "2"]);
    assert_eq!(here.succeed(&["history", "bank"]), before, "nothing has moved");
    for command in [["pin", "bank", "2"], ["alias", "delete", "bank"]] {
        let more: &[&str] = if command[0] == "alias" { &["champion"] } else { &[] };
        assert!(here.fail(&[&command[..], more].concat()).contains("--other-schema"), "{command:?}");
    }

    // The refusal names a command that runs as it stands; a rollback is refused as well.
    let allowed = run_hint(&message);
    assert!(allowed.status.success(), "{message}: {}", String::from_utf8_lossy(&allowed.stderr));
    let message = here.fail(&["rollback", "bank"]);
    assert!(message.contains("version 2 of bank") && message.contains("--other-schema"), "{message}");
    let planned = here.succeed(&["rollback", "bank", "--dry-run", "--other-schema"]);
    assert_eq!((&planned["to"], &planned["compatibility"]["served"]), (&json!(1), &json!(2)));
    assert!(planned["compatibility"]["differences"].as_array().unwrap().len() > 5, "{planned}");
    assert_eq!(here.succeed(&["rollback", "bank", "--other-schema"])["to"], 1);
}

#[test]
fn a_served_version_that_cannot_be_read_keeps_no_other_from_its_place() {
    let here = Workplace::new();
    here.publish(1);
    here.succeed(&["promote", "bank", "1"]);
    here.publish(2);
    // Manifests of older programs have no summary, so both files are read.
    for version in [1, 2] {
        let path = here.path(&format!("repository/bank/{version}/manifest.json"));
        let mut manifest: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        manifest.as_object_mut().unwrap().remove("summary");
        fs::write(&path, manifest.to_string()).unwrap();
    }
    fs::write(here.path("repository/bank/1/model.onnx"), "damaged").unwrap();
    let promoted = here.succeed(&["promote", "bank", "2"]);
    assert!(promoted["compatibility"]["unknown"].as_str().unwrap().contains("7 bytes"), "{promoted}");
    let message = here.fail(&["rollback", "bank"]);
    assert!(message.contains("bank/1/model.onnx"), "a damaged version is not served again: {message}");
}

#[test]
fn the_same_bytes_are_one_version() {
    let here = Workplace::new();
    here.publish(1);
    here.publish(2);
    let again = here.publish(1);
    assert_eq!((&again["version"], &again["changes"]), (&json!(1), &json!(false)));
    let hint = again["hint"].as_str().unwrap();
    assert!(hint.contains("promote bank 1"), "{hint}");
    assert!(run_hint(hint).status.success(), "{hint}");
    assert_eq!(here.succeed(&["models"])["models"][0]["served"], 1);
    let file = here.text("next.onnx");
    let publish = ["publish", &file, "--model", "bank", "--no-check", "--alias", "challenger"];
    let moved = here.succeed(&publish);
    assert_eq!((&moved["alias"]["to"], &moved["changes"]), (&json!(1), &json!(false)));
    let third = here.succeed(&[&publish[..], &["--allow-duplicate"]].concat());
    assert_eq!((&third["version"], &third["changes"]), (&json!(3), &json!(true)));
}

#[test]
fn a_version_that_was_copied_by_hand_is_told_with_the_command_that_publishes_it() {
    let here = Workplace::new();
    here.publish(1);
    let copy = here.path("repository/bank/2");
    fs::create_dir(&copy).unwrap();
    fs::write(copy.join("model.onnx"), artifacts::version("bank", 2)).unwrap();
    let message = here.fail(&["promote", "bank", "2"]);
    assert!(message.contains("no manifest.json"), "{message}");
    let listed = here.succeed(&["versions", "bank"]);
    assert_eq!(listed["unpublished"][0]["version"], 2);
    assert!(listed["unpublished"][0]["publish"].as_str().unwrap().contains("bank/2/model.onnx"), "{listed}");
    let published = run_hint(&message);
    assert!(published.status.success(), "{message}: {}", String::from_utf8_lossy(&published.stderr));
    assert_eq!(here.succeed(&["versions", "bank"])["versions"][0]["version"], 3);

    // What remains of the copy is removed by a repair, unless it is recent.
    let recent = here.succeed(&["repair", "bank", "--fix"]);
    assert_eq!(
        (&recent["found"][0]["kind"], &recent["found"][0]["recent"]),
        (&json!("no-manifest"), &json!(true))
    );
    assert!(copy.join("model.onnx").exists());
    let found = here.succeed(&["repair", "--min-age", "0"]);
    assert!(found["hint"].as_str().unwrap().contains("repair --fix"), "{found}");
    here.succeed(&["repair", "--fix", "--min-age", "0"]);
    assert!(!copy.join("model.onnx").exists());
    assert_eq!(here.succeed(&["repair", "--min-age", "0"])["found"], json!([]));
}

#[test]
fn a_file_that_a_runtime_does_not_reproduce_is_not_published() {
    let here = Workplace::new();
    let untrue = here.file("untrue.onnx", artifacts::untrue());
    let publish = ["publish", &untrue, "--model", "bank"];
    let message = here.fail(&publish);
    assert!(message.contains("was not published") && message.contains("golden row"), "{message}");
    assert!(!here.path("repository").exists());
    assert_eq!(here.succeed(&[&publish[..], &["--no-check"]].concat()).get("checked"), None);
    let good = here.file("good.onnx", artifacts::version("bank", 1));
    let checked = here.succeed(&["publish", &good, "--model", "other", "--check"])["checked"].clone();
    assert!(checked["golden_rows"].as_u64().unwrap() > 5, "{checked}");
    assert!(checked["backends"].as_array().unwrap().contains(&json!("tract")), "{checked}");
}

#[test]
fn settings_change_without_training() {
    let here = Workplace::new();
    here.publish(1);
    let file = here.text("next.onnx");
    let config = here.file("config.toml", "[output]\nthreshold = 0.9999\n");
    let published = here.succeed(&["publish", &file, "--model", "bank", "--config", &config]);
    assert_eq!(published["version"], 2);
    assert_eq!(published["settings"][0]["setting"], "output.threshold");
    assert_eq!(published["compatibility"]["differences"], json!([]), "a threshold breaks no client");
    let inspected = Command::new(program("onnward-exporter"))
        .args(["inspect", &here.text("repository/bank/2/model.onnx"), "--output", "json"])
        .output()
        .unwrap();
    let inspected = parsed(&inspected, &["inspect"]);
    let description = &inspected["description"];
    assert_eq!(description["schema"]["threshold"], 0.9999);
    assert_eq!(description["evaluation"]["threshold"], 0.5, "the figures say which threshold they are of");

    let engine = Engine::serve(&here.path("repository"), &["--backend", "tract"]);
    let (status, answer) = engine.post("/models/bank/predict", &artifacts::request());
    assert_eq!((status, &answer["version"], &answer["exited"]), (200, &json!(2), &json!(false)), "{answer}");

    let config = here.file("config.toml", "[output]\nlabel_name = \"leaves\"\n");
    let rename = ["publish", &file, "--model", "bank", "--config", &config];
    let message = here.fail(&rename);
    assert!(message.contains("has the key \\\"leaves\\\" instead"), "{message}");
    let config = here.file("config.toml", "[inputs]\nfeatures = []\n");
    let message = here.fail(&["publish", &file, "--model", "bank", "--config", &config]);
    assert!(message.contains("threshold and label_name under [output]"), "{message}");
}

#[test]
fn a_promotion_waits_until_engines_serve_it() {
    let here = Workplace::new();
    here.publish(1);
    here.succeed(&["promote", "bank", "1"]);
    here.publish(2);
    let environment = [("ONNWARD_WATCH__INTERVAL_MS".to_owned(), "100".to_owned())];
    let engine = Engine::serve_in(&environment, here.path("repository"), &["--backend", "tract"]);
    let promoted = here.succeed(&["promote", "bank", "2", "--wait", &engine.url]);
    assert_eq!(promoted["engines"], json!([{"engine": engine.url, "serving": 2, "done": true}]));
    assert_eq!(engine.get_json("/models/bank")["serving"]["version"], 2);

    let untrue = here.file("untrue.onnx", artifacts::untrue());
    assert_eq!(here.succeed(&["publish", &untrue, "--model", "bank", "--no-check"])["version"], 3);
    let output = here.run(&["promote", "bank", "3", "--wait", &engine.url]);
    assert_eq!(output.status.code(), Some(NOT_SERVED));
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("it cannot serve version 3") && message.contains("golden row"), "{message}");
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&result["engines"][0]["done"], &result["engines"][0]["serving"]), (&json!(false), &json!(2)));
    let rolled_back = here.succeed(&["rollback", "bank", "--wait", &engine.url]);
    assert_eq!(rolled_back["engines"][0]["serving"], 2);

    let nobody = "http://127.0.0.1:9";
    let output = here.run(&["promote", "bank", "1", "--wait", nobody, "--wait-timeout", "0"]);
    assert_eq!(output.status.code(), Some(NOT_SERVED));
    assert!(String::from_utf8(output.stderr).unwrap().contains("no response"));
}

#[test]
fn an_engine_that_asks_for_a_key_gets_it_from_a_file_or_the_environment_alone() {
    let here = Workplace::new();
    here.publish(1);
    let keys = here.text("keys.toml");
    let api_key = Command::new(program("onnward-engine"))
        .args(["api-key", "reader", "--scopes", "read", "--file", &keys, "--output", "json"])
        .output()
        .unwrap();
    let key: Value = serde_json::from_slice(&api_key.stdout).unwrap();
    let key = key["key"].as_str().unwrap();
    let settings = [("ONNWARD_AUTH__KEYS_FILE".to_owned(), keys)];
    let engine = Engine::serve_in(&settings, here.path("repository"), &["--backend", "tract"]);
    let promote = ["promote", "bank", "1", "--wait", &engine.url];
    let output = here.run(&promote);
    assert_eq!(output.status.code(), Some(NOT_SERVED));
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("401") && message.contains("ONNWARD_ENGINE_KEY"), "{message}");
    let file = here.file("reader.key", format!("{key}\n"));
    let promoted = here.succeed(&[&promote[..], &["--engine-key-file", &file]].concat());
    assert_eq!(promoted["engines"][0]["done"], true);
    let mut command = Command::new(program("onnward-exporter"));
    command.args(promote).args(["--repository", &here.text("repository")]).env("ONNWARD_ENGINE_KEY", key);
    assert!(command.output().unwrap().status.success());
}

/// Starts a server that accepts one request after the other. Returns its URL, and the heads and bodies.
fn webhook() -> (String, Receiver<(String, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/secret-path", listener.local_addr().unwrap());
    let (sender, bodies) = channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let (mut received, mut piece) = (Vec::new(), [0; 4096]);
            let body = loop {
                let read = stream.read(&mut piece).unwrap();
                received.extend_from_slice(&piece[..read]);
                let text = String::from_utf8_lossy(&received).into_owned();
                if let Some((head, body)) = text.split_once("\r\n\r\n")
                    && let Ok(body) = serde_json::from_str(body)
                {
                    break (head.to_owned(), body);
                }
                assert!(read > 0, "the request ends: {text}");
            };
            stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").unwrap();
            if sender.send(body).is_err() {
                return;
            }
        }
    });
    (url, bodies)
}

#[test]
fn webhooks_are_told_of_publications_and_moves() {
    let here = Workplace::new();
    let (url, bodies) = webhook();
    let file = here.file("model.onnx", artifacts::version("bank", 1));
    let publish =
        ["publish", &file, "--model", "bank", "--no-check", "--alias", "champion", "--webhook", &url];
    here.succeed(&[&publish[..], &["--dry-run"]].concat());
    let published = here.succeed(&publish);
    assert_eq!(published["webhooks"][0]["delivered"], true);
    let origin = url.trim_end_matches("/secret-path");
    assert_eq!(published["webhooks"][0]["webhook"], origin, "a path may be a secret");
    let ((head, first), (_, second)) = (bodies.recv().unwrap(), bodies.recv().unwrap());
    assert!(head.contains("webhook-id: msg_") && !head.contains("webhook-signature"), "{head}");
    assert_eq!((&first["event"], &first["version"]), (&json!("version.published"), &json!(1)), "{first}");
    assert_eq!(first["sha256"], published["manifest"]["sha256"]);
    assert_eq!(
        (&second["event"], &second["alias"]),
        (&json!("pointer.moved"), &json!("champion")),
        "{second}"
    );
    assert!(second["time"].as_str().unwrap().ends_with('Z') && second["who"].is_string(), "{second}");

    here.publish(2);
    let nobody = format!("{url},http://127.0.0.1:9/hidden");
    let output = here.run(&["promote", "bank", "2", "--webhook", &nobody]);
    let moved = parsed(&output, &["promote"]);
    assert_eq!(moved["webhooks"][1]["delivered"], false, "a webhook that is down undoes nothing");
    let warning = String::from_utf8(output.stderr).unwrap();
    assert!(warning.contains("was not told") && !warning.contains("hidden"), "{warning}");
    let (_, body) = bodies.recv().unwrap();
    assert_eq!(
        (&body["previous"], &body["version"], &body["command"]),
        (&json!(1), &json!(2), &json!("promote"))
    );
    for refused in ["http://example.com/hook", "ftp://127.0.0.1/", "hook"] {
        let output = here.run(&["promote", "bank", "1", "--webhook", refused]);
        assert_eq!(output.status.code(), Some(2), "{refused}");
    }
}

#[test]
fn what_webhooks_are_told_is_signed_by_a_secret_that_is_checked_before_the_change() {
    let here = Workplace::new();
    let (url, bodies) = webhook();
    here.publish(1);
    let promote = ["promote", "bank", "1", "--webhook", &url, "--webhook-secret-file"];
    let short = here.file("short.secret", "whsec_c2hvcnQ=");
    let message = here.fail(&[&promote[..], &[&short]].concat());
    assert!(message.contains("openssl rand -base64 32"), "{message}");
    assert_eq!(here.succeed(&["history", "bank"])["entries"], json!([]));
    let secret = here.file("webhook.secret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n");
    here.succeed(&[&promote[..], &[&secret]].concat());
    let (head, _) = bodies.recv().unwrap();
    let field = |name: &str| {
        head.lines().find_map(|line| line.strip_prefix(&format!("{name}: "))).unwrap().to_owned()
    };
    assert_eq!(field("webhook-signature").len(), "v1,".len() + 44, "{head}");
    assert!(field("webhook-timestamp").parse::<u64>().unwrap() > 1_700_000_000, "{head}");
}

/// Starts a store that refuses everything, and returns its URL and the heads of requests.
fn refusing_store() -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (sender, heads) = channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, mut piece) = (stream.unwrap(), [0; 8192]);
            let read = stream.read(&mut piece).unwrap();
            let answer = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            stream.write_all(answer.as_bytes()).unwrap();
            if sender.send(String::from_utf8_lossy(&piece[..read]).into_owned()).is_err() {
                return;
            }
        }
    });
    (url, heads)
}

#[test]
fn a_copy_opens_its_target_with_credentials_of_its_own() {
    let here = Workplace::new();
    here.publish(1);
    let (url, heads) = refusing_store();
    let environment = [
        ("AWS_ACCESS_KEY_ID", "staging"),
        ("AWS_SECRET_ACCESS_KEY", "hidden"),
        ("AWS_REGION", "us-east-1"),
        ("ONNWARD_TARGET_AWS_ACCESS_KEY_ID", "production"),
        ("ONNWARD_TARGET_AWS_SECRET_ACCESS_KEY", "hidden"),
        ("ONNWARD_TARGET_AWS_ENDPOINT_URL", &url),
        ("ONNWARD_TARGET_AWS_ALLOW_HTTP", "true"),
    ];
    let from = here.text("repository");
    let copy = ["copy", "bank", "1", "--from", &from, "--repository", "s3://models/bank"];
    let output = here.run_with(&environment, &copy);
    assert_eq!(output.status.code(), Some(1));
    let head = heads.recv().unwrap();
    assert!(head.contains("Credential=production/"), "{head}");
    let half = here.run_with(&environment[..4], &copy);
    let message = String::from_utf8(half.stderr).unwrap();
    assert!(message.contains("ONNWARD_TARGET_AWS_SECRET_ACCESS_KEY"), "{message}");
}

#[test]
fn versions_say_where_they_come_from_and_are_compared() {
    let here = Workplace::new();
    let file = here.file("model.onnx", artifacts::version("bank", 1));
    let origin = ["--tag", "run=17", "--tag", "kind=nightly", "--author", "ada", "--commit", "3f1c2d9"];
    here.succeed(&[&["publish", &file, "--model", "bank", "--no-check"][..], &origin].concat());
    here.publish(2);
    let changed = here.succeed(&["tag", "bank", "1", "kind=release", "reviewed=yes", "--remove", "run"]);
    assert_eq!(changed["tags"], json!({"kind": "release", "reviewed": "yes"}));
    assert_eq!(here.succeed(&["tag", "bank", "1", "reviewed=yes"])["changes"], false);
    let versions = here.succeed(&["versions", "bank"]);
    let first = &versions["versions"][1];
    assert_eq!(
        (&first["author"], &first["commit"], &first["tags"]),
        (&json!("ada"), &json!("3f1c2d9"), &json!({"kind": "release", "reviewed": "yes"}))
    );
    assert_eq!(first["summary"]["family"], "logistic");
    assert!(first["summary"]["roc_auc"].as_f64().unwrap() > 0.5, "{first}");
    let shown = Command::new(program("onnward-exporter"))
        .args(["versions", "bank", "--repository", &here.text("repository")])
        .output()
        .unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("logistic") && shown.contains("by ada, commit 3f1c2d9, kind=release"), "{shown}");
    let message = here.fail(&["tag", "bank", "1", "a b=c"]);
    assert!(message.contains("a key has 1 to 64"), "{message}");
    assert!(here.fail(&["tag", "bank", "7", "a=b"]).contains("versions bank --repository"));

    let compared = here.succeed(&["versions", "bank", "--compare", "1", "2"]);
    let area = compared["figures"].as_array().unwrap().iter().find(|figure| figure["name"] == "roc_auc");
    assert_eq!(area.unwrap()["difference"], 0.0, "{compared}");
    assert_eq!((&compared["same_data"], &compared["differences"]), (&json!(true), &json!([])));
}

#[test]
fn a_version_is_pulled_and_copied_with_its_digest_and_signatures() {
    let here = Workplace::new();
    let key = Command::new(program("onnward-exporter"))
        .args(["keygen", "--out", &here.text("release"), "--output", "json"])
        .output()
        .unwrap();
    let key = parsed(&key, &["keygen"]);
    let file = here.file("model.onnx", artifacts::version("bank", 1));
    let published = here.succeed(&[
        "publish",
        &file,
        "--model",
        "bank",
        "--no-check",
        "--sign-key",
        &here.text("release.pem"),
    ]);
    let pulled = here.succeed(&["pull", "bank", "1", "--out", &here.text("pulled")]);
    assert_eq!(pulled["sha256"], published["manifest"]["sha256"]);
    assert_eq!(fs::read(here.path("pulled/model.onnx")).unwrap(), artifacts::version("bank", 1));
    let signature = format!("signatures/{}.json", key["key_id"].as_str().unwrap());
    assert!(here.path("pulled").join(&signature).exists() && here.path("pulled/manifest.json").exists());
    assert!(here.fail(&["pull", "bank", "1", "--out", &here.text("pulled")]).contains("already exists"));

    let copy = ["copy", "bank", "1", "--from", &here.text("repository")];
    let planned = parsed(&here.run_in("production", &[&copy[..], &["--dry-run"]].concat()), &copy);
    assert_eq!((&planned["changes"], &planned["signed_by"]), (&json!(true), &json!([key["key_id"]])));
    assert!(!here.path("production").exists());
    assert_eq!(parsed(&here.run_in("production", &copy), &copy)["changes"], true);
    let files = |repository: &str| files_of(&here.path(repository).join("bank"));
    assert_eq!(files("production"), files("repository"));
    assert_eq!(parsed(&here.run_in("production", &copy), &copy)["changes"], false);

    // A number that another file has is not taken, and a version that was changed is not copied.
    let other = here.file("other.onnx", artifacts::version("bank", 2));
    parsed(&here.run_in("elsewhere", &["publish", &other, "--model", "bank", "--no-check"]), &["publish"]);
    let refused = here.run_in("elsewhere", &copy);
    assert!(String::from_utf8(refused.stderr).unwrap().contains("another file has it here"));
    fs::write(here.path("repository/bank/1/model.onnx"), "changed").unwrap();
    assert!(here.fail(&["pull", "bank", "1", "--out", &here.text("again")]).contains("manifest describes"));
    assert!(!here.path("again").exists());
}

/// Returns the files of a folder with their contents, in order.
fn files_of(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push((path.strip_prefix(folder).unwrap().to_owned(), fs::read(&path).unwrap()));
            }
        }
    }
    files.sort();
    files
}

#[test]
fn a_model_is_listed_remembers_its_moves_and_is_deleted_whole() {
    let here = Workplace::new();
    for version in 1..=3 {
        here.publish(version);
    }
    for version in ["1", "3"] {
        here.succeed(&["promote", "bank", version]);
    }
    here.succeed(&["rollback", "bank"]);
    let listed = here.succeed(&["models"])["models"][0].clone();
    assert_eq!(
        (&listed["versions"], &listed["highest"], &listed["served"]),
        (&json!(3), &json!(3), &json!(1))
    );
    let history = here.succeed(&["history", "bank", "champion"]);
    let moves = history["entries"].as_array().unwrap().iter().map(|entry| entry["version"].clone());
    assert_eq!(moves.collect::<Vec<_>>(), [1, 3, 1]);
    assert_eq!(here.succeed(&["history", "bank", "challenger"])["entries"], json!([]));

    let message = here.fail(&["delete-model", "bank"]);
    assert!(message.contains("alias champion"), "{message}");
    let planned = here.succeed(&["delete-model", "bank", "--with-aliases", "--dry-run"]);
    assert_eq!(planned["versions"].as_array().unwrap().len(), 3);
    let deleted = run_hint(&message);
    assert!(deleted.status.success(), "{message}: {}", String::from_utf8_lossy(&deleted.stderr));
    assert_eq!(here.succeed(&["versions", "bank"])["versions"], json!([]));
    assert_eq!(here.publish(1)["version"], 4, "a number is never given again");
}

#[test]
fn a_pointer_to_a_version_that_is_gone_is_repaired() {
    let here = Workplace::new();
    for version in 1..=2 {
        here.publish(version);
        here.succeed(&["promote", "bank", &version.to_string()]);
    }
    here.succeed(&["alias", "set", "bank", "challenger", "2"]);
    fs::remove_dir_all(here.path("repository/bank/2")).unwrap();
    let found = here.succeed(&["repair"]);
    let restored: Vec<(&Value, &Value)> = found["found"]
        .as_array()
        .unwrap()
        .iter()
        .map(|damage| (&damage["pointer"], &damage["restores"]))
        .collect();
    let expected = [(json!("alias challenger"), Value::Null), (json!("alias champion"), json!(1))];
    assert_eq!(restored, expected.iter().map(|(one, other)| (one, other)).collect::<Vec<_>>());
    let fixed = run_hint(found["hint"].as_str().unwrap());
    assert!(fixed.status.success(), "{}", String::from_utf8_lossy(&fixed.stderr));
    let aliases = here.succeed(&["alias", "list", "bank"])["aliases"].clone();
    assert_eq!(
        (&aliases[0]["alias"], &aliases[0]["version"], &aliases[1]),
        (&json!("champion"), &json!(1), &Value::Null)
    );
}
