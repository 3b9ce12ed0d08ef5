//! The choice of the output that is the probability, and of its label.

use onnward_schemas::Label;

use super::ExternalError;
use super::config::OutputConfig;
use super::graph::{Makers, class_labels, declared};
use crate::probability::{Activation, ProbabilityOutput};
use crate::proto::tensor_proto::DataType;
use crate::proto::{GraphProto, TypeProto, ValueInfoProto, type_proto};

/// The names under which scikit-learn's and LightGBM's converters write probabilities.
const USUAL_NAMES: [&str; 3] = ["probabilities", "output_probability", "probability"];
const LABEL_NAME: &str = "positive";

/// The chosen output.
pub struct ChosenOutput {
    /// The way to read the probability.
    pub output: ProbabilityOutput,
    /// The label of the probability.
    pub label: Label,
    /// The description of the output, under the name of the tensor itself.
    pub described: ValueInfoProto,
}

/// An output of float numbers.
struct Candidate {
    /// The name of the graph's output.
    name: String,
    /// The name of the tensor; for the output of a ZipMap, that of its input.
    tensor: String,
    element: DataType,
    /// The number of columns, if known.
    columns: Option<usize>,
    /// The labels of the columns, if the graph lists them.
    labels: Vec<String>,
}

/// Chooses the output that holds the probability, and its column.
pub fn choose(graph: &GraphProto, config: &OutputConfig) -> Result<ChosenOutput, ExternalError> {
    let makers = Makers::of(graph);
    let candidates: Vec<Candidate> =
        graph.output.iter().filter_map(|output| candidate(&makers, output)).collect();
    let candidate = pick(graph, &candidates, config)?;
    let seems_logits = candidate.tensor.to_lowercase().contains("logit");
    if seems_logits && config.activation.is_none() {
        return Err(ExternalError::Logits { output: candidate.name.clone() });
    }
    let column = column_of(candidate, config)?;
    let activation = config.activation.map(Activation::from).unwrap_or_default();
    if activation == Activation::Softmax && candidate.columns == Some(1) {
        return Err(ExternalError::SoftmaxOfOne { output: candidate.name.clone() });
    }
    Ok(ChosenOutput {
        output: ProbabilityOutput { name: candidate.tensor.clone(), column, activation },
        label: label_of(&candidate.labels, column, config),
        described: described(candidate),
    })
}

fn candidate(makers: &Makers<'_>, output: &ValueInfoProto) -> Option<Candidate> {
    let name = output.name().to_owned();
    let zip_map = makers.find(&name).filter(|node| node.op_type() == "ZipMap");
    if let Some(zip_map) = zip_map {
        let tensor = zip_map.input.first()?.clone();
        let labels = class_labels(zip_map);
        let columns = Some(labels.len()).filter(|count| *count > 0);
        return Some(Candidate { name, tensor, element: DataType::Float, columns, labels });
    }
    let declared = declared(output)?;
    let element = declared.element.filter(|found| matches!(found, DataType::Float | DataType::Double))?;
    let columns = match declared.shape.as_deref() {
        Some([_]) => Some(1),
        Some([_, columns]) => columns.and_then(|columns| usize::try_from(columns).ok()),
        Some(_) => return None,
        None => None,
    };
    let labels = makers.labels_behind(&name);
    Some(Candidate { tensor: name.clone(), name, element, columns, labels })
}

fn pick<'c>(
    graph: &GraphProto,
    candidates: &'c [Candidate],
    config: &OutputConfig,
) -> Result<&'c Candidate, ExternalError> {
    let names = || candidates.iter().map(|candidate| candidate.name.clone()).collect();
    if candidates.is_empty() {
        let outputs = graph.output.iter().map(|output| output.name().to_owned()).collect();
        return Err(ExternalError::NoOutput { outputs });
    }
    let named = |name: &str| candidates.iter().find(|candidate| candidate.name == name);
    if let Some(name) = &config.name {
        return named(name)
            .ok_or_else(|| ExternalError::UnknownOutput { name: name.clone(), outputs: names() });
    }
    match (USUAL_NAMES.into_iter().find_map(named), candidates) {
        (Some(usual), _) => Ok(usual),
        (None, [only]) => Ok(only),
        (None, _) => Err(ExternalError::AmbiguousOutput { outputs: names() }),
    }
}

fn column_of(candidate: &Candidate, config: &OutputConfig) -> Result<Option<usize>, ExternalError> {
    let Candidate { name: output, labels, .. } = candidate;
    let columns = candidate.columns.or(Some(labels.len()).filter(|count| *count > 0));
    let column = match (config.column, &config.label) {
        (Some(_), Some(_)) => return Err(ExternalError::ColumnAndLabel),
        (Some(column), None) => column,
        (None, Some(_)) if labels.is_empty() => {
            return Err(ExternalError::NoLabels { output: output.clone() });
        }
        (None, Some(label)) => {
            labels.iter().position(|known| known == label).ok_or_else(|| ExternalError::UnknownLabel {
                output: output.clone(),
                label: label.clone(),
                labels: labels.clone(),
            })?
        }
        (None, None) => {
            return match columns {
                Some(columns) if columns > 2 => Err(ExternalError::AmbiguousColumn {
                    output: output.clone(),
                    columns,
                    labels: labels.clone(),
                }),
                _ => Ok(None),
            };
        }
    };
    match columns {
        Some(columns) if column >= columns => {
            Err(ExternalError::ColumnBeyond { output: output.clone(), column, columns })
        }
        _ => Ok(Some(column)),
    }
}

fn label_of(labels: &[String], column: Option<usize>, config: &OutputConfig) -> Label {
    let name = config.label_name.clone().unwrap_or_else(|| LABEL_NAME.to_owned());
    let index = column.unwrap_or(1);
    let positive = labels.get(index).cloned().unwrap_or_else(|| index.to_string());
    let negative = match (labels, column) {
        ([first, second], _) => if index == 0 { second } else { first }.clone(),
        ([], None) => "0".to_owned(),
        _ => format!("not {positive}"),
    };
    Label { column: name.clone(), name, positive, negative }
}

/// Describes the output without its shape, because exporters do not always declare the actual one.
fn described(candidate: &Candidate) -> ValueInfoProto {
    let tensor = type_proto::Tensor { elem_type: Some(candidate.element as i32), shape: None };
    let value = Some(type_proto::Value::TensorType(tensor));
    ValueInfoProto {
        name: Some(candidate.tensor.clone()),
        r#type: Some(TypeProto { value, ..TypeProto::default() }),
        ..ValueInfoProto::default()
    }
}
