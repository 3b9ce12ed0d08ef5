//! The architecture's rules, held against what Cargo and the sources say.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::root;

/// What each package of the workspace may import of the others; see the table in `ARCHITECTURE.md`.
const MAY_IMPORT: [(&str, &[&str]); 8] = [
    ("onnward-schemas", &[]),
    ("onnward-rows", &["onnward-schemas"]),
    ("onnward-onnx", &["onnward-schemas"]),
    ("onnward-repository", &["onnward-schemas"]),
    ("onnward-models", &["onnward-schemas"]),
    ("onnward-exporter", &["onnward-schemas", "onnward-onnx", "onnward-repository", "onnward-models"]),
    ("onnward-engine", &["onnward-schemas", "onnward-rows", "onnward-onnx", "onnward-repository"]),
    (
        "onnward-benches",
        &[
            "onnward-schemas",
            "onnward-rows",
            "onnward-onnx",
            "onnward-repository",
            "onnward-models",
            "onnward-exporter",
            "onnward-engine",
        ],
    ),
];

/// Libraries that a package must never import.
const MUST_NOT_IMPORT: [(&str, &[&str]); 6] = [
    ("onnward-schemas", &["tokio", "ndarray", "prost", "object_store", "axum"]),
    ("onnward-onnx", &["tokio", "object_store", "axum", "ort", "tract-onnx"]),
    ("onnward-models", &["tokio", "prost", "object_store", "axum", "ort", "tract-onnx"]),
    ("onnward-repository", &["prost", "axum", "ort", "tract-onnx", "ndarray"]),
    ("onnward-exporter", &["axum", "object_store", "ort", "tract-onnx"]),
    ("onnward-engine", &["object_store"]),
];

/// Parts of the engine that alone may name a library.
const ONLY_UNDER: [(&str, &[&str]); 10] = [
    ("ort", &["backend"]),
    ("tract_onnx", &["backend"]),
    ("onnward_repository", &["app", "capture", "commands", "config", "loader", "registry", "watcher"]),
    ("prometheus", &["metrics"]),
    ("redb", &["outcomes"]),
    ("jsonwebtoken", &["auth"]),
    ("axum", &["http", "app"]),
    ("opentelemetry", &["traces"]),
    ("opentelemetry_otlp", &["traces"]),
    ("opentelemetry_sdk", &["traces"]),
];

/// Parts of the engine that must not know other parts.
const MUST_NOT_KNOW: [(&str, &[&str]); 7] = [
    ("auth", &["http", "registry", "config"]),
    ("http", &["backend", "loader", "watcher"]),
    ("batcher", &["http", "registry", "loader"]),
    ("backend", &["batcher", "http", "registry", "loader", "config", "metrics"]),
    ("registry", &["http", "loader", "watcher"]),
    ("watcher", &["http"]),
    ("outcomes", &["http", "registry", "backend", "batcher", "loader", "watcher"]),
];

#[test]
fn packages_import_only_what_they_may() {
    let imports = imports_by_package();
    for (package, allowed) in MAY_IMPORT {
        let ours = imports[package].iter().filter(|name| name.starts_with("onnward-"));
        let forbidden: Vec<&String> = ours.filter(|name| !allowed.contains(&name.as_str())).collect();
        assert!(forbidden.is_empty(), "{package} imports {forbidden:?}");
    }
    for (package, forbidden) in MUST_NOT_IMPORT {
        for library in forbidden {
            assert!(!imports[package].contains(*library), "{package} imports {library}");
        }
    }
}

#[test]
fn a_library_stays_in_the_part_of_the_engine_that_owns_it() {
    for (file, part, line) in engine_lines() {
        for (library, owners) in ONLY_UNDER {
            if mentions(&line, library) {
                assert!(owners.contains(&part.as_str()), "{} names {library}: {line}", file.display());
            }
        }
    }
}

#[test]
fn the_parts_of_the_engine_never_call_back_up() {
    for (file, part, line) in engine_lines() {
        for (_, strangers) in MUST_NOT_KNOW.iter().filter(|(name, _)| *name == part) {
            for stranger in *strangers {
                let path = format!("crate::{stranger}");
                assert!(!mentions(&line, &path), "{} knows {stranger}: {line}", file.display());
            }
        }
    }
}

#[test]
fn nothing_in_code_knows_a_column_of_a_table() {
    let columns = ["tenure", "MonthlyCharges", "InternetService", "SeniorCitizen", "CreditScore"];
    // Not `benches/peers`: what Onnward is measured against is written by hand for one table.
    for folder in ["schemas", "models", "exporter", "engine", "benches/src", "benches/benches"] {
        for file in rust_files(&root().join(folder)) {
            for line in code_lines(&file) {
                for column in columns {
                    assert!(!line.contains(column), "{} knows {column}: {line}", file.display());
                }
            }
        }
    }
}

fn imports_by_package() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let name = |value: &serde_json::Value| value["name"].as_str().unwrap().to_owned();
    let imports = |package: &serde_json::Value| {
        let dependencies = package["dependencies"].as_array().unwrap().iter();
        dependencies.filter(|dependency| dependency["kind"].is_null()).map(name).collect()
    };
    let packages = metadata["packages"].as_array().unwrap();
    packages.iter().map(|package| (name(package), imports(package))).collect()
}

/// Every line of code of the engine with its file and the module of the crate's root that it belongs to.
fn engine_lines() -> Vec<(PathBuf, String, String)> {
    let source = root().join("engine/src");
    let mut lines = Vec::new();
    for file in rust_files(&source) {
        let part = file.strip_prefix(&source).unwrap().components().next().unwrap();
        let part = part.as_os_str().to_str().unwrap().trim_end_matches(".rs").to_owned();
        lines.extend(code_lines(&file).into_iter().map(|line| (file.clone(), part.clone(), line)));
    }
    assert!(lines.len() > 1000, "the engine's sources were not found");
    lines
}

/// A file's lines up to its tests, without comments.
fn code_lines(file: &Path) -> Vec<String> {
    let inside = file.strip_prefix(root()).unwrap();
    let is_test =
        |name: &str| name.starts_with("test") || name.starts_with("fixture") || name.ends_with("tests.rs");
    if inside.iter().any(|part| is_test(part.to_str().unwrap())) {
        return Vec::new();
    }
    let text = std::fs::read_to_string(file).unwrap();
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    code.lines().filter(|line| !line.trim_start().starts_with("//")).map(str::to_owned).collect()
}

fn mentions(line: &str, path: &str) -> bool {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(path).any(|(start, found)| {
        let before = line[..start].chars().next_back();
        let after = line[start + found.len()..].chars().next();
        let starts = before.is_none_or(|c| !is_name(c) && c != '"' && c != '.');
        starts && after.is_none_or(|c| c == ':' || c == ';' || c == ',' || c == '}')
    })
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}
