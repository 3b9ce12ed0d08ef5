//! Artifacts that are right, each with probabilities of its own, and artifacts that are wrong in one way each.

use onnward_exporter::export::export;
use onnward_models::TrainedModel;
use onnward_onnx::proto::tensor_proto::DataType;
use onnward_onnx::proto::{ModelProto, NodeProto, TensorProto};
use onnward_onnx::{Artifact, PROBABILITIES};
use onnward_schemas::{GoldenRow, Metadata, sha256_hex};
use serde_json::{Map, Value};

use crate::support::bank;

/// The smallest model that there is.
fn trained() -> &'static TrainedModel {
    bank().models.iter().find(|model| model.metadata.family == "logistic").unwrap()
}

/// The first golden row, which is one that a request could carry.
fn row() -> &'static GoldenRow {
    &trained().metadata.golden.rows[0]
}

/// A row to ask any of these models about, as JSON.
pub fn request() -> String {
    let names = trained().metadata.schema.features.iter().map(|feature| feature.name.clone());
    let values = row().values.iter().map(|value| serde_json::to_value(value).unwrap());
    Value::Object(names.zip(values).collect::<Map<_, _>>()).to_string()
}

/// The share of the trained model's probability that a version gives: another one for each of the first hundred versions.
pub fn share(version: u64) -> f64 {
    1.0 - version as f64 / 128.0
}

/// What a version of any model made by [`version`] answers to [`request`].
pub fn probability(version: u64) -> f64 {
    row().probability * share(version)
}

/// An artifact that is right, and tells by its probabilities which version it is. No two models share one.
pub fn version(model: &str, version: u64) -> Vec<u8> {
    let mut metadata = trained().metadata.clone();
    metadata.provenance.data_sha256 = sha256_hex(model.as_bytes());
    for row in &mut metadata.golden.rows {
        row.probability *= share(version);
    }
    ending_with("Mul", tensor(&[1], DataType::Float, &(share(version) as f32).to_le_bytes()), metadata)
}

/// One whose golden rows expect what its graph does not compute.
pub fn untrue() -> Vec<u8> {
    let mut metadata = trained().metadata.clone();
    metadata.golden.rows[3].probability += 1e-3;
    ending_with("Mul", tensor(&[1], DataType::Float, &1_f32.to_le_bytes()), metadata)
}

/// One that scores as many rows as there are golden ones, and no other number of rows.
pub fn of_one_batch_size() -> Vec<u8> {
    let metadata = trained().metadata.clone();
    let shape = [metadata.golden.rows.len() as i64, 2].map(i64::to_le_bytes).concat();
    ending_with("Reshape", tensor(&[2], DataType::Int64, &shape), metadata)
}

/// One with an operator that nobody knows.
pub fn of_an_unknown_operator() -> Vec<u8> {
    let metadata = trained().metadata.clone();
    ending_with("Clairvoyance", tensor(&[1], DataType::Float, &1_f32.to_le_bytes()), metadata)
}

/// The trained model with one more operator after all others, over the probabilities and a constant.
fn ending_with(operator: &str, constant: TensorProto, metadata: Metadata) -> Vec<u8> {
    let mut model: ModelProto = export(trained()).unwrap().model().clone();
    model.metadata_props.clear();
    let graph = model.graph.as_mut().unwrap();
    let names = graph.node.iter_mut().flat_map(|node| node.output.iter_mut().chain(&mut node.input));
    for name in names.filter(|name| *name == PROBABILITIES) {
        *name = "before_the_end".to_owned();
    }
    graph.node.push(NodeProto {
        op_type: Some(operator.to_owned()),
        name: Some("the_end".to_owned()),
        input: vec!["before_the_end".to_owned(), constant.name().to_owned()],
        output: vec![PROBABILITIES.to_owned()],
        ..NodeProto::default()
    });
    graph.initializer.push(constant);
    Artifact::new(model, metadata).unwrap().encode()
}

fn tensor(dims: &[i64], data_type: DataType, raw: &[u8]) -> TensorProto {
    TensorProto {
        name: Some("of_the_end".to_owned()),
        dims: dims.to_vec(),
        data_type: Some(data_type as i32),
        raw_data: Some(raw.to_vec().into()),
        ..TensorProto::default()
    }
}
