//! Correct artifacts, each with probabilities of its own, and artifacts that are wrong in one way each.

use onnward_exporter::export::export;
use onnward_models::TrainedModel;
use onnward_onnx::proto::tensor_proto::DataType;
use onnward_onnx::proto::{ModelProto, NodeProto, TensorProto};
use onnward_onnx::{Artifact, PROBABILITIES};
use onnward_runtime::backend::{Backend, Batch};
use onnward_runtime::golden;
use onnward_schemas::{GoldenPrediction, GoldenRow, Metadata, sha256_hex};
use serde_json::{Map, Value};

use crate::support::bank;

/// Returns the smallest model.
fn trained() -> &'static TrainedModel {
    bank().models.iter().find(|model| model.metadata.family == "logistic").unwrap()
}

/// Returns the first golden row, which a request could contain.
fn row() -> &'static GoldenRow {
    &trained().metadata.golden.rows[0]
}

/// Returns a row for all of these models, as JSON.
pub fn request() -> String {
    let names = trained().metadata.schema.features.iter().map(|feature| feature.name.clone());
    let values = row().values.iter().map(|value| serde_json::to_value(value).unwrap());
    Value::Object(names.zip(values).collect::<Map<_, _>>()).to_string()
}

/// Returns the factor of a version's probabilities. It differs for each of the first hundred versions.
pub fn share(version: u64) -> f64 {
    1.0 - version as f64 / 128.0
}

/// Returns the probability that a version made by [`version`] computes for [`request`].
pub fn probability(version: u64) -> f64 {
    row().prediction.probability().unwrap() * share(version)
}

/// Returns a correct artifact whose probabilities identify its version. No two models share one.
pub fn version(model: &str, version: u64) -> Vec<u8> {
    let mut metadata = trained().metadata.clone();
    metadata.provenance.data_sha256 = sha256_hex(model.as_bytes());
    for row in &mut metadata.golden.rows {
        let probability = row.prediction.probability().unwrap();
        row.prediction = GoldenPrediction::Probability(probability * share(version));
    }
    artifact(multiplied_by("Mul", share(version) as f32), metadata)
}

/// Returns an artifact whose golden rows expect what its graph does not compute.
pub fn untrue() -> Vec<u8> {
    let mut metadata = trained().metadata.clone();
    let probability = metadata.golden.rows[3].prediction.probability().unwrap();
    metadata.golden.rows[3].prediction = GoldenPrediction::Probability(probability + 1e-3);
    artifact(multiplied_by("Mul", 1.0), metadata)
}

/// Returns an artifact with an unknown operator.
pub fn of_an_unknown_operator() -> Vec<u8> {
    artifact(multiplied_by("Clairvoyance", 1.0), trained().metadata.clone())
}

/// Returns an artifact that scores only as many rows as there are golden ones.
pub fn of_one_batch_size() -> Vec<u8> {
    let metadata = trained().metadata.clone();
    let shape = [metadata.golden.rows.len() as i64, 2].map(i64::to_le_bytes).concat();
    let shape = constant("shape", &[2], DataType::Int64, shape);
    artifact(
        Ending { nodes: vec![node("Reshape", &[TRAINED, "shape"], PROBABILITIES)], constants: vec![shape] },
        metadata,
    )
}

/// Returns an artifact whose probability differs by a quarter if dividing by 3 and multiplying by 3 rounds.
/// tract divides by multiplying with a third, so it rounds for other rows than ONNX Runtime. The golden rows
/// expect what `backend` computes.
pub fn of_divided_opinions(backend: &dyn Backend) -> Vec<u8> {
    let ending = Ending {
        nodes: vec![
            node("Div", &[TRAINED, "three"], "third"),
            node("Mul", &["third", "three"], "whole"),
            node("Sub", &["whole", TRAINED], "rest"),
            node("Abs", &["rest"], "size"),
            node("Mul", &["size", "huge"], "enlarged"),
            node("Min", &["enlarged", "quarter"], "quarter_or_nothing"),
            // Halved, so that a quarter more is still a probability.
            node("Mul", &[TRAINED, "half"], "halved"),
            node("Add", &["halved", "quarter_or_nothing"], PROBABILITIES),
        ],
        constants: vec![
            number("three", 3.0),
            number("huge", 1e12),
            number("quarter", 0.25),
            number("half", 0.5),
        ],
    };
    let mut metadata = trained().metadata.clone();
    let bytes = artifact(ending.clone(), metadata.clone());
    let cut = Artifact::decode(&bytes).unwrap().encode_subgraph().unwrap();
    let rows = golden::encoded_rows(&metadata);
    let mut session = backend.open(&cut, &metadata.schema.label.task).unwrap();
    let scored = session.score(Batch::Features(rows.view())).unwrap();
    for (row, score) in metadata.golden.rows.iter_mut().zip(scored.probabilities().unwrap().iter()) {
        row.prediction = GoldenPrediction::Probability(f64::from(*score));
    }
    artifact(ending, metadata)
}

/// Appends nodes to the trained model.
#[derive(Clone)]
struct Ending {
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
}

/// The name of the trained model's probabilities in that graph.
const TRAINED: &str = "trained";

fn multiplied_by(operator: &str, factor: f32) -> Ending {
    let nodes = vec![node(operator, &[TRAINED, "factor"], PROBABILITIES)];
    Ending { nodes, constants: vec![number("factor", factor)] }
}

fn artifact(ending: Ending, metadata: Metadata) -> Vec<u8> {
    let mut model: ModelProto = export(trained()).unwrap().model().clone();
    model.metadata_props.clear();
    let graph = model.graph.as_mut().unwrap();
    let names = graph.node.iter_mut().flat_map(|node| node.output.iter_mut().chain(&mut node.input));
    for name in names.filter(|name| *name == PROBABILITIES) {
        *name = TRAINED.to_owned();
    }
    graph.node.extend(ending.nodes);
    graph.initializer.extend(ending.constants);
    Artifact::new(model, metadata).unwrap().encode()
}

fn node(operator: &str, inputs: &[&str], output: &str) -> NodeProto {
    NodeProto {
        op_type: Some(operator.to_owned()),
        name: Some(format!("making_{output}")),
        input: inputs.iter().map(|input| (*input).to_owned()).collect(),
        output: vec![output.to_owned()],
        ..NodeProto::default()
    }
}

fn number(name: &str, value: f32) -> TensorProto {
    constant(name, &[1], DataType::Float, value.to_le_bytes().to_vec())
}

fn constant(name: &str, dims: &[i64], data_type: DataType, raw: Vec<u8>) -> TensorProto {
    TensorProto {
        name: Some(name.to_owned()),
        dims: dims.to_vec(),
        data_type: Some(data_type as i32),
        raw_data: Some(raw.into()),
        ..TensorProto::default()
    }
}
