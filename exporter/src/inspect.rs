//! The content of an ONNX file, for people and for scripts.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter, Write};

use onnward_onnx::proto::tensor_proto::DataType;
use onnward_onnx::proto::tensor_shape_proto::dimension;
use onnward_onnx::proto::{ValueInfoProto, type_proto};
use onnward_onnx::{Artifact, ArtifactError, ExternalModel, decode_model};
use onnward_schemas::{
    Binary, Criterion, Evaluation, FeatureKind, Figures, Provenance, Schema, Task, sha256_hex,
};
use serde::Serialize;

use crate::external::ExternalReading;

/// The content of an ONNX file.
#[derive(Debug, Serialize)]
pub struct Inspection {
    /// The SHA-256 of the file, in hexadecimal.
    pub sha256: String,
    /// The size of the file.
    pub size_bytes: usize,
    /// The program that wrote it, with its version.
    pub producer: String,
    /// The versions of the operator sets by domain; the standard one is `ai.onnx`.
    pub opsets: BTreeMap<String, i64>,
    /// The graph's inputs.
    pub inputs: Vec<ValueDescription>,
    /// The graph's outputs.
    pub outputs: Vec<ValueDescription>,
    /// The number of nodes of each operator.
    pub operators: BTreeMap<String, usize>,
    /// The metadata that the file carries, if Onnward wrote it.
    pub description: Option<Description>,
    /// The interpretation of an external file; `foreign` in the output.
    #[serde(rename = "foreign", skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalReading>,
    /// The reason why an external file cannot be served as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// An input or output of a graph.
#[derive(Debug, Serialize)]
pub struct ValueDescription {
    /// The name.
    pub name: String,
    /// The type of its elements.
    pub data_type: String,
    /// Its dimensions, each a size or a name.
    pub shape: Vec<String>,
}

/// The part of an artifact's metadata that is shown.
#[derive(Debug, Serialize)]
pub struct Description {
    /// The schema.
    pub schema: Schema,
    /// The schema's fingerprint.
    pub fingerprint: String,
    /// The model family.
    pub family: String,
    /// The settings with which it was fitted.
    pub parameters: BTreeMap<String, f64>,
    /// The evaluation of the model.
    pub evaluation: Evaluation,
    /// The number of golden rows.
    pub golden_rows: usize,
    /// The provenance of the model.
    pub provenance: Provenance,
}

/// Reads an ONNX file. `config` is the text of the `config.toml` beside an external one.
///
/// # Errors
/// [`ArtifactError`] if it is not ONNX, or claims to be an artifact and is invalid.
///
/// # Examples
/// ```
/// use onnward_exporter::export::export;
/// use onnward_exporter::inspect::inspect;
///
/// # use std::path::Path;
/// # use onnward_models::{CandidateParams, Dataset, Family, OnInvalid, SampleFormat, TrainingPlan};
/// # use onnward_models::{train, write_sample};
/// # use onnward_schemas::SchemaFile;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let file = SchemaFile::parse(
/// #     r#"
/// #     name = "shop"
/// #     version = 1
/// #     label = { column = "left", positive = "yes", negative = "no" }
/// #     [[features]]
/// #     name = "age"
/// #     type = "numeric"
/// #     min = 18
/// #     max = 90
/// #     "#,
/// # )?;
/// # let mut table = Vec::new();
/// # write_sample(&file, 300, 42, SampleFormat::Csv, &mut table, |_| ())?;
/// # let data = Dataset::parse(&table, Path::new("sample.csv"), &file.schema, OnInvalid::Fail)?;
/// # let candidates = vec![CandidateParams::default_of(Family::Logistic)];
/// # let plan = TrainingPlan { candidates, folds: 2, ..TrainingPlan::default() };
/// let run = train(&data, &plan, &|_| ())?;
/// let inspection = inspect(&export(&run.models[0])?.encode(), None)?;
/// assert_eq!(inspection.inputs[0].name, "age");
/// assert_eq!(inspection.operators["Sigmoid"], 1);
/// assert_eq!(inspection.description.map(|it| it.family).as_deref(), Some("logistic"));
/// # Ok(())
/// # }
/// ```
pub fn inspect(bytes: &[u8], config: Option<&str>) -> Result<Inspection, ArtifactError> {
    let model = decode_model(bytes)?;
    let description = match Artifact::decode(bytes) {
        Ok(artifact) => Some(describe(artifact)),
        Err(ArtifactError::External) => None,
        Err(error) => return Err(error),
    };
    let (external, problem) = match &description {
        Some(_) => (None, None),
        None => match ExternalModel::decode("foreign", bytes, config) {
            Ok(model) => (Some(ExternalReading::of(&model)), None),
            Err(error) => (None, Some(error.to_string())),
        },
    };
    let graph = model.graph.unwrap_or_default();
    let mut operators = BTreeMap::new();
    for node in &graph.node {
        *operators.entry(node.op_type().to_owned()).or_insert(0) += 1;
    }
    let domain = |domain: &str| if domain.is_empty() { "ai.onnx".to_owned() } else { domain.to_owned() };
    Ok(Inspection {
        sha256: sha256_hex(bytes),
        size_bytes: bytes.len(),
        producer: [model.producer_name.as_deref(), model.producer_version.as_deref()]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(" "),
        opsets: model.opset_import.iter().map(|set| (domain(set.domain()), set.version())).collect(),
        inputs: graph.input.iter().map(describe_value).collect(),
        outputs: graph.output.iter().map(describe_value).collect(),
        operators,
        description,
        external,
        problem,
    })
}

fn describe(artifact: Artifact) -> Description {
    let metadata = artifact.metadata;
    Description {
        fingerprint: metadata.schema.fingerprint(),
        schema: metadata.schema,
        family: metadata.family,
        parameters: metadata.parameters,
        evaluation: metadata.evaluation,
        golden_rows: metadata.golden.rows.len(),
        provenance: metadata.provenance,
    }
}

fn describe_value(value: &ValueInfoProto) -> ValueDescription {
    let tensor = match value.r#type.as_ref().and_then(|r#type| r#type.value.as_ref()) {
        Some(type_proto::Value::TensorType(tensor)) => Some(tensor),
        _ => None,
    };
    let data_type = tensor
        .and_then(|tensor| DataType::try_from(tensor.elem_type()).ok())
        .map_or("not a tensor", |data_type| data_type.as_str_name())
        .to_lowercase();
    let dimensions = tensor.and_then(|tensor| tensor.shape.as_ref()).map_or(&[][..], |shape| &shape.dim);
    let size = |dimension: Option<&dimension::Value>| match dimension {
        Some(dimension::Value::DimValue(size)) => size.to_string(),
        Some(dimension::Value::DimParam(name)) => name.clone(),
        None => "?".to_owned(),
    };
    ValueDescription {
        name: value.name().to_owned(),
        data_type,
        shape: dimensions.iter().map(|dimension| size(dimension.value.as_ref())).collect(),
    }
}

impl Display for Inspection {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let opsets: Vec<String> = self.opsets.iter().map(|(domain, set)| format!("{domain} {set}")).collect();
        let operators: Vec<String> =
            self.operators.iter().map(|(operator, count)| format!("{operator} ×{count}")).collect();
        writeln!(f, "sha256     {}", self.sha256)?;
        writeln!(f, "size       {} bytes", self.size_bytes)?;
        writeln!(f, "producer   {}", self.producer)?;
        writeln!(f, "opsets     {}", opsets.join(", "))?;
        writeln!(f, "operators  {}", operators.join(", "))?;
        write_values(f, "inputs", &self.inputs)?;
        write_values(f, "outputs", &self.outputs)?;
        match &self.description {
            Some(description) => write!(f, "{description}"),
            None => {
                writeln!(
                    f,
                    "\nThe file does not describe itself: it was not written by onnward-exporter.\n"
                )?;
                match (&self.external, &self.problem) {
                    (Some(external), _) => write!(f, "{external}"),
                    (None, problem) => {
                        writeln!(
                            f,
                            "It cannot be served as it is: {}",
                            problem.as_deref().unwrap_or_default()
                        )
                    }
                }
            }
        }
    }
}

fn write_values(f: &mut Formatter<'_>, title: &str, values: &[ValueDescription]) -> fmt::Result {
    writeln!(f, "\n{title}")?;
    for value in values {
        writeln!(f, "  {:<24} {:<8} [{}]", value.name, value.data_type, value.shape.join(", "))?;
    }
    Ok(())
}

impl Display for Description {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { schema, evaluation, .. } = self;
        writeln!(f, "\nschema     {} {} ({})", schema.name, schema.version, self.fingerprint)?;
        let mut kinds = String::new();
        for feature in &schema.features {
            let need = if feature.required { "" } else { ", optional" };
            let values = match &feature.kind {
                FeatureKind::Numeric { .. } | FeatureKind::Kept(_) => feature.expected(),
                FeatureKind::Categorical { values, .. } => values.join(" | "),
            };
            writeln!(kinds, "  {:<24} {values}{need}", feature.name)?;
        }
        f.write_str(&kinds)?;
        let label = &schema.label;
        let column = &label.column;
        match &label.task {
            Task::Binary(Binary { positive, threshold, .. }) => {
                writeln!(f, "label      {column} = {positive:?} from a probability of {threshold}")?;
            }
            Task::Classes(classes) => writeln!(f, "label      {column}: {}", classes.values.join(" | "))?,
            Task::Number => writeln!(f, "label      {column}, a number")?,
            Task::Raw(_) => {}
        }
        let parameters: Vec<String> =
            self.parameters.iter().map(|(name, value)| format!("{name} {value}")).collect();
        writeln!(f, "\nfamily     {} ({})", self.family, parameters.join(", "))?;
        let folds = &evaluation.cross_validation;
        writeln!(f, "rows       {} to train, {} to test", evaluation.train_rows, evaluation.test_rows)?;
        let criterion = match folds.criterion {
            Criterion::RocAuc => "CV AUC",
            Criterion::LogLoss => "CV loss",
            Criterion::Rmse => "CV RMSE",
        };
        writeln!(f, "{criterion:<10} {:.4} ± {:.4}", folds.mean, folds.std)?;
        match &evaluation.test {
            Figures::Binary(test) => writeln!(
                f,
                "test       AUC {:.4}, average precision {:.4}, accuracy {:.4}, F1 {:.4}, Brier {:.4}",
                test.roc_auc, test.average_precision, test.accuracy, test.f1, test.brier
            ),
            Figures::Classes(test) => writeln!(
                f,
                "test       log loss {:.4}, accuracy {:.4}, macro F1 {:.4}, weighted F1 {:.4}, one-vs-rest AUC {:.4}",
                test.log_loss, test.accuracy, test.macro_f1, test.weighted_f1, test.roc_auc_ovr
            ),
            Figures::Number(test) => writeln!(
                f,
                "test       RMSE {:.4}, MAE {:.4}, R² {:.4}, bias {:.4}",
                test.rmse, test.mae, test.r2, test.bias
            ),
        }?;
        writeln!(f, "golden     {} rows", self.golden_rows)?;
        writeln!(f, "data       sha256 {}", self.provenance.data_sha256)?;
        writeln!(f, "seed       {}", self.provenance.seed)?;
        let versions: Vec<String> = self
            .provenance
            .versions
            .iter()
            .map(|(library, version)| format!("{library} {version}"))
            .collect();
        writeln!(f, "made with  {}", versions.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use onnward_onnx::proto::{GraphProto, ModelProto};
    use prost::Message;

    use super::*;

    #[test]
    fn files_that_are_not_models_are_rejected_in_plain_words() {
        let rejected = |bytes: &[u8]| inspect(bytes, None).unwrap_err().to_string();
        assert_eq!(rejected(b""), "the file is empty: it is not an ONNX model");
        assert_eq!(rejected(b"customerID,gender"), "not an ONNX file");
        let model = ModelProto { ir_version: Some(8), ..ModelProto::default() };
        assert_eq!(rejected(&model.encode_to_vec()), "the file has no graph: it is not an ONNX model");
        let model = ModelProto { graph: Some(GraphProto::default()), ..model };
        let external = inspect(&model.encode_to_vec(), None).unwrap();
        assert!(external.description.is_none());
        assert!(external.to_string().contains("cannot be served as it is: it has no output"), "{external}");
    }
}
