//! External files of other people's libraries: each is served as what it is, and as ONNX Runtime in Python answers.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use onnward_onnx::proto::tensor_proto::DataType;
use onnward_onnx::proto::tensor_shape_proto::{Dimension, dimension};
use onnward_onnx::proto::{
    GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorShapeProto, TypeProto, ValueInfoProto,
    type_proto,
};
use onnward_onnx::{ArtifactError, BoundsError, ExternalError, ExternalModel, ModelBounds, inline_functions};
use onnward_rows::{RowParser, RowsLimits};
use onnward_runtime::backend::{Backend, BackendKind};
use onnward_runtime::verify::{ModelFile, VerifiedModel, Verifier};
use onnward_schemas::{LabelledPrediction, Predictions, Schema, Task};
use prost::Message;
use serde_json::{Map, Value, json};

use crate::support::{backends, root};

/// A case of the zoo.
struct Case {
    name: String,
    file: Vec<u8>,
    config: Option<String>,
    described: Value,
}

fn cases(folder: &str) -> Vec<Case> {
    let folder = root().join("tests/external").join(folder);
    let mut folders: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    let read = |folder: &Path| Case {
        name: folder.file_name().unwrap().to_str().unwrap().to_owned(),
        file: as_published(std::fs::read(folder.join("model.onnx")).unwrap()),
        config: std::fs::read_to_string(folder.join("config.toml")).ok(),
        described: serde_json::from_slice(&std::fs::read(folder.join("case.json")).unwrap()).unwrap(),
    };
    folders.iter().map(|folder| read(folder)).collect()
}

/// Returns a file as it is published.
fn as_published(file: Vec<u8>) -> Vec<u8> {
    match ExternalModel::decode("external", &file, None) {
        Err(ExternalError::Onnx(ArtifactError::Bounds(BoundsError::Functions))) => {
            inline_functions(&file, &ModelBounds::default()).unwrap().unwrap()
        }
        _ => file,
    }
}

impl Case {
    fn verify(&self, backend: &Arc<dyn Backend>) -> Result<VerifiedModel, String> {
        let file = ModelFile { config: self.config.as_deref(), ..ModelFile::new(&self.file) };
        let verified = Verifier::new(vec![Arc::clone(backend)]).verify(&self.name, &file);
        verified.map_err(|error| error.to_string())
    }

    /// Returns the rows as a client sends them: an input of several columns becomes as many fields.
    fn body(&self, model: &ExternalModel) -> Value {
        let rows = self.described["rows"].as_array().unwrap().iter().map(|row| {
            let mut fields = Map::new();
            for input in &model.inputs {
                let value = &row[&input.name];
                let names = model.schema.features[input.features.clone()].iter().map(|feature| &feature.name);
                match value {
                    Value::Array(values) if input.features.len() > 1 => {
                        fields.extend(names.cloned().zip(values.iter().cloned()));
                    }
                    value => fields.extend(names.cloned().zip([value.clone()])),
                }
            }
            Value::Object(fields)
        });
        rows.collect()
    }

    /// Scores all rows at once and one by one, and compares both with the expected answers.
    fn check(&self, model: &mut VerifiedModel) -> Result<(), String> {
        let external = ExternalModel::decode(&self.name, &self.file, self.config.as_deref());
        let external = external.map_err(|error| error.to_string())?;
        let parser = RowParser::new(model.schema().clone());
        let parse = |body: &Value| {
            let parsed = parser.parse(body.to_string().as_bytes(), RowsLimits::NONE, false);
            parsed.map(|parsed| parsed.rows).map_err(|error| format!("{error:?}"))
        };
        let body = self.body(&external);
        let rows = parse(&body)?;
        let batch = model.score(&rows).map_err(|error| error.to_string())?;
        for (row, fields) in body.as_array().unwrap().iter().enumerate() {
            let alone = model.score(&parse(fields)?).map_err(|error| error.to_string())?;
            let expected = self.expected(row);
            let slack = self.described["batch_difference"].as_f64().unwrap_or_default();
            for (scored, at, how, slack) in [(&alone, 0, "alone", 0.0), (&batch, row, "in a batch", slack)] {
                let answer = answered(model.schema(), scored, at);
                let difference = self.differs(model.schema(), &expected, &answer, slack);
                if let Some(difference) = difference {
                    return Err(format!("row {row} {how}: {difference}"));
                }
            }
        }
        Ok(())
    }

    fn expected(&self, row: usize) -> BTreeMap<String, Value> {
        let outputs = self.described["expected"].as_object().unwrap();
        outputs.iter().map(|(name, values)| (name.clone(), self.activated(&values[row]))).collect()
    }

    /// Returns an answer of logits as probabilities, where the configuration says that it holds logits.
    fn activated(&self, value: &Value) -> Value {
        let config = self.config.as_deref().unwrap_or_default();
        match value {
            Value::Array(logits) if config.contains("\"softmax\"") => {
                let exponents: Vec<f64> = logits.iter().map(|logit| logit.as_f64().unwrap().exp()).collect();
                let sum: f64 = exponents.iter().sum();
                json!(exponents.iter().map(|exponent| exponent / sum).collect::<Vec<_>>())
            }
            Value::Number(logit) if config.contains("\"sigmoid\"") => {
                json!(1.0 / (1.0 + (-logit.as_f64().unwrap()).exp()))
            }
            other => other.clone(),
        }
    }

    /// Says how an answer differs from what is expected of the graph's outputs.
    /// Python's own ONNX Runtime differs by `slack` between a row alone and in a batch.
    fn differs(
        &self,
        schema: &Schema,
        expected: &BTreeMap<String, Value>,
        answer: &Value,
        slack: f64,
    ) -> Option<String> {
        let tolerance = slack + if self.is_double() { 1e-12 } else { 1e-6 };
        let apart = |what: &str, one: &Value, other: &Value| {
            (!close(one, other, tolerance)).then(|| format!("{what} is {other} instead of {one}"))
        };
        let label = &schema.label;
        match &label.task {
            Task::Raw(outputs) => outputs.fields.iter().find_map(|field| {
                let expected = expected.get(&field.name)?;
                apart(&field.name, expected, &answer["outputs"][&field.name])
            }),
            Task::Binary(binary) => {
                let found: Vec<Value> =
                    expected.values().filter_map(|value| self.probability(value, &binary.positive)).collect();
                let probability = &answer["probability"];
                // A row without an answer has none here either.
                if probability.is_null() {
                    return found.iter().all(|value| !value.is_null()).then(|| "it has no answer".to_owned());
                }
                let is_found = found.iter().any(|value| close(value, probability, tolerance));
                (!is_found).then(|| format!("the probability is {probability}, which is none of {found:?}"))
            }
            Task::Classes(classes) => {
                let class = &answer[&label.name];
                let is_class = |value: &&Value| match value {
                    Value::String(text) => Some(text.as_str()) == class.as_str(),
                    Value::Number(number) => Some(number.to_string().as_str()) == class.as_str(),
                    _ => false,
                };
                let labels = expected.values().filter(|value| value.is_string() || value.is_i64());
                if labels.clone().next().is_some() && !labels.clone().any(|value| is_class(&value)) {
                    return Some(format!("the class is {class} instead of one of {expected:?}"));
                }
                let scores = expected.values().find(|value| value.is_array() || value.is_object())?;
                classes.values.iter().enumerate().find_map(|(index, class)| {
                    let expected = scores.get(class).or_else(|| scores.get(index))?;
                    let probability = answer["probabilities"].get(class)?;
                    apart(class, expected, probability)
                })
            }
            Task::Number => {
                let is_found = expected.values().any(|value| close(value, &answer[&label.name], tolerance));
                (!is_found).then(|| format!("the number is {} instead of {expected:?}", answer[&label.name]))
            }
        }
    }

    /// Returns the number of the positive label in an output's answer.
    fn probability(&self, value: &Value, positive: &str) -> Option<Value> {
        match value {
            Value::Object(by_label) => by_label.get(positive).cloned(),
            Value::Array(columns) if columns.len() == 2 => columns.get(1).cloned(),
            Value::Number(number) if number.is_f64() => Some(value.clone()),
            Value::Null => Some(Value::Null),
            _ => None,
        }
    }

    fn is_double(&self) -> bool {
        let outputs = self.described["outputs"].as_array().unwrap();
        outputs.iter().all(|output| output["type"] != "float" && output["type"] != "float16")
            && outputs.iter().any(|output| output["type"] == "double")
    }
}

/// Returns the answer to a row as a client reads it. A row that failed has an empty one.
fn answered(schema: &Schema, scored: &Predictions, row: usize) -> Value {
    let prediction = scored.row(row).unwrap();
    if !prediction.is_finite() || scored.failures.iter().any(|failure| failure.row == row) {
        return json!({});
    }
    let labelled = LabelledPrediction { task: &schema.label.task, key: &schema.label.name, prediction };
    serde_json::from_str(&serde_json::to_string(&labelled).unwrap()).unwrap()
}

/// Returns whether two answers agree: numbers within a tolerance, all else exactly.
fn close(one: &Value, other: &Value, tolerance: f64) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => {
            let (one, other) = (one.as_f64().unwrap(), other.as_f64().unwrap());
            (one - other).abs() <= tolerance * one.abs().max(other.abs()).max(1.0)
        }
        (Value::Array(ones), Value::Array(others)) if ones.len() == others.len() => {
            ones.iter().zip(others).all(|(one, other)| close(one, other, tolerance))
        }
        // A row or an answer of one value is that value.
        (one, Value::Array(only)) if only.len() == 1 && !one.is_array() => close(one, &only[0], tolerance),
        (Value::Object(ones), Value::Object(others)) => {
            ones.len() == others.len()
                && ones
                    .iter()
                    .all(|(key, one)| others.get(key).is_some_and(|other| close(one, other, tolerance)))
        }
        (one, other) => one == other,
    }
}

/// Serves a case on a backend, and returns the kind of its answers or what is wrong.
fn outcome(case: &Case, backend: &Arc<dyn Backend>) -> Result<&'static str, String> {
    let mut model = case.verify(backend)?;
    let kind = model.schema().label.task.kind().name();
    case.check(&mut model).map(|()| kind)
}

/// The kind of a case's answers on each backend, or what is wrong.
type Outcomes = Vec<(BackendKind, Result<&'static str, String>)>;

/// The files that no runtime is given, because they are not bounded or not supported.
const NOT_SERVED: [&str; 1] = ["net_loop"];

#[test]
fn every_file_of_the_zoo_is_answered_as_onnx_runtime_in_python_answers() {
    let backends = backends();
    let mut results: Vec<(Case, Outcomes)> = Vec::new();
    for case in cases("zoo") {
        let outcomes = backends.iter().map(|backend| (backend.kind(), outcome(&case, backend))).collect();
        results.push((case, outcomes));
    }
    let failed = results.iter().flat_map(|(case, outcomes)| {
        let is_known = NOT_SERVED.contains(&case.name.as_str());
        let of_runtime =
            outcomes.iter().filter(move |(kind, _)| *kind == BackendKind::OnnxRuntime && !is_known);
        of_runtime.filter_map(|(_, outcome)| Some(format!("{}: {}", case.name, outcome.as_ref().err()?)))
    });
    let failed: Vec<String> = failed.collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    let on_tract = results.iter().flat_map(|(_, outcomes)| outcomes);
    let on_tract = on_tract.filter(|(kind, outcome)| *kind == BackendKind::Tract && outcome.is_ok()).count();
    assert!(on_tract >= 140, "only {on_tract} files are served by tract");
    if backends.len() < 2 {
        return;
    }
    let document = root().join("exporter/README.md");
    let text = std::fs::read_to_string(&document).unwrap();
    let (before, rest) = text.split_once(TABLE[0]).expect("the document has the table");
    let (shown, after) = rest.split_once(TABLE[1]).expect("the table has an end");
    let made = table(&results);
    if std::env::var_os("UPDATE_ZOO").is_some() {
        std::fs::write(&document, format!("{before}{}{made}{}{after}", TABLE[0], TABLE[1])).unwrap();
        return;
    }
    assert_eq!(shown, made, "run the test with UPDATE_ZOO=1 to write the table");
}

#[test]
fn what_cannot_be_served_is_refused_with_what_to_do() {
    for case in cases("bad") {
        // A normalizer's locale need not be installed here.
        let is_mended = case.name == "sk_tfidf_locale";
        // tract may run what ONNX Runtime refuses.
        let refuses = |backend: &Arc<dyn Backend>| {
            case.described.get("error").is_none() || backend.kind() == BackendKind::OnnxRuntime
        };
        for backend in backends().iter().filter(|backend| !is_mended && refuses(backend)) {
            if let Ok(model) = case.verify(backend) {
                panic!("{} is served by {} as {:?}", case.name, backend.kind(), model.schema().label.task);
            }
        }
    }
}

#[test]
fn a_text_model_is_served_where_its_locale_is_not_installed() {
    let named = |folder: &str, name: &str| cases(folder).into_iter().find(|case| case.name == name).unwrap();
    let (locale, common) = (named("bad", "sk_tfidf_locale"), named("zoo", "sk_tfidf"));
    let case = Case { file: locale.file, ..common };
    for backend in backends().iter().filter(|backend| backend.kind() == BackendKind::OnnxRuntime) {
        assert_eq!(outcome(&case, backend), Ok("binary"));
    }
}

/// The results of the files of one library that are answered alike.
#[derive(Default)]
struct Group {
    files: usize,
    served: BTreeMap<BackendKind, usize>,
    config: BTreeMap<String, usize>,
}

/// The beginning and the end of the table in the document.
const TABLE: [&str; 2] = ["<!-- the zoo of external files -->\n", "<!-- end of the zoo -->"];

/// Writes the table of what is served, and the files that are not, each with the reason.
fn table(results: &[(Case, Outcomes)]) -> String {
    let mut groups: BTreeMap<(String, &str), Group> = BTreeMap::new();
    let mut missing = String::new();
    for (case, outcomes) in results {
        let library = case.described["library"].as_str().unwrap();
        let library =
            library.split(" via ").next().unwrap().split(|c: char| c.is_ascii_digit()).next().unwrap();
        let kind =
            outcomes.iter().find_map(|(_, outcome)| outcome.as_ref().ok()).copied().unwrap_or("not served");
        let group = groups.entry((library.trim().to_owned(), kind)).or_default();
        group.files += 1;
        for key in case.config.as_deref().unwrap_or_default().lines().filter(|line| line.contains(" = ")) {
            let key = key.split(" = ").next().unwrap_or_default();
            let is_setting = ["kind", "activation", "rows_per_run"].contains(&key);
            *group.config.entry(if is_setting { key } else { "[[example]]" }.to_owned()).or_default() += 1;
        }
        let lacking: Vec<&str> =
            outcomes.iter().filter(|(_, outcome)| outcome.is_err()).map(|(kind, _)| kind.name()).collect();
        for (backend, outcome) in outcomes {
            *group.served.entry(*backend).or_default() += usize::from(outcome.is_ok());
        }
        if !lacking.is_empty() {
            let what = case.described["what"].as_str().unwrap();
            writeln!(missing, "- not on {}: `{}`. {what}", lacking.join(" and "), case.name).unwrap();
        }
    }
    let mut text =
        "| from | answered as | files | ONNX Runtime | tract | config.toml |\n|---|---|---|---|---|---|\n"
            .to_owned();
    for ((library, kind), group) in groups {
        let served = |kind| group.served.get(&kind).copied().unwrap_or_default();
        let (onnxruntime, tract) = (served(BackendKind::OnnxRuntime), served(BackendKind::Tract));
        let keys: Vec<String> = group.config.keys().map(|key| format!("`{key}` for some")).collect();
        let config = if keys.is_empty() { "nothing".to_owned() } else { keys.join(", ") };
        writeln!(text, "| {library} | {kind} | {} | {onnxruntime} | {tract} | {config} |", group.files)
            .unwrap();
    }
    format!("{text}\n{missing}")
}

/// Returns a graph that returns its input, a list of lists for each row.
fn lists() -> Vec<u8> {
    let size = |name: &str| Dimension {
        value: Some(dimension::Value::DimParam(name.to_owned())),
        ..Dimension::default()
    };
    let shape = TensorShapeProto { dim: ["n", "t", "u"].map(size).to_vec() };
    let tensor = type_proto::Tensor { elem_type: Some(DataType::Float as i32), shape: Some(shape) };
    let value = |name: &str| ValueInfoProto {
        name: Some(name.to_owned()),
        r#type: Some(TypeProto {
            value: Some(type_proto::Value::TensorType(tensor.clone())),
            ..TypeProto::default()
        }),
        ..ValueInfoProto::default()
    };
    let node = NodeProto {
        op_type: Some("Identity".to_owned()),
        input: vec!["x".to_owned()],
        output: vec!["y".to_owned()],
        ..NodeProto::default()
    };
    let graph = GraphProto {
        name: Some("lists".to_owned()),
        node: vec![node],
        input: vec![value("x")],
        output: vec![value("y")],
        ..GraphProto::default()
    };
    let opset = OperatorSetIdProto { version: Some(17), ..OperatorSetIdProto::default() };
    let model = ModelProto {
        ir_version: Some(8),
        opset_import: vec![opset],
        graph: Some(graph),
        ..ModelProto::default()
    };
    model.encode_to_vec()
}

#[test]
fn a_row_of_empty_lists_keeps_its_place_among_others() {
    let file = lists();
    for backend in backends() {
        let verified = Verifier::new(vec![Arc::clone(&backend)]).verify("lists", &ModelFile::new(&file));
        let mut model = verified.unwrap();
        let parser = RowParser::new(model.schema().clone());
        let rows = [json!([[]]), json!([[7.0]]), json!([]), json!([[1.0, 2.0], [3.0, 4.0]]), json!([[]])];
        let body: Value = rows.iter().map(|row| json!({ "x": row })).collect();
        let parsed = parser.parse(body.to_string().as_bytes(), RowsLimits::NONE, false).unwrap();
        let scored = model.score(&parsed.rows).unwrap();
        assert_eq!(scored.len(), rows.len(), "{}", backend.kind());
        for (row, expected) in rows.iter().enumerate() {
            let answer = answered(model.schema(), &scored, row);
            assert_eq!(answer["outputs"]["y"], *expected, "row {row} on {}", backend.kind());
        }
    }
}
