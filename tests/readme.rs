//! What the README shows is run as it stands there.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use onnward_engine::config::{Config, Flags};
use onnward_schemas::SchemaFile;
use tempfile::TempDir;

use crate::programs::{Engine, program};
use crate::support::root;

/// Every command works, in the order in which a reader of the chapter on the two programs would type them.
#[test]
fn the_commands_work() {
    let folder = TempDir::new().unwrap();
    std::fs::create_dir(folder.path().join("target")).unwrap();
    let programs = program("onnward-engine").parent().unwrap().to_owned();
    std::os::unix::fs::symlink(programs, folder.path().join("target/release")).unwrap();
    std::os::unix::fs::symlink(root().join("schemas"), folder.path().join("schemas")).unwrap();

    let readme = readme();
    let commands: Vec<&str> = blocks(&readme, "sh").iter().flat_map(|block| block.lines()).collect();
    let (make, programs): (Vec<&str>, Vec<&str>) =
        commands.into_iter().partition(|line| line.starts_with("make "));
    let targets = std::fs::read_to_string(root().join("Makefile")).unwrap();
    for line in make {
        let target = line.split_whitespace().nth(1).unwrap();
        assert!(targets.contains(&format!("\n{target}:")), "there is no target {target}");
    }
    let (ask, make_models): (Vec<&str>, Vec<&str>) =
        programs.into_iter().partition(|line| line.starts_with("curl "));
    assert!(ask.len() >= 2 && make_models.len() >= 8, "the README's commands were not found");
    for line in make_models.iter().filter(|line| !line.contains(" serve ")) {
        run(folder.path(), line);
    }
    let store = ("ONNWARD_OUTCOMES__FOLDER".to_owned(), folder.path().join("outcomes").display().to_string());
    let engine = Engine::serve_in(&[store], folder.path().join("model-repository"), &[]);
    let answers: Vec<String> = ask
        .iter()
        .map(|line| {
            let line = line.replace("http://127.0.0.1:8000", &engine.url);
            run(folder.path(), &line.replace("http://127.0.0.1:8001", &engine.admin_url))
        })
        .collect();
    assert!(answers[0].contains("\"probability\":") && answers[0].contains("\"churn\":"), "{}", answers[0]);
    assert!(answers[1].contains("\"violations\":19") && answers[1].contains("/tenure"), "{}", answers[1]);
    let outcomes = answers.last().unwrap();
    assert!(outcomes.contains("\"unknown\":1"), "{outcomes}");
}

/// The configuration file is one, and its values are the defaults where it does not say otherwise.
#[test]
fn the_configuration_works() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("engine.toml");
    std::fs::write(&path, block(&readme(), "# engine.toml")).unwrap();
    let flags = Flags { config: Some(path), ..Flags::default() };
    let shown = Config::load(&flags, []).unwrap();
    let s3 = folder.path().join("s3.toml");
    std::fs::write(&s3, block(&readme(), "# s3.toml")).unwrap();
    let s3 = Config::load(&Flags { config: Some(s3), ..Flags::default() }, []).unwrap();
    assert_eq!((s3.repository.s3.path_style, s3.repository.s3.allow_http), (Some(true), Some(false)));
    let repository = Flags { repository: Some("model-repository".to_owned()), ..Flags::default() };
    let mut expected = Config::load(&repository, []).unwrap();
    expected.default_model = shown.default_model.clone();
    expected.onnxruntime = shown.onnxruntime.clone();
    expected.log.format = shown.log.format;
    assert_eq!(shown, expected);
}

#[test]
fn the_configuration_of_a_foreign_file_works() {
    let config = onnward_onnx::ExternalConfig::parse(&block(&readme(), "# config.toml")).unwrap();
    assert_eq!(config.output.label_name.as_deref(), Some("churn"));
}

#[test]
fn the_schema_works() {
    let file = SchemaFile::parse(&block(&readme(), "# schemas/mine.toml")).unwrap();
    assert_eq!((file.schema.features.len(), file.schema.revenue.as_deref()), (4, Some("price")));
}

/// An address that is taken is said so in a sentence; the README's own address may be.
#[test]
fn a_taken_address_is_one_clear_sentence() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = TempDir::new().unwrap();
    let repository = folder.path().display().to_string();
    let message = crate::programs::fail(
        "onnward-engine",
        &["serve", "--repository", &repository, "--listen", &address],
    );
    assert!(message.contains(&address) && message.contains("--listen"), "{message}");
}

fn readme() -> String {
    std::fs::read_to_string(root().join("README.md")).unwrap()
}

fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let start = format!("```{language}\n");
    text.split(&start).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

fn block(text: &str, first_line: &str) -> String {
    let found = blocks(text, "toml").into_iter().find(|block| block.starts_with(first_line));
    found.unwrap_or_else(|| panic!("the README has no block {first_line:?}")).to_owned()
}

fn run(folder: &Path, command: &str) -> String {
    let output = Command::new("sh").args(["-c", command]).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
