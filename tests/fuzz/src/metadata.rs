//! An artifact's metadata: its `metadata_props`, each in a section under its key.

use std::sync::OnceLock;
use std::time::Duration;

use onnward_onnx::proto::{ModelProto, StringStringEntryProto};
use onnward_onnx::{Artifact, decode_model};
use onnward_quality::drift::Drift;
use onnward_quality::drift::DriftConfig;
use onnward_rows::{RowParser, RowsLimits};
use onnward_runtime::cross_check::ComparedRows;
use onnward_runtime::golden::encoded_rows;
use onnward_schemas::{Metadata, Schema};
use onnward_serving::version::ModelVersion;
use onnward_telemetry::metrics::Metrics;
use prost::Message;

use super::sections::sections;

/// Runs the target. Each section `=== KEY` is a property of a valid graph. `{fingerprint}` is replaced by
/// that of the schema, which is never found by chance.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let schema = sections(text).find(|(key, _)| *key == "schema");
    let schema = schema.and_then(|(_, schema)| serde_json::from_str::<Schema>(schema).ok());
    let fingerprint = schema.map(|schema| schema.fingerprint()).unwrap_or_default();
    let property = |(key, value): (&str, &str)| StringStringEntryProto {
        key: Some(format!("onnward.{key}")),
        value: Some(value.replace("{fingerprint}", &fingerprint)),
    };
    let metadata_props = sections(text).map(property).collect();
    let model = ModelProto { metadata_props, ..graph().clone() };
    let Ok(artifact) = Artifact::decode(&model.encode_to_vec()) else { return };
    check_round_trip(&artifact);
    let _ = artifact.encode_subgraph();
    load(&artifact.metadata);
}

/// Returns the graph of an artifact without properties.
fn graph() -> &'static ModelProto {
    static GRAPH: OnceLock<ModelProto> = OnceLock::new();
    GRAPH.get_or_init(|| {
        let artifact = include_bytes!("../corpus/model/artifact-logistic.onnx");
        ModelProto { metadata_props: Vec::new(), ..decode_model(artifact).unwrap() }
    })
}

/// Checks that an artifact can be written and reads the same.
fn check_round_trip(artifact: &Artifact) {
    let Ok(written) = Artifact::new(graph().clone(), artifact.metadata.clone()) else { return };
    let again = Artifact::decode(&written.encode()).unwrap();
    assert_eq!(artifact.metadata, again.metadata);
}

/// Uses the metadata as an engine does before and while it serves.
fn load(metadata: &Metadata) {
    let Metadata { schema, profile, .. } = metadata;
    let encoded = encoded_rows(metadata);
    assert_eq!(encoded.dim(), (metadata.golden.rows.len(), schema.features.len()));
    let compared = ComparedRows::of(metadata, &"0123456789abcdef".repeat(4));
    assert!(compared.len() >= metadata.golden.rows.len());

    let metrics = Metrics::new().unwrap();
    metrics.business("fuzzed", 1, schema);
    let _ = ModelVersion::new("fuzzed", 1, "", schema);
    let config = DriftConfig {
        window_rows: 100,
        window: Duration::from_secs(60),
        min_rows: 1,
        sample: 1.0,
        max_rows_per_second: 1_000_000,
        alpha: 0.01,
        psi_threshold: 0.1,
    };
    let drift = Drift::new(schema, profile, config);
    for (row, features) in metadata.golden.rows.iter().zip(encoded.outer_iter()) {
        drift.observe_predictions(&features.to_vec(), &row.prediction.single());
    }
    serde_json::to_string(&drift.report()).unwrap();

    let parser = RowParser::new(schema.clone());
    let _ = parser.parse(b"{}", RowsLimits::of_rows(1), true);
}
