//! The part of `make demo` that is a script.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::support::programs::{program, succeed};
use crate::support::root;

#[test]
fn the_demo_serves_posts_one_customer_and_ends_when_it_is_told_to() {
    let folder = TempDir::new().unwrap();
    let file = |part: &str| folder.path().join(part).display().to_string();
    let (table, repository) = (file("bank.csv"), file("repository"));
    let schema = "schemas/bank.toml";
    succeed("onnward-exporter", &["sample", "--schema", schema, "--rows", "1000", "--out", &table]);
    let data = ["train", "--schema", schema, "--data", &table, "--repository", &repository];
    let rest = ["--model", "bank", "--candidates", "logistic", "--folds", "2"];
    succeed("onnward-exporter", &[&data[..], &rest[..]].concat());

    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let mut demo = Command::new("tests/demo.sh")
        .arg("serve")
        .current_dir(root())
        .env("BIN", program("onnward-engine").parent().unwrap())
        .envs([("SCHEMA", schema), ("MODEL", "bank"), ("REPOSITORY", &repository), ("LISTEN", &address)])
        .env("ADMIN", "127.0.0.1:0")
        .env("REPORT", folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines().map_while(Result::ok);
    let seen: Vec<String> = lines.by_ref().take_while(|line| !line.contains("/metrics")).collect();
    let seen = seen.join("\n");
    assert!(seen.contains("onnward-engine serve --repository") && seen.contains("curl"), "{seen}");
    assert!(seen.contains("\"probability\":") && seen.contains("\"exited\":"), "{seen}");
    assert!(seen.contains("/docs"), "{seen}");

    let asked = Command::new("kill").args(["-TERM", &demo.id().to_string()]).status().unwrap();
    assert!(asked.success());
    let rest: Vec<String> = lines.collect();
    assert!(demo.wait().unwrap().success(), "{rest:?}");
    assert!(TcpListener::bind(&address).is_ok(), "something still listens on {address}");
}
