//! Malicious model files: an engine rejects them before a runtime sees them, and goes on serving.

use onnward_onnx::Artifact;
use onnward_onnx::proto::tensor_proto::{DataLocation, DataType};
use onnward_onnx::proto::{
    AttributeProto, GraphProto, ModelProto, NodeProto, StringStringEntryProto, TensorProto,
};
use prost::Message;

use super::fixture::{Fixture, refuses, serves};
use super::models::refused;
use super::{artifacts, run_all, run_apart};
use crate::support::programs::{Engine, fail};

#[test]
fn a_file_that_was_made_to_harm_is_not_tried() {
    run_all(
        "lifecycle/hostile",
        &[],
        &[
            ("elsewhere", |fixture, engine| {
                hostile(fixture, engine, "elsewhere", passwd(), "\"/etc/passwd\"")
            }),
            ("custom", |fixture, engine| hostile(fixture, engine, "custom", custom(), "\"com.example\"")),
            ("hidden", |fixture, engine| hostile(fixture, engine, "hidden", hidden, "\"com.example\"")),
            ("endless", |fixture, engine| hostile(fixture, engine, "endless", endless, "Loop")),
            ("huge-claim", |fixture, engine| hostile(fixture, engine, "huge-claim", huge, "no size")),
            ("round-and-round", |fixture, engine| {
                hostile(
                    fixture,
                    engine,
                    "round-and-round",
                    |graph| graph.node.push(tree(1, [0])),
                    "below itself",
                );
            }),
            ("deep", |fixture, engine| {
                let chain: Vec<i64> = (1..300).collect();
                hostile(
                    fixture,
                    engine,
                    "deep",
                    |graph| graph.node.push(tree(300, chain)),
                    "decisions in a tree",
                );
            }),
            ("many", |fixture, engine| hostile(fixture, engine, "many", many, "more than the 20000")),
            ("nested", |fixture, engine| hostile(fixture, engine, "nested", nested, "deep")),
            ("inflating", |fixture, engine| {
                // An attribute of two bytes takes hundreds in memory.
                let attributes = [5 << 3 | 2, 0].repeat(2_000_000);
                let bytes =
                    [artifacts::version("inflating", 2), in_field(7, &in_field(1, &attributes))].concat();
                refused(fixture, engine, "inflating", bytes, ["artifact", "once it is decoded"]);
            }),
        ],
    );
}

fn hidden(graph: &mut GraphProto) {
    let mut inner = GraphProto::default();
    custom()(&mut inner);
    graph.node.push(branch(inner));
}

fn endless(graph: &mut GraphProto) {
    graph.node.push(node("", "Loop", vec![]));
}

fn huge(graph: &mut GraphProto) {
    let dims = vec![1 << 31, 1 << 31, 1 << 31];
    graph.initializer.push(TensorProto { dims, ..floats() });
}

fn many(graph: &mut GraphProto) {
    graph.node.extend(vec![node("", "Abs", vec![]); 30_000]);
}

fn nested(graph: &mut GraphProto) {
    let inner = (0..8).fold(GraphProto::default(), |inner, _| GraphProto {
        node: vec![branch(inner)],
        ..GraphProto::default()
    });
    graph.node.push(branch(inner));
}

/// Publishes a version with something added to its graph between two correct versions.
fn hostile(fixture: &Fixture, engine: &Engine, model: &str, add: impl FnOnce(&mut GraphProto), error: &str) {
    let mut changed: ModelProto = Artifact::decode(&artifacts::version(model, 2)).unwrap().model().clone();
    add(changed.graph.as_mut().unwrap());
    let bytes = changed.encode_to_vec();
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("model.onnx");
    std::fs::write(&file, &bytes).unwrap();
    for (program, command) in [("onnward-engine", "check"), ("onnward-exporter", "inspect")] {
        let said = fail(program, &[command, file.to_str().unwrap()]);
        assert!(said.contains(error), "{program}: {said}");
    }
    refused(fixture, engine, model, bytes, ["artifact", error]);
}

fn passwd() -> impl FnOnce(&mut GraphProto) {
    let entry = |key: &str, value: &str| StringStringEntryProto {
        key: Some(key.to_owned()),
        value: Some(value.to_owned()),
    };
    let tensor = TensorProto {
        data_location: Some(DataLocation::External as i32),
        external_data: vec![entry("location", "/etc/passwd"), entry("length", "16")],
        ..floats()
    };
    |graph| graph.initializer.push(tensor)
}

fn custom() -> impl FnOnce(&mut GraphProto) {
    |graph| graph.node.push(node("com.example", "Shell", vec![]))
}

fn floats() -> TensorProto {
    TensorProto {
        name: Some("more".to_owned()),
        data_type: Some(DataType::Float as i32),
        dims: vec![4],
        ..TensorProto::default()
    }
}

fn node(domain: &str, operator: &str, attribute: Vec<AttributeProto>) -> NodeProto {
    NodeProto {
        domain: Some(domain.to_owned()),
        op_type: Some(operator.to_owned()),
        attribute,
        ..NodeProto::default()
    }
}

fn branch(graph: GraphProto) -> NodeProto {
    let name = Some("then_branch".to_owned());
    node("", "If", vec![AttributeProto { name, g: Some(graph), ..AttributeProto::default() }])
}

/// Returns a tree of this depth. Each node leads to the next one on one side and to a leaf on the other.
fn tree(decisions: usize, next: impl IntoIterator<Item = i64>) -> NodeProto {
    let mut below: Vec<i64> = next.into_iter().collect();
    let mut leaves = vec![0; below.len()];
    below.resize(decisions, 0);
    leaves.resize(decisions, 1);
    let ints = |name: &str, ints: Vec<i64>| AttributeProto {
        name: Some(name.to_owned()),
        ints,
        ..AttributeProto::default()
    };
    let tensor = |name: &str, data_type: DataType, bytes: usize| AttributeProto {
        name: Some(name.to_owned()),
        t: Some(TensorProto {
            data_type: Some(data_type as i32),
            dims: vec![decisions as i64],
            raw_data: Some(vec![0; bytes * decisions].into()),
            ..TensorProto::default()
        }),
        ..AttributeProto::default()
    };
    let attributes = vec![
        ints("tree_roots", vec![0]),
        ints("nodes_featureids", vec![0; decisions]),
        ints("nodes_truenodeids", below),
        ints("nodes_trueleafs", leaves),
        ints("nodes_falsenodeids", vec![0; decisions]),
        ints("nodes_falseleafs", vec![1; decisions]),
        ints("leaf_targetids", vec![0; decisions]),
        tensor("nodes_modes", DataType::Uint8, 1),
        tensor("nodes_splits", DataType::Float, 4),
        tensor("leaf_weights", DataType::Float, 4),
        AttributeProto { name: Some("n_targets".to_owned()), i: Some(1), ..AttributeProto::default() },
    ];
    node("ai.onnx.ml", "TreeEnsemble", attributes)
}

/// Encodes bytes as a protobuf field.
fn in_field(number: u32, content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    prost::encoding::bytes::encode(number, &content.to_vec(), &mut bytes);
    bytes
}

#[test]
fn a_file_that_is_larger_than_configured_is_not_downloaded() {
    run_apart(
        "lifecycle/large",
        &[("large", |fixture| {
            let right = artifacts::version("large", 1).len();
            let limit = (2 * right).to_string();
            let engine = fixture.engine_with(&[("ONNWARD_MODELS__MAX_BYTES", limit.as_str())], &[]);
            fixture.publish("large");
            serves(&engine, "large", 1);
            fixture.publish_bytes("large", vec![0; 2 * right + 1]);
            refuses(&engine, "large", 2, ["fetch", "raise models.max_bytes"], 1);
            let cached = std::fs::read_dir(fixture.cache.path().join("objects")).unwrap().count();
            assert_eq!(cached, 1, "the large file is in the cache");
            fixture.publish("large");
            fixture.promote("large", 3).unwrap();
            serves(&engine, "large", 3);
        })],
    );
}
