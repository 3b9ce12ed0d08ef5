//! Every operator gives on tract what it gives on ONNX Runtime, for drawn attributes and inputs.

mod cases;
mod core;
mod draw;
mod graph;
mod trees;

use std::collections::BTreeMap;

use self::cases::Family;
use self::draw::Draw;
use self::graph::{Graph, Value};

/// How many graphs are drawn for each operator.
const DRAWS: u64 = 200;

/// Returns whether there is no ONNX Runtime to compare with, and there need not be.
fn is_without_onnxruntime() -> bool {
    std::env::var_os("WITHOUT_ONNXRUNTIME").is_some()
}

#[test]
fn every_operator_gives_what_onnxruntime_gives() {
    if is_without_onnxruntime() {
        return;
    }
    let mut differences: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (name, family) in cases::families().into_iter().chain(core::families()) {
        let (found, accepted) = differences_of(family);
        if !found.is_empty() {
            differences.insert(name, found);
        }
        assert!(accepted > DRAWS / 2, "{name}: ONNX Runtime accepts only {accepted} of {DRAWS} graphs");
    }
    let summary: Vec<String> = differences
        .iter()
        .map(|(name, all)| format!("{name}: {} differ, as {}", all.len(), all[0]))
        .collect();
    assert!(differences.is_empty(), "{}", summary.join("\n"));
}

/// Returns what differs for the graphs of a family, and how many graphs ONNX Runtime accepts.
fn differences_of(family: Family) -> (Vec<String>, u64) {
    let (mut differences, mut accepted) = (Vec::new(), 0);
    for seed in 0..DRAWS {
        let graph = family(&mut Draw::new(seed));
        let (expected, found) = (graph.run_on_onnxruntime(), graph.run_on_tract());
        accepted += u64::from(expected.is_ok());
        if let Some(difference) = difference(&graph, &expected, &found) {
            differences.push(format!("{difference}\n    seed {seed}: {}", graph.describe()));
        }
    }
    (differences, accepted)
}

fn difference(
    graph: &Graph,
    expected: &Result<Vec<Value>, String>,
    found: &Result<Vec<Value>, String>,
) -> Option<String> {
    match (expected, found) {
        (Ok(expected), Ok(found)) => {
            let pairs = graph.outputs.iter().zip(expected.iter().zip(found));
            let mut differing = pairs.filter(|(_, (expected, found))| !graph.agree(expected, found));
            differing
                .next()
                .map(|(name, (expected, found))| format!("{name}: {expected:?} on ONNX Runtime, {found:?}"))
        }
        (Err(_), Err(_)) => None,
        (Err(error), Ok(found)) => Some(format!("{error} on ONNX Runtime, {found:?}")),
        (Ok(_), Err(error)) => Some(format!("tract fails: {error}")),
    }
}

#[test]
fn trees_that_refer_to_nothing_or_to_themselves_are_refused() {
    let refused = |children: [i64; 2], target: i64| trees::one_split(children, target).run_on_tract().err();
    assert_eq!(refused([1, 2], 0), None);
    for (children, target, reason) in [
        ([0, 2], 0, "a tree's node 0 is below itself"),
        ([1, 3], 0, "tree 0 has no node 3"),
        ([1, -1], 0, "tree 0 has no node -1"),
        ([1, 2], 1, "a leaf has a weight for target 1, but there are 1"),
    ] {
        let message = refused(children, target).unwrap_or_default();
        assert!(message.contains(reason), "{message}");
    }
}

#[test]
fn a_missing_operator_is_named_with_what_to_do() {
    let input = Value::new(&[1, 1], graph::Values::Floats(vec![1.0]));
    let message = Graph::core("Magic", vec![], vec![input]).run_on_tract().unwrap_err();
    assert!(message.contains("tract has no operator Magic: install ONNX Runtime"), "{message}");
}
