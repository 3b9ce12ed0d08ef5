//! External files: their `config.toml`, rows with expected outputs, and what clients send for typed inputs.

use std::sync::Arc;

use onnward_onnx::ExternalModel;
use onnward_onnx::proto::{ModelProto, StringStringEntryProto};
use onnward_rows::{RowParser, RowsLimits};
use onnward_runtime::backend::{Backend, Tract};
use onnward_runtime::check::check;
use onnward_runtime::verify::{ModelFile, Verifier};
use prost::Message;

use super::model::Watched;
use super::sections::sections;

/// Files of several kinds of answers, and of inputs of single and double precision, whole numbers, Booleans and lists.
const FILES: [&[u8]; 6] = [
    include_bytes!("../../data/external/torch-logits.onnx"),
    include_bytes!("../../data/external/sklearn-pipeline.onnx"),
    include_bytes!("../../data/external/lightgbm.onnx"),
    include_bytes!("../../external/zoo/net_int64_sum/model.onnx"),
    include_bytes!("../../external/zoo/net_flags/model.onnx"),
    include_bytes!("../../external/zoo/net_double/model.onnx"),
];

const LIMITS: RowsLimits = RowsLimits::of_rows(20);

/// Runs the target. The sections `=== config`, `=== expected` and `=== body` are a `config.toml`, the property with the expected
/// rows, and a request. Each file has them.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let part = |wanted: &str| sections(text).find(|(name, _)| *name == wanted).map(|(_, part)| part);
    for file in FILES {
        let file = part("expected").map_or_else(|| file.to_vec(), |expected| with_expected(file, expected));
        serve(&file, part("config"), part("body"));
    }
}

/// Returns the file with a property that holds expected rows, whatever they are.
fn with_expected(file: &[u8], expected: &str) -> Vec<u8> {
    let mut model = ModelProto::decode(file).unwrap();
    model.metadata_props.push(StringStringEntryProto {
        key: Some("onnward.expected_rows".to_owned()),
        value: Some(expected.to_owned()),
    });
    model.encode_to_vec()
}

/// Serves a file as an engine does, if it can be.
fn serve(file: &[u8], config: Option<&str>, body: Option<&str>) {
    let Ok(read) = ExternalModel::decode("external", file, config) else { return };
    assert!(!read.typical_rows.is_empty());
    let backend: Arc<dyn Backend> = Arc::new(Watched(Tract::new()));
    let report = check(file, config, std::slice::from_ref(&backend)).unwrap();
    let expected = read.golden_rows();
    assert_eq!((report.golden_rows, report.unproven.is_none()), (expected, expected > 0));

    let file = ModelFile { config, ..ModelFile::new(file) };
    let verified = Verifier::new(vec![backend]).verify("external", &file);
    assert_eq!(verified.is_ok(), report.passed(), "{:?}", verified.err());
    let Ok(mut model) = verified else { return };
    let parser = RowParser::new(model.schema().clone());
    let Some(Ok(parsed)) = body.map(|body| parser.parse(body.as_bytes(), LIMITS, false)) else { return };
    if let Ok(scored) = model.score(&parsed.rows) {
        assert_eq!(scored.len(), parsed.rows.len);
    }
}
