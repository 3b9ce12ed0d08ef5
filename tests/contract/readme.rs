//! Runs the commands of the documents, exactly as they are written.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use onnward_engine::config::{Config, Flags};
use onnward_schemas::SchemaFile;
use tempfile::TempDir;

use crate::support::programs::{Engine, program};
use crate::support::root;

/// Every README, in the order in which the commands are run: later ones need what earlier ones have made.
const DOCUMENTS: [&str; 21] = [
    "README.md",
    "exporter/README.md",
    "schemas/README.md",
    "engine/README.md",
    "schemas/repository/README.md",
    "schemas/onnx/README.md",
    "schemas/rows/README.md",
    "models/README.md",
    "engine/runtime/README.md",
    "engine/quality/README.md",
    "engine/telemetry/README.md",
    "engine/serving/README.md",
    "engine/records/README.md",
    "engine/http/README.md",
    "monitoring/README.md",
    "docker/README.md",
    "benches/README.md",
    "tests/README.md",
    "tests/harness/README.md",
    "tests/proofs/README.md",
    "tests/fuzz/README.md",
];

/// Documents about files that tests read. They hold no commands.
const WITHOUT_COMMANDS: [&str; 2] = ["tests/data/external/README.md", "tests/external/README.md"];

/// The commands of `bash` blocks, by their beginning, and the script that runs them: they need more than a test has.
const RUN_ELSEWHERE: [(&str, &str); 8] = [
    ("docker compose ", "tests/stack/run.sh"),
    ("ONNWARD_TRACING__ENDPOINT=http://mlflow:5000 docker compose ", "tests/stack/run.sh"),
    ("curl -s --cacert ca.pem ", "tests/stack/run.sh"),
    ("export DEPLOY_TO=", "tests/stack/deploy.sh"),
    ("docker/deploy/release ", "tests/stack/deploy.sh"),
    ("kubectl apply --kustomize ", ".ci/manifests"),
    ("target/release/onnward-exporter drift ", "tests/operations/fleet.rs"),
    ("target/release/onnward-exporter performance ", "tests/operations/fleet.rs"),
];

/// Requests, by a part of their command, and what their answers hold.
const ANSWERS: [(&str, &[&str]); 5] = [
    ("@customer.json", &["\"probability\":", "\"churn\":"]),
    ("gendr", &["\"violations\":19", "/tenure"]),
    ("@identified.json", &["\"probability\":"]),
    ("/outcomes", &["\"joined\":1"]),
    ("/admin/reload", &["\"churn\""]),
];

/// A reader who types every command, document after document, gets what the documents say.
#[test]
fn the_commands_work() {
    let folder = TempDir::new().unwrap();
    std::fs::create_dir(folder.path().join("target")).unwrap();
    let programs = program("onnward-engine").parent().unwrap().to_owned();
    std::os::unix::fs::symlink(programs, folder.path().join("target/release")).unwrap();
    std::os::unix::fs::symlink(root().join("schemas"), folder.path().join("schemas")).unwrap();

    let commands = commands("sh");
    let commands = commands.iter().map(String::as_str).filter(|line| !line.starts_with("make "));
    let (requests, programs): (Vec<&str>, Vec<&str>) = commands.partition(|line| line.starts_with("curl "));
    assert!(requests.len() >= 4 && programs.len() >= 20, "the documents' commands were not found");
    for line in programs.iter().filter(|line| !line.contains(" serve ")) {
        run(folder.path(), line);
    }
    let store = ("ONNWARD_OUTCOMES__FOLDER".to_owned(), folder.path().join("outcomes").display().to_string());
    let engine = Engine::serve_in(&[store], folder.path().join("model-repository"), &[]);
    for (part, _) in ANSWERS {
        assert!(requests.iter().any(|line| line.contains(part)), "no document shows a request with {part}");
    }
    for line in requests {
        let (_, expected) = ANSWERS.iter().find(|(part, _)| line.contains(part)).expect(line);
        let here = line.replace("http://127.0.0.1:8000", &engine.url);
        let answer = run(folder.path(), &here.replace("http://127.0.0.1:8001", &engine.admin_url));
        for part in *expected {
            assert!(answer.contains(part), "{line}: {answer}");
        }
    }
}

/// Every `make` target that a document names exists, in a block or in its text.
#[test]
fn the_make_targets_exist() {
    let makefile = std::fs::read_to_string(root().join("Makefile")).unwrap();
    let texts = DOCUMENTS.map(read);
    let in_blocks =
        commands("sh").into_iter().filter_map(|line| Some(line.strip_prefix("make ")?.to_owned()));
    let in_texts = texts.iter().flat_map(|text| text.split("`make ").skip(1)).map(str::to_owned);
    let mut targets = 0;
    for line in in_blocks.chain(in_texts) {
        let target = line.split(|c: char| !(c.is_ascii_lowercase() || c == '-')).next().unwrap();
        assert!(makefile.contains(&format!("\n{target}:")), "there is no target {target:?}");
        targets += 1;
    }
    assert!(targets >= 20, "the documents' targets were not found");
}

/// A command that no test can run names the script that runs it, and no such name is left over.
#[test]
fn every_other_command_is_run_by_a_script() {
    let commands = commands("bash");
    for line in &commands {
        let script = RUN_ELSEWHERE.iter().find(|(start, _)| line.starts_with(start));
        let (_, script) = script.unwrap_or_else(|| panic!("nothing runs: {line}"));
        assert!(root().join(script).is_file(), "there is no script {script}");
    }
    for (start, _) in RUN_ELSEWHERE {
        assert!(commands.iter().any(|line| line.starts_with(start)), "no document shows: {start}");
    }
}

#[test]
fn every_readme_is_read() {
    let mut found = Vec::new();
    find_readmes(&root(), &mut found);
    let mut listed: Vec<PathBuf> =
        DOCUMENTS.iter().chain(&WITHOUT_COMMANDS).map(|path| root().join(path)).collect();
    found.sort();
    listed.sort();
    assert_eq!(found, listed);
    for document in WITHOUT_COMMANDS {
        let text = read(document);
        assert!(blocks(&text, "sh").is_empty() && blocks(&text, "bash").is_empty(), "{document}");
    }
}

/// The configuration reference is a configuration file, and its values are the defaults.
#[test]
fn the_configuration_reference_works() {
    let readme = read("engine/README.md");
    let reference = readme.split("<!-- onnward-engine config -->").nth(1).unwrap();
    let reference = blocks(reference.split("<!-- end -->").next().unwrap(), "text").concat();
    let repository = Flags { repository: Some("model-repository".to_owned()), ..Flags::default() };
    assert_eq!(load(&reference, &repository), Config::load(&repository, []).unwrap());
}

#[test]
fn the_configuration_of_tokens_and_stores_works() {
    let repository = Flags { repository: Some("model-repository".to_owned()), ..Flags::default() };
    assert!(load(&block("engine/README.md", "[auth.jwt]"), &repository).auth.jwt.is_some());
    let s3 = load(&block("schemas/repository/README.md", "# s3.toml"), &Flags::default());
    assert_eq!((s3.repository.s3.path_style, s3.repository.s3.allow_http), (Some(true), Some(false)));
}

#[test]
fn the_configuration_of_a_foreign_file_works() {
    let text = block("schemas/README.md", "# config.toml");
    let config = onnward_onnx::ExternalConfig::parse(&text).unwrap();
    assert_eq!(config.output.label_name.as_deref(), Some("churn"));
}

#[test]
fn the_schema_works() {
    let file = SchemaFile::parse(&block("schemas/README.md", "# schemas/mine.toml")).unwrap();
    assert_eq!((file.schema.features.len(), file.schema.revenue.as_deref()), (4, Some("price")));
}

/// An address that is taken is reported in a sentence; the documents' own address may be.
#[test]
fn a_taken_address_is_one_clear_sentence() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = TempDir::new().unwrap();
    let repository = folder.path().display().to_string();
    let message = crate::support::programs::fail(
        "onnward-engine",
        &["serve", "--repository", &repository, "--listen", &address],
    );
    assert!(message.contains(&address) && message.contains("--listen"), "{message}");
}

fn read(document: &str) -> String {
    let path = root().join(document);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Returns the commands in all documents' blocks of a language, in order.
fn commands(language: &str) -> Vec<String> {
    let mut commands = Vec::new();
    for text in DOCUMENTS.map(read) {
        commands.extend(blocks(&text, language).iter().flat_map(|block| block.lines()).map(str::to_owned));
    }
    commands
}

fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let start = format!("```{language}\n");
    text.split(&start).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

fn block(document: &str, first_line: &str) -> String {
    let text = read(document);
    let found = blocks(&text, "toml").into_iter().find(|block| block.starts_with(first_line));
    found.unwrap_or_else(|| panic!("{document} has no block {first_line:?}")).to_owned()
}

/// Loads a text as a configuration file, under the flags.
fn load(text: &str, flags: &Flags) -> Config {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("engine.toml");
    std::fs::write(&path, text).unwrap();
    Config::load(&Flags { config: Some(path), ..flags.clone() }, []).unwrap()
}

fn find_readmes(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_dir() {
            if !name.starts_with('.') && !["target", "node_modules"].contains(&name.as_str()) {
                find_readmes(&entry.path(), found);
            }
        } else if name == "README.md" {
            found.push(entry.path());
        }
    }
}

fn run(folder: &Path, command: &str) -> String {
    let output = Command::new("sh").args(["-c", command]).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
