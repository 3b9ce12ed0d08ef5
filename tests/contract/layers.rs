//! The architecture's rules: which package may depend on which, and that no code depends on a table.
//!
//! Within these rules the compiler keeps the layers, since each is a crate. `deny.toml` says which packages
//! may use a library.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::root;

/// The permitted dependencies of a package of the workspace: other packages of the workspace, by their names
/// without `onnward-`, and the libraries that it must never depend on.
struct Rule {
    package: &'static str,
    packages: &'static [&'static str],
    never: &'static [&'static str],
}

/// Packages that may depend on all others: they test and measure.
const UNRESTRICTED: [&str; 4] = ["harness", "proofs", "benches", "tests"];

const RULES: [Rule; 13] = [
    rule("schemas", &[], &["tokio", "ndarray", "prost", "object_store", "axum"]),
    rule("rows", &["schemas"], &["tokio", "object_store", "axum"]),
    rule("onnx", &["schemas"], &["tokio", "object_store", "axum", "ort", "tract-onnx"]),
    rule("repository", &["schemas"], &["prost", "axum", "ort", "tract-onnx", "ndarray"]),
    rule("models", &["schemas"], &["tokio", "prost", "object_store", "axum", "ort", "tract-onnx"]),
    rule(
        "exporter",
        &["schemas", "onnx", "repository", "models", "quality"],
        &["axum", "object_store", "ort", "tract-onnx"],
    ),
    rule("runtime", &["schemas", "onnx"], &["tokio", "axum", "object_store"]),
    // Of tokio it uses the clock alone, which tests pause.
    rule("quality", &["schemas"], &["axum", "object_store", "ort", "tract-onnx"]),
    rule("telemetry", &["schemas", "quality"], &["object_store", "ort", "tract-onnx"]),
    rule(
        "serving",
        &["schemas", "rows", "repository", "runtime", "quality", "telemetry"],
        &["axum", "object_store", "ort", "tract-onnx"],
    ),
    rule(
        "records",
        &["schemas", "rows", "repository", "quality", "telemetry", "serving"],
        &["axum", "object_store", "ort", "tract-onnx"],
    ),
    rule(
        "http",
        &["schemas", "rows", "runtime", "quality", "telemetry", "serving", "records"],
        &["object_store", "ort", "tract-onnx"],
    ),
    rule(
        "engine",
        &[
            "schemas",
            "rows",
            "onnx",
            "repository",
            "runtime",
            "quality",
            "telemetry",
            "serving",
            "records",
            "http",
        ],
        &["object_store"],
    ),
];

const fn rule(
    package: &'static str,
    packages: &'static [&'static str],
    never: &'static [&'static str],
) -> Rule {
    Rule { package, packages, never }
}

#[test]
fn packages_depend_only_on_what_they_may() {
    for (package, dependencies) in dependencies_by_package() {
        let violations = violations(&package, &dependencies);
        assert!(violations.is_empty(), "{package} must not depend on {violations:?}");
    }
}

#[test]
fn no_rule_permits_a_package_that_is_not_used() {
    let dependencies = dependencies_by_package();
    for Rule { package, packages, .. } in RULES {
        let used = &dependencies[&format!("onnward-{package}")];
        let is_unused = |other: &&&str| !used.contains(&format!("onnward-{other}"));
        let unused: Vec<_> = packages.iter().filter(is_unused).collect();
        assert!(
            unused.is_empty(),
            "onnward-{package} does not depend on {unused:?}: take it out of its rule"
        );
    }
}

#[test]
fn a_forbidden_dependency_is_found() {
    let found = |package: &str, dependencies: &[&str]| {
        violations(package, &dependencies.iter().map(|name| (*name).to_owned()).collect())
    };
    assert_eq!(found("onnward-onnx", &["onnward-schemas", "prost"]), Vec::<String>::new());
    assert_eq!(found("onnward-onnx", &["onnward-models", "tokio"]), ["onnward-models", "tokio"]);
    assert_eq!(found("onnward-runtime", &["onnward-serving"]), ["onnward-serving"]);
    assert_eq!(found("onnward-benches", &["onnward-engine", "axum"]), Vec::<String>::new());
}

/// Returns the dependencies that a package must not have.
fn violations(package: &str, dependencies: &BTreeSet<String>) -> Vec<String> {
    let name = package.strip_prefix("onnward-").unwrap();
    if UNRESTRICTED.contains(&name) {
        return Vec::new();
    }
    let rule = RULES.iter().find(|rule| rule.package == name);
    let rule = rule.unwrap_or_else(|| panic!("{package} has no rule: add one to RULES"));
    let is_allowed = |dependency: &str| match dependency.strip_prefix("onnward-") {
        Some(ours) => rule.packages.contains(&ours),
        None => !rule.never.contains(&dependency),
    };
    dependencies.iter().filter(|dependency| !is_allowed(dependency)).cloned().collect()
}

/// Returns the dependencies of each package of the workspace, without those for tests.
fn dependencies_by_package() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let name = |value: &serde_json::Value| value["name"].as_str().unwrap().to_owned();
    let dependencies = |package: &serde_json::Value| {
        let dependencies = package["dependencies"].as_array().unwrap().iter();
        dependencies.filter(|dependency| dependency["kind"] != "dev").map(name).collect()
    };
    let packages = metadata["packages"].as_array().unwrap();
    assert!(packages.len() >= 10, "only {} packages were found", packages.len());
    packages.iter().map(|package| (name(package), dependencies(package))).collect()
}

#[test]
fn nothing_in_code_knows_a_column_of_a_table() {
    let columns = ["tenure", "MonthlyCharges", "InternetService", "SeniorCitizen", "CreditScore"];
    // Not `benches/peers`: what Onnward is measured against is written by hand for one table.
    let folders = [
        "schemas",
        "models",
        "exporter",
        "engine",
        "benches/src",
        "benches/benches",
        "tests/harness",
        "tests/proofs",
    ];
    for folder in folders {
        let files = rust_files(&root().join(folder));
        assert!(!files.is_empty(), "{folder} has no code");
        for file in files {
            for line in code_lines(&file) {
                for column in columns {
                    assert!(!line.contains(column), "{} depends on {column}: {line}", file.display());
                }
            }
        }
    }
}

/// Returns a file's lines up to its tests, without comments.
fn code_lines(file: &Path) -> Vec<String> {
    let inside = file.strip_prefix(root()).unwrap();
    let is_test = |name: &str| {
        let stem = name.trim_end_matches(".rs");
        matches!(stem, "test" | "tests" | "testing") || stem.starts_with("fixture")
    };
    let parts = inside.iter().skip_while(|part| *part == "tests");
    if parts.into_iter().any(|part| is_test(part.to_str().unwrap())) {
        return Vec::new();
    }
    let text = std::fs::read_to_string(file).unwrap();
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    code.lines().filter(|line| !line.trim_start().starts_with("//")).map(str::to_owned).collect()
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
