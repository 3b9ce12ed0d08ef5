//! Models whose file does not bound what they take, beside one that is served: they are refused or served in a
//! process of their own, and nothing else notices.

use std::path::Path;
use std::time::{Duration, Instant};

use onnward_onnx::proto::tensor_proto::DataType;
use onnward_onnx::proto::tensor_shape_proto::{Dimension, dimension::Value as Size};
use onnward_onnx::proto::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto,
    TypeProto, ValueInfoProto, type_proto,
};
use onnward_repository::{Repository, RepositoryConfig};
use onnward_runtime::backend::BackendKind;
use prost::Message;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::backends;
use crate::support::programs::Engine;
use crate::support::wait::eventually;

/// The memory of a process that runs one model.
const ISOLATED: &str = "268435456";

fn matrix(name: &str, columns: i64) -> ValueInfoProto {
    let size = |value| Dimension { value: Some(value), ..Dimension::default() };
    let dim = vec![size(Size::DimParam("N".to_owned())), size(Size::DimValue(columns))];
    let shape = Some(TensorShapeProto { dim });
    let tensor = type_proto::Tensor { elem_type: Some(DataType::Float as i32), shape };
    let value = Some(type_proto::Value::TensorType(tensor));
    let described = TypeProto { value, ..TypeProto::default() };
    ValueInfoProto { name: Some(name.to_owned()), r#type: Some(described), ..ValueInfoProto::default() }
}

fn integers(name: &str, dims: &[i64], numbers: &[i64]) -> TensorProto {
    TensorProto {
        name: Some(name.to_owned()),
        dims: dims.to_vec(),
        data_type: Some(DataType::Int64 as i32),
        int64_data: numbers.to_vec(),
        ..TensorProto::default()
    }
}

fn floats(name: &str, dims: &[i64], numbers: &[f32]) -> TensorProto {
    TensorProto {
        name: Some(name.to_owned()),
        dims: dims.to_vec(),
        data_type: Some(DataType::Float as i32),
        float_data: numbers.to_vec(),
        ..TensorProto::default()
    }
}

fn node(operator: &str, inputs: &[&str], output: &str, attributes: &[(&str, i64)]) -> NodeProto {
    let attribute = |(name, value): &(&str, i64)| AttributeProto {
        name: Some((*name).to_owned()),
        i: Some(*value),
        r#type: Some(2),
        ..AttributeProto::default()
    };
    NodeProto {
        op_type: Some(operator.to_owned()),
        input: inputs.iter().map(|name| (*name).to_owned()).collect(),
        output: vec![output.to_owned()],
        attribute: attributes.iter().map(attribute).collect(),
        ..NodeProto::default()
    }
}

/// Returns the file of a logistic regression of four columns to which the value `extra` is added, which these
/// nodes and constants compute.
fn file(mut nodes: Vec<NodeProto>, constants: &[TensorProto], extra: &str) -> Vec<u8> {
    nodes.push(node("Gemm", &["x", "w", "b"], "sum", &[]));
    nodes.push(node("Add", &["sum", extra], "logit", &[]));
    nodes.push(node("Sigmoid", &["logit"], "y", &[]));
    let weights = [floats("w", &[4, 1], &[0.1, 0.2, 0.3, 0.4]), floats("b", &[1], &[0.0])];
    let graph = GraphProto {
        name: Some("g".to_owned()),
        node: nodes,
        initializer: [&weights[..], constants].concat(),
        input: vec![matrix("x", 4)],
        output: vec![matrix("y", 1)],
        ..GraphProto::default()
    };
    let opset = OperatorSetIdProto { version: Some(13), ..OperatorSetIdProto::default() };
    ModelProto { ir_version: Some(8), opset_import: vec![opset], graph: Some(graph), ..ModelProto::default() }
        .encode_to_vec()
}

fn good() -> Vec<u8> {
    file(vec![], &[floats("zero", &[1], &[0.0])], "zero")
}

/// Doubles a value of four numbers along an axis.
fn doubled(first: &str, axis: i64, times: usize) -> (Vec<NodeProto>, String) {
    let name = |at: usize| if at == 0 { first.to_owned() } else { format!("c{at}") };
    let nodes =
        (0..times).map(|at| node("Concat", &[&name(at), &name(at)], &name(at + 1), &[("axis", axis)]));
    (nodes.collect(), name(times))
}

/// Grows a row to 4 × 2³⁰ numbers.
fn growing_row() -> Vec<u8> {
    let (mut nodes, last) = doubled("x", 1, 30);
    nodes.push(node("ReduceMax", &[&last], "extra", &[("keepdims", 1)]));
    file(nodes, &[], "extra")
}

/// Grows a constant to 4 × 2³⁰ numbers, which a runtime computes when it opens the file.
fn growing_constant() -> Vec<u8> {
    let (mut nodes, last) = doubled("k", 0, 30);
    nodes.push(node("ReduceMax", &[&last], "extra", &[("keepdims", 0)]));
    file(nodes, &[floats("k", &[4], &[0.0; 4])], "extra")
}

/// Multiplies large matrices, for hours.
fn endless() -> Vec<u8> {
    let name = |at: usize| format!("m{at}");
    let mut nodes = vec![node("Expand", &["one", "size"], &name(0), &[])];
    nodes.extend((0..400).map(|at| node("MatMul", &[&name(at), &name(at)], &name(at + 1), &[])));
    nodes.push(node("ReduceMax", &[&name(400)], "extra", &[("keepdims", 0)]));
    file(nodes, &[floats("one", &[1, 1], &[0.0]), integers("size", &[2], &[2500, 2500])], "extra")
}

/// Makes a tensor as long as the row's first number says.
fn sized_by_a_row() -> Vec<u8> {
    let nodes = vec![
        node("Gather", &["x", "first"], "column", &[("axis", 1)]),
        node("ReduceMax", &["column"], "number", &[("keepdims", 0)]),
        node("Cast", &["number"], "whole", &[("to", 7)]),
        node("Reshape", &["whole", "shape"], "length", &[]),
        node("ConstantOfShape", &["length"], "zeros", &[]),
        node("ReduceSum", &["zeros"], "extra", &[("keepdims", 0)]),
    ];
    file(nodes, &[integers("first", &[1], &[0]), integers("shape", &[1], &[1])], "extra")
}

async fn publish(repository: &Repository, files: &[(&str, Vec<u8>)]) {
    for (name, bytes) in files {
        repository.publish(name, bytes.clone(), None).await.unwrap();
    }
}

fn repository(files: &[(&str, Vec<u8>)]) -> (TempDir, Repository) {
    let folder = TempDir::new().unwrap();
    let location = folder.path().join("models").display().to_string();
    let opened = Repository::create(&RepositoryConfig { location, ..RepositoryConfig::default() }).unwrap();
    block_on(publish(&opened, files));
    (folder, opened)
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

fn serve(folder: &TempDir, timeout_ms: &str) -> Engine {
    let cache = folder.path().join("cache").display().to_string();
    let variables = [
        ("ONNWARD_WATCH__INTERVAL_MS", "100"),
        ("ONNWARD_MODELS__ISOLATED_MEMORY", ISOLATED),
        ("ONNWARD_MODELS__LOAD_TIMEOUT_MS", timeout_ms),
        ("ONNWARD_CACHE__FOLDER", &cache),
    ];
    let environment = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    Engine::serve_in(&environment, folder.path().join("models"), &[])
}

fn row(first: f64) -> String {
    json!({ "f0": first, "f1": 1.0, "f2": 1.0, "f3": 1.0 }).to_string()
}

fn predict(engine: &Engine, model: &str, first: f64) -> (u16, Value) {
    engine.post(&format!("/models/{model}/predict"), &row(first))
}

fn probability(first: f64) -> f64 {
    1.0 / (1.0 + (-(0.1 * first + 0.9)).exp())
}

#[track_caller]
fn scores(engine: &Engine, model: &str, first: f64) {
    let (status, answer) = predict(engine, model, first);
    assert_eq!(status, 200, "{model}: {answer}");
    let scored = answer["probability"].as_f64().unwrap();
    assert!((scored - probability(first)).abs() < 1e-5, "{model}: {answer}");
}

fn refusal(engine: &Engine, model: &str) -> (String, String) {
    eventually(&format!("{model} is refused"), || {
        let state = engine.get_json(&format!("/models/{model}"));
        let error = &state["last_error"];
        match (error["step"].as_str(), error["reason"].as_str()) {
            (Some(step), Some(reason)) => Ok((step.to_owned(), reason.to_owned())),
            _ => Err(state.to_string()),
        }
    })
}

#[cfg(target_os = "linux")]
fn peak_mebibytes(engine: &Engine) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", engine.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

#[cfg(target_os = "linux")]
#[test]
fn files_of_a_kilobyte_that_take_gigabytes_or_hours_are_refused_and_nothing_waits_for_them() {
    let hostile = [("constant", growing_constant()), ("row", growing_row()), ("endless", endless())];
    let (folder, _) = repository(&hostile);
    let opened = RepositoryConfig {
        location: folder.path().join("models").display().to_string(),
        ..RepositoryConfig::default()
    };
    let opened = Repository::open(&opened).unwrap();
    block_on(publish(&opened, &[("good", good())]));
    let start = Instant::now();
    let engine = serve(&folder, "15000");
    assert!(start.elapsed() < Duration::from_secs(14), "readiness does not wait for a test");
    scores(&engine, "good", 2.0);
    for name in ["constant", "row"] {
        let (step, reason) = refusal(&engine, name);
        assert!(["memory", "warm_up", "open", "trial"].contains(&step.as_str()), "{name}: {step}: {reason}");
    }
    // A new version of another model comes into service meanwhile.
    block_on(publish(&opened, &[("good", good())]));
    eventually("the next version is served", || {
        let state = engine.get_json("/models/good");
        if state["serving"]["version"] == 2 { Ok(()) } else { Err(state.to_string()) }
    });
    let (step, reason) = refusal(&engine, "endless");
    assert_eq!(step, "timeout", "{reason}");
    assert!(reason.contains("15 s"), "{reason}");
    scores(&engine, "good", 2.0);
    assert!(peak_mebibytes(&engine) < 512, "{} MiB", peak_mebibytes(&engine));
}

#[cfg(target_os = "linux")]
#[test]
fn a_row_that_asks_for_gigabytes_fails_alone() {
    if !backends().iter().any(|backend| backend.kind() == BackendKind::OnnxRuntime) {
        return;
    }
    let (folder, _) = repository(&[("good", good()), ("sized", sized_by_a_row())]);
    let engine = serve(&folder, "60000");
    eventually("it is served", || match predict(&engine, "sized", 2.0) {
        (200, _) => Ok(()),
        (_, answer) => Err(answer.to_string()),
    });
    for _ in 0..3 {
        for first in [1e9, 3e9, 1e18, -1.0] {
            let (status, answer) = predict(&engine, "sized", first);
            assert_eq!(status, 422, "{first}: {answer}");
            scores(&engine, "sized", 2.0);
            scores(&engine, "good", 2.0);
        }
    }
    // Rows of others in the same request say which one it was.
    let rows: Vec<Value> =
        [1.0, 3e9, 2.0].iter().map(|first| serde_json::from_str(&row(*first)).unwrap()).collect();
    let (status, answer) = engine.post("/models/sized/predict", &json!(rows).to_string());
    assert_eq!(status, 422, "{answer}");
    assert_eq!(answer["errors"][0]["row"], 1, "{answer}");
    assert!(peak_mebibytes(&engine) < 512, "{} MiB", peak_mebibytes(&engine));
}

#[cfg(unix)]
#[test]
fn a_pipe_or_a_device_in_the_place_of_a_file_is_not_read() {
    // Files of their own: one that the cache has by its digest is not read again.
    let own = |name: &str| file(vec![], &[floats(name, &[1], &[0.0])], name);
    let (folder, _) = repository(&[
        ("good", good()),
        ("pipe", own("of_pipe")),
        ("device", own("of_device")),
        ("manifest", own("of_manifest")),
    ]);
    let models = folder.path().join("models");
    let replace = |path: &str, with: &dyn Fn(&Path)| {
        let path = models.join(path);
        std::fs::remove_file(&path).unwrap();
        with(&path);
    };
    let pipe = |path: &Path| {
        assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
    };
    replace("pipe/1/model.onnx", &pipe);
    replace("manifest/1/manifest.json", &pipe);
    replace("device/1/model.onnx", &|path| std::os::unix::fs::symlink("/dev/zero", path).unwrap());
    let engine = serve(&folder, "60000");
    scores(&engine, "good", 2.0);
    // A manifest that is a pipe is not listed, so its version does not exist.
    for name in ["pipe", "device"] {
        let (_, reason) = refusal(&engine, name);
        assert!(reason.contains("not a regular file"), "{name}: {reason}");
    }
    assert_eq!(engine.post("/admin/reload", "").0, 200);
}

#[test]
fn a_start_serves_what_was_served_last_while_the_newest_version_cannot_be() {
    let (folder, opened) = repository(&[("churn", good())]);
    let engine = serve(&folder, "60000");
    scores(&engine, "churn", 2.0);
    engine.stop();
    block_on(publish(&opened, &[("churn", growing_constant())]));
    let engine = serve(&folder, "60000");
    eventually("the version before is served", || match predict(&engine, "churn", 2.0) {
        (200, answer) if answer["version"] == 1 => Ok(()),
        (_, answer) => Err(answer.to_string()),
    });
    let (_, reason) = refusal(&engine, "churn");
    let state = engine.get_json("/models/churn");
    assert_eq!(
        (&state["desired"]["version"], &state["serving"]["version"]),
        (&json!(2), &json!(1)),
        "{reason}"
    );
}
