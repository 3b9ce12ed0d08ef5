//! The choice of what is answered of a graph's outputs.

use std::collections::HashSet;

use onnward_schemas::{Binary, Classes, Label, OutputElement, OutputField, Outputs, Task};

use super::ExternalError;
use super::config::{OutputConfig, OutputKind};
use super::graph::{Makers, class_labels, declared};
use super::meaning::{Meaning, source_of};
use crate::output_reader::{
    Activation, ClassesOutput, NumberOutput, OutputReader, ProbabilityOutput, RawOutput,
};
use crate::proto::tensor_proto::DataType;
use crate::proto::{GraphProto, TypeProto, ValueInfoProto, type_proto};

/// The names under which scikit-learn's and LightGBM's converters write probabilities.
const USUAL_NAMES: [&str; 3] = ["probabilities", "output_probability", "probability"];

/// The chosen outputs.
pub struct ChosenOutput {
    /// The way to read predictions.
    pub reader: OutputReader,
    /// The label of the predictions.
    pub label: Label,
    /// The descriptions of the outputs, under the names of the tensors themselves.
    pub described: Vec<ValueInfoProto>,
    /// What decided on it.
    pub decided_by: KindSource,
    /// The outputs that are neither answered nor the label of what is.
    pub unanswered: Vec<String>,
}

/// What decides on what is answered of a graph's outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KindSource {
    /// A key in `config.toml`.
    Config,
    /// The operators of the graph.
    Graph,
    /// Names and shapes, since the operators leave it open.
    Guess,
}

/// An output of the graph.
#[derive(Clone)]
struct Candidate {
    /// The name of the graph's output.
    name: String,
    /// The name of the tensor; for the output of a ZipMap, that of its input.
    tensor: String,
    element: DataType,
    /// The number of dimensions, with that of the rows, if known.
    rank: Option<usize>,
    /// The number of columns, if known.
    columns: Option<usize>,
    /// The labels of the columns, if the graph lists them.
    labels: Vec<String>,
    /// The keys of a map of each row, if the graph makes one.
    keys: Vec<String>,
    meaning: Meaning,
}

/// The outputs of a graph, and what the configuration says of them.
struct Choice<'a> {
    candidates: Vec<Candidate>,
    config: &'a OutputConfig,
}

/// Chooses the outputs that are answered.
pub fn choose(graph: &GraphProto, config: &OutputConfig) -> Result<ChosenOutput, ExternalError> {
    let makers = Makers::of(graph);
    let mut candidates: Vec<Candidate> =
        graph.output.iter().filter_map(|output| candidate(&makers, output)).collect();
    // Sequences and maps that no ZipMap makes, and types that JSON has no value for.
    let is_unreadable = |output: &&ValueInfoProto| candidate(&makers, output).is_none();
    let unreadable: Vec<String> =
        graph.output.iter().filter(is_unreadable).map(|output| output.name().to_owned()).collect();
    if let Some(joined) = joined_columns(&makers, &candidates) {
        candidates.retain(|candidate| !candidate.is_number());
        candidates.push(joined);
    }
    if candidates.is_empty() {
        let outputs = graph.output.iter().map(|output| output.name().to_owned()).collect();
        return Err(ExternalError::NoOutput { outputs });
    }
    if let Some(name) = repeated(candidates.iter().map(|one| &one.name)) {
        return Err(ExternalError::Twice { what: "output", name });
    }
    let choice = Choice { candidates, config };
    let (kind, decided_by) = choice.kind()?;
    let (reader, task) = match kind {
        OutputKind::Probability => choice.probability()?,
        OutputKind::Classes => choice.classes()?,
        OutputKind::Number => choice.number()?,
        OutputKind::Raw => choice.raw()?,
    };
    choice.check_keys(&task)?;
    check_labels(&task)?;
    let default = match &task {
        Task::Binary(_) => "positive",
        Task::Classes(_) => "class",
        Task::Number => "prediction",
        Task::Raw(_) => "outputs",
    };
    let name = config.label_name.clone().unwrap_or_else(|| default.to_owned());
    let tensors = reader.tensors();
    let mut described: Vec<ValueInfoProto> = Vec::new();
    for candidate in choice.candidates.iter().filter(|one| tensors.contains(&one.tensor.as_str())) {
        if described.iter().all(|other| other.name() != candidate.tensor) {
            described.push(described_tensor(candidate));
        }
    }
    let label_output = choice.label_output().map(|label| &label.name);
    let is_unanswered =
        |one: &&Candidate| !tensors.contains(&one.tensor.as_str()) && label_output != Some(&one.name);
    let left_out = choice.candidates.iter().filter(is_unanswered).map(|one| &one.name);
    let unanswered = left_out.chain(&unreadable).cloned().collect();
    let label = Label { column: name.clone(), name, task };
    Ok(ChosenOutput { reader, label, described, decided_by, unanswered })
}

/// Returns a name that occurs twice.
fn repeated<'c>(names: impl Iterator<Item = &'c String>) -> Option<String> {
    let mut seen = HashSet::new();
    names.into_iter().find(|name| !seen.insert(*name)).cloned()
}

/// Refuses classes and keys of a map that occur twice: an answer could hold one of them only.
fn check_labels(task: &Task) -> Result<(), ExternalError> {
    let twice = match task {
        Task::Classes(classes) => repeated(classes.values.iter()),
        Task::Raw(outputs) => outputs.fields.iter().find_map(|field| repeated(field.keys.iter())),
        Task::Binary(_) | Task::Number => None,
    };
    twice.map_or(Ok(()), |name| Err(ExternalError::Twice { what: "label", name }))
}

fn candidate(makers: &Makers<'_>, output: &ValueInfoProto) -> Option<Candidate> {
    let name = output.name().to_owned();
    let zip_map = makers.find(&name).filter(|node| node.op_type() == "ZipMap");
    if let Some(zip_map) = zip_map {
        let tensor = zip_map.input.first()?.clone();
        let labels = class_labels(zip_map);
        let columns = Some(labels.len()).filter(|count| *count > 0);
        let meaning = Meaning::of(makers, &tensor);
        let keys = labels.clone();
        let (element, rank) = (DataType::Float, Some(2));
        return Some(Candidate { name, tensor, element, rank, columns, labels, keys, meaning });
    }
    let declared = declared(output)?;
    let element = declared.element.filter(|element| element_of(*element).is_some())?;
    let columns = match declared.shape.as_deref() {
        Some([_]) => Some(1),
        Some([_, columns]) => columns.and_then(|columns| usize::try_from(columns).ok()),
        Some(_) | None => None,
    };
    let rank = declared.shape.map(|shape| shape.len());
    let labels = makers.labels_behind(&name);
    let meaning = Meaning::of(makers, &name);
    Some(Candidate { tensor: name.clone(), name, element, rank, columns, labels, keys: Vec::new(), meaning })
}

/// Joins outputs that are the columns of one matrix, one a label, as a converter writes them on request.
fn joined_columns(makers: &Makers<'_>, candidates: &[Candidate]) -> Option<Candidate> {
    let columns: Vec<&Candidate> = candidates.iter().filter(|one| one.is_number()).collect();
    let first = columns.first().filter(|_| columns.len() > 1)?;
    let matrix = source_of(makers, &first.name);
    let are_parts = |one: &&Candidate| one.name != matrix && source_of(makers, &one.name) == matrix;
    let labels = makers.labels_behind(matrix);
    (columns.iter().all(are_parts) && labels.len() == columns.len()).then(|| Candidate {
        name: matrix.to_owned(),
        tensor: matrix.to_owned(),
        columns: Some(labels.len()),
        rank: Some(2),
        keys: columns.iter().map(|one| one.name.clone()).collect(),
        labels,
        ..(*first).clone()
    })
}

/// Returns the type of an output's values. `None` for a type that is not answered.
fn element_of(element: DataType) -> Option<OutputElement> {
    Some(match element {
        DataType::Float | DataType::Double | DataType::Float16 | DataType::Bfloat16 => OutputElement::Number,
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => OutputElement::Integer,
        DataType::Uint8 | DataType::Uint16 | DataType::Uint32 | DataType::Uint64 => OutputElement::Integer,
        DataType::Bool => OutputElement::Boolean,
        DataType::String => OutputElement::Text,
        _ => return None,
    })
}

impl Candidate {
    /// Returns whether it holds numbers with fractions.
    fn is_number(&self) -> bool {
        element_of(self.element) == Some(OutputElement::Number)
    }

    /// Returns whether it may hold a label for each row.
    fn is_label(&self) -> bool {
        let is_scalar = self.columns == Some(1) || self.rank.is_none() || self.rank == Some(1);
        !self.is_number() && is_scalar
    }

    /// Returns whether it may hold numbers of rows and columns.
    fn is_matrix(&self) -> bool {
        self.is_number() && self.rank.is_none_or(|rank| rank <= 2)
    }
}

impl Choice<'_> {
    fn matrices(&self) -> Vec<&Candidate> {
        self.candidates.iter().filter(|one| one.is_matrix()).collect()
    }

    fn label_output(&self) -> Option<&Candidate> {
        let mut labels = self.candidates.iter().filter(|one| one.is_label());
        labels.next().filter(|_| labels.next().is_none())
    }

    /// Returns the labels of the classes, if the graph lists them: those that the label is looked up in, or those of
    /// the classifier behind the scores. A part of an ensemble may have other labels, so their number must be that of
    /// the columns.
    fn listed_labels(&self, scores: Option<&Candidate>) -> Vec<String> {
        let columns = scores.and_then(|scores| scores.columns);
        let fits =
            |labels: &&Vec<String>| !labels.is_empty() && columns.is_none_or(|count| count == labels.len());
        let of_label = self.label_output().map(|label| &label.labels);
        let of_scores = scores.map(|scores| &scores.labels);
        // The keys of a map are the labels, whatever the label output holds.
        let is_map = scores.is_some_and(|scores| !scores.keys.is_empty());
        let listed = if is_map { [of_scores, of_label] } else { [of_label, of_scores] };
        listed.into_iter().flatten().find(fits).cloned().unwrap_or_default()
    }

    /// Returns what is answered: what the configuration states, or what the graph shows.
    fn kind(&self) -> Result<(OutputKind, KindSource), ExternalError> {
        if let Some(kind) = self.stated_kind() {
            return Ok((kind, KindSource::Config));
        }
        let name = self.config.name.as_ref();
        let matrices = self.matrices();
        let named: Vec<&Candidate> =
            matrices.iter().copied().filter(|one| name.is_none_or(|name| one.name == *name)).collect();
        let usual = named.iter().copied().find(|one| USUAL_NAMES.contains(&one.name.as_str()));
        let Some(scores) = usual.or_else(|| only(&named)) else {
            let label = self.label_output().filter(|one| name.is_none_or(|name| one.name == *name));
            let is_class = matrices.is_empty() && label.is_some_and(|one| one.labels.len() > 1);
            return Ok(if is_class && self.candidates.len() == 1 {
                (OutputKind::Classes, KindSource::Graph)
            } else {
                (OutputKind::Raw, KindSource::Guess)
            });
        };
        if self.config.activation.is_some() {
            let is_binary =
                self.listed_labels(Some(scores)).len() <= 2 && scores.columns.is_none_or(|count| count <= 2);
            let kind = if is_binary { OutputKind::Probability } else { OutputKind::Classes };
            return Ok((kind, KindSource::Config));
        }
        if scores.meaning != Meaning::Unknown {
            return Ok((self.kind_of(scores), KindSource::Graph));
        }
        if scores.tensor.to_lowercase().contains("logit") {
            return Err(ExternalError::Logits { output: scores.name.clone() });
        }
        Ok((self.kind_of(scores), KindSource::Guess))
    }

    /// Returns what the configuration states, by its kind or by a key that one kind alone has.
    fn stated_kind(&self) -> Option<OutputKind> {
        let OutputConfig { kind, column, label, labels, threshold, .. } = self.config;
        if column.is_some() || label.is_some() || threshold.is_some() {
            return Some(kind.unwrap_or(OutputKind::Probability));
        }
        kind.or_else(|| labels.as_ref().map(|_| OutputKind::Classes))
    }

    /// Returns what the numbers of an output are.
    fn kind_of(&self, scores: &Candidate) -> OutputKind {
        let others = self.candidates.iter().filter(|one| one.name != scores.name).count();
        let has_only_label = others == 0 || (others == 1 && self.label_output().is_some());
        let is_usual = USUAL_NAMES.contains(&scores.name.as_str());
        let labels = self.listed_labels(Some(scores)).len();
        let columns = scores.columns.or(Some(labels).filter(|count| *count > 0));
        let is_rank_1 = scores.rank == Some(1);
        match (scores.meaning, columns) {
            (Meaning::Number, Some(1)) if others == 0 => OutputKind::Number,
            (Meaning::Number, None) if others == 0 && is_rank_1 => OutputKind::Number,
            (Meaning::Number, _) => OutputKind::Raw,
            (Meaning::Probability, Some(1)) if has_only_label => OutputKind::Probability,
            (Meaning::Probability, Some(columns)) if columns > 1 && labels == 0 => OutputKind::Raw,
            (Meaning::Distribution | Meaning::Probability, Some(columns)) if columns > 2 => {
                OutputKind::Classes
            }
            (Meaning::Distribution | Meaning::Probability, _) => OutputKind::Probability,
            (Meaning::Unknown, Some(1)) if is_usual => OutputKind::Probability,
            (Meaning::Unknown, Some(1)) if others == 0 => OutputKind::Number,
            (Meaning::Unknown, Some(columns)) if columns > 2 && labels == columns => OutputKind::Classes,
            (Meaning::Unknown, Some(2)) if labels == 2 || is_usual => OutputKind::Probability,
            (Meaning::Unknown, None) if is_usual => OutputKind::Probability,
            (Meaning::Unknown, None) if others == 0 && is_rank_1 => OutputKind::Number,
            (Meaning::Unknown, _) => OutputKind::Raw,
        }
    }

    /// Refuses keys that mean nothing for what is answered.
    fn check_keys(&self, task: &Task) -> Result<(), ExternalError> {
        let OutputConfig { column, label, labels, activation, threshold, label_name, .. } = self.config;
        let (is_binary, is_class) = (matches!(task, Task::Binary(_)), matches!(task, Task::Classes(_)));
        let is_number = matches!(task, Task::Number);
        let keys = [
            ("column", column.is_some(), is_binary || is_number),
            ("label", label.is_some(), is_binary),
            ("labels", labels.is_some(), is_binary || is_class),
            ("activation", activation.is_some(), is_binary || is_class),
            ("threshold", threshold.is_some(), is_binary),
            ("label_name", label_name.is_some(), !matches!(task, Task::Raw(_))),
        ];
        match keys.into_iter().find(|(_, is_set, is_known)| *is_set && !is_known) {
            Some((key, ..)) => Err(ExternalError::KeyOfOtherKind { key, kind: kind_of_task(task).name() }),
            None => Ok(()),
        }
    }

    /// Returns the output of numbers that is read.
    fn pick(&self) -> Result<&Candidate, ExternalError> {
        let matrices = self.matrices();
        let names = || matrices.iter().map(|candidate| candidate.name.clone()).collect();
        if matrices.is_empty() {
            let outputs = self.candidates.iter().map(|one| one.name.clone()).collect();
            return Err(ExternalError::NoOutput { outputs });
        }
        let named = |name: &str| matrices.iter().copied().find(|candidate| candidate.name == name);
        if let Some(name) = &self.config.name {
            return named(name)
                .ok_or_else(|| ExternalError::UnknownOutput { name: name.clone(), outputs: names() });
        }
        match (USUAL_NAMES.into_iter().find_map(named), matrices.as_slice()) {
            (Some(usual), _) => Ok(usual),
            (None, [only]) => Ok(only),
            (None, _) => Err(ExternalError::AmbiguousOutput { outputs: names() }),
        }
    }

    fn activation(&self) -> Activation {
        self.config.activation.map(Activation::from).unwrap_or_default()
    }

    fn probability(&self) -> Result<(OutputReader, Task), ExternalError> {
        let candidate = self.pick()?;
        let output = &candidate.name;
        let seems_logits = candidate.tensor.to_lowercase().contains("logit");
        if seems_logits && self.config.activation.is_none() && candidate.meaning == Meaning::Unknown {
            return Err(ExternalError::Logits { output: output.clone() });
        }
        let labels = self.config.labels.clone().unwrap_or_else(|| self.listed_labels(Some(candidate)));
        let column = column_of(candidate, &labels, self.config)?;
        let activation = self.activation();
        if activation == Activation::Softmax && candidate.columns == Some(1) {
            return Err(ExternalError::SoftmaxOfOne { output: output.clone() });
        }
        let reader = ProbabilityOutput { name: candidate.tensor.clone(), column, activation };
        let binary = binary_of(&labels, column, self.config.threshold);
        Ok((OutputReader::Probability(reader), Task::Binary(binary)))
    }

    fn classes(&self) -> Result<(OutputReader, Task), ExternalError> {
        let label = self.label_output();
        let is_label_named = label.is_some_and(|label| self.config.name.as_ref() == Some(&label.name));
        let scores = match (self.matrices().is_empty() || is_label_named, label) {
            (true, Some(_)) => None,
            (true, None) => {
                let outputs = self.candidates.iter().map(|one| one.name.clone()).collect();
                return Err(ExternalError::NoOutput { outputs });
            }
            (false, _) => Some(self.pick()?),
        };
        let columns = scores.and_then(|scores| scores.columns);
        let classes = match &self.config.labels {
            Some(labels) => labels.clone(),
            None => self.listed_labels(scores),
        };
        let classes = match (classes.is_empty(), columns) {
            (false, _) => classes,
            (true, Some(columns)) => (0..columns).map(|column| column.to_string()).collect(),
            (true, None) => return Err(ExternalError::UnknownClasses),
        };
        // Numbers of another count are no probabilities of these classes.
        let fits = |scores: &&Candidate| scores.columns.is_none_or(|columns| columns == classes.len());
        if let Some(scores) = scores.filter(|scores| !fits(scores))
            && (label.is_none() || self.config.name.is_some() || self.config.labels.is_some())
        {
            let (output, columns) = (scores.name.clone(), scores.columns.unwrap_or_default());
            return Err(ExternalError::LabelCount { output, columns, labels: classes.len() });
        }
        let scores = scores.filter(|scores| fits(scores) && scores.meaning != Meaning::Number);
        let reader = ClassesOutput {
            label: label.map(|label| label.tensor.clone()),
            scores: scores.map(|scores| (scores.tensor.clone(), self.activation())),
            classes: classes.clone(),
        };
        Ok((OutputReader::Classes(reader), Task::Classes(Classes { values: classes })))
    }

    fn number(&self) -> Result<(OutputReader, Task), ExternalError> {
        let all: Vec<&Candidate> =
            self.candidates.iter().filter(|one| one.is_matrix() || one.is_label()).collect();
        let named = self.config.name.as_ref().map(|name| all.iter().copied().find(|one| one.name == *name));
        let candidate = match named {
            Some(Some(named)) => named,
            None if self.matrices().is_empty() && all.len() == 1 => all[0],
            Some(None) | None => self.pick()?,
        };
        let output = candidate.name.clone();
        match (candidate.columns, self.config.column) {
            (Some(columns), None) if columns > 1 => Err(ExternalError::SeveralNumbers { output, columns }),
            (Some(columns), Some(column)) if column >= columns => {
                Err(ExternalError::ColumnBeyond { output, column, columns })
            }
            (_, column) => {
                let reader = NumberOutput { name: candidate.tensor.clone(), column };
                Ok((OutputReader::Number(reader), Task::Number))
            }
        }
    }

    fn raw(&self) -> Result<(OutputReader, Task), ExternalError> {
        let is_named = |one: &&Candidate| self.config.name.as_ref().is_none_or(|name| one.name == *name);
        let raw = |one: &Candidate| RawOutput {
            tensor: one.tensor.clone(),
            field: OutputField {
                name: one.name.clone(),
                element: element_of(one.element).unwrap_or(OutputElement::Number),
                rank: one.rank.map(|rank| rank.saturating_sub(1)),
                keys: one.keys.clone(),
            },
        };
        let outputs: Vec<RawOutput> = self.candidates.iter().filter(is_named).map(raw).collect();
        if let (true, Some(name)) = (outputs.is_empty(), &self.config.name) {
            let outputs = self.candidates.iter().map(|one| one.name.clone()).collect();
            return Err(ExternalError::UnknownOutput { name: name.clone(), outputs });
        }
        let fields = outputs.iter().map(|output| output.field.clone()).collect();
        Ok((OutputReader::Raw(outputs), Task::Raw(Outputs { fields })))
    }
}

/// Returns the only item of a list.
fn only<'c>(candidates: &[&'c Candidate]) -> Option<&'c Candidate> {
    match candidates {
        [only] => Some(only),
        _ => None,
    }
}

fn kind_of_task(task: &Task) -> OutputKind {
    match task {
        Task::Binary(_) => OutputKind::Probability,
        Task::Classes(_) => OutputKind::Classes,
        Task::Number => OutputKind::Number,
        Task::Raw(_) => OutputKind::Raw,
    }
}

fn column_of(
    candidate: &Candidate,
    labels: &[String],
    config: &OutputConfig,
) -> Result<Option<usize>, ExternalError> {
    let output = &candidate.name;
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
                labels: labels.to_vec(),
            })?
        }
        (None, None) => {
            return match columns {
                Some(columns) if columns > 2 => Err(ExternalError::AmbiguousColumn {
                    output: output.clone(),
                    columns,
                    labels: labels.to_vec(),
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

fn binary_of(labels: &[String], column: Option<usize>, threshold: Option<f64>) -> Binary {
    let index = column.unwrap_or(1);
    let positive = labels.get(index).cloned().unwrap_or_else(|| index.to_string());
    let negative = match (labels, column) {
        ([first, second], _) => if index == 0 { second } else { first }.clone(),
        ([], None) => "0".to_owned(),
        _ => format!("not {positive}"),
    };
    Binary { positive, negative, threshold: threshold.unwrap_or(Binary::THRESHOLD) }
}

/// Describes an output without its shape, because exporters do not always declare the actual one.
fn described_tensor(candidate: &Candidate) -> ValueInfoProto {
    let tensor = type_proto::Tensor { elem_type: Some(candidate.element as i32), shape: None };
    let value = Some(type_proto::Value::TensorType(tensor));
    ValueInfoProto {
        name: Some(candidate.tensor.clone()),
        r#type: Some(TypeProto { value, ..TypeProto::default() }),
        ..ValueInfoProto::default()
    }
}
