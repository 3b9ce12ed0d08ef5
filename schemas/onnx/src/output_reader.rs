//! Reads the predictions from the tensors that a graph returns.

use onnward_schemas::{
    ClassPredictions, Numbers, OutputField, PredictedValues, Predictions, RowFailure, Task, TypedArray,
    TypedValues, shorten,
};

use crate::artifact::{PREDICTION, PROBABILITIES};

/// The way to read predictions from a graph's outputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutputReader {
    /// The probability of the positive label.
    Probability(ProbabilityOutput),
    /// A class.
    Classes(ClassesOutput),
    /// A number.
    Number(NumberOutput),
    /// The outputs as they are.
    Raw(Vec<RawOutput>),
}

/// The output with the probability of the positive label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbabilityOutput {
    /// The output's name. It holds float or double numbers of shape `[rows]` or `[rows, columns]`.
    pub name: String,
    /// The column of the positive label; by default, the only column or the second of two.
    pub column: Option<usize>,
    /// The function that turns the numbers into probabilities.
    pub activation: Activation,
}

/// The outputs with the class of a row: its label, a probability for each class, or both. One of them is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassesOutput {
    /// The output with the label: strings or whole numbers of shape `[rows]` or `[rows, 1]`. Without it, the class is
    /// the most probable one.
    pub label: Option<String>,
    /// The output with a number for each class: `[rows, classes]`.
    pub scores: Option<(String, Activation)>,
    /// The labels of the classes, as text, in the order of the columns.
    pub classes: Vec<String>,
}

/// The output with a number a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NumberOutput {
    /// The output's name. It holds numbers of shape `[rows]` or `[rows, columns]`.
    pub name: String,
    /// The column; by default, the only one.
    pub column: Option<usize>,
}

/// An output that is answered as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawOutput {
    /// The name of the tensor; for the output of a ZipMap, that of its input.
    pub tensor: String,
    /// The description of the output.
    pub field: OutputField,
}

/// A tensor does not hold what its reader expects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnexpectedOutput {
    /// The tensor.
    pub output: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// What was expected, in words.
    pub expected: &'static str,
}

/// The function that turns an output into probabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Activation {
    /// The output holds probabilities.
    #[default]
    None,
    /// 1 / (1 + exp(−x)), of each number by itself.
    Sigmoid,
    /// exp(x) over the sum of exp(x) of all columns of the row.
    Softmax,
}

impl OutputReader {
    /// Returns the reader of Onnward's own artifacts.
    pub fn of_artifact(task: &Task) -> Self {
        match task {
            Task::Binary(_) => Self::Probability(ProbabilityOutput {
                name: PROBABILITIES.to_owned(),
                column: Some(1),
                activation: Activation::None,
            }),
            Task::Classes(classes) => Self::Classes(ClassesOutput {
                label: None,
                scores: Some((PROBABILITIES.to_owned(), Activation::None)),
                classes: classes.values.clone(),
            }),
            Task::Number => Self::Number(NumberOutput { name: PREDICTION.to_owned(), column: None }),
            Task::Raw(outputs) => {
                let raw =
                    |field: &OutputField| RawOutput { tensor: field.name.clone(), field: field.clone() };
                Self::Raw(outputs.fields.iter().map(raw).collect())
            }
        }
    }

    /// Returns the names of the tensors that [`OutputReader::read`] takes, in their order: at least one.
    pub fn tensors(&self) -> Vec<&str> {
        match self {
            Self::Probability(output) => vec![&output.name],
            Self::Number(output) => vec![&output.name],
            Self::Classes(output) => {
                let scores = output.scores.iter().map(|(name, _)| name);
                output.label.iter().chain(scores).map(String::as_str).collect()
            }
            Self::Raw(outputs) => outputs.iter().map(|output| output.tensor.as_str()).collect(),
        }
    }

    /// Reads the predictions of `rows` rows from the tensors of a run.
    ///
    /// # Errors
    /// [`UnexpectedOutput`] if a tensor has another shape or type.
    pub fn read(&self, rows: usize, tensors: Vec<TypedArray>) -> Result<Predictions, UnexpectedOutput> {
        let mut tensors = tensors.into_iter();
        match self {
            Self::Probability(output) => {
                let tensor = tensors.next().unwrap_or_else(nothing);
                output.read(rows, tensor).map(|read| PredictedValues::Probabilities(read).into())
            }
            Self::Number(output) => {
                let tensor = tensors.next().unwrap_or_else(nothing);
                output.read(rows, tensor).map(|read| PredictedValues::Numbers(read).into())
            }
            Self::Classes(output) => output.read(rows, tensors),
            Self::Raw(outputs) => {
                let split = outputs.iter().zip(tensors).map(|(output, tensor)| output.split(rows, tensor));
                let split = split.collect::<Result<Vec<_>, _>>()?;
                let mut columns: Vec<_> = split.into_iter().map(Vec::into_iter).collect();
                let row = |_| columns.iter_mut().filter_map(Iterator::next).collect();
                Ok(PredictedValues::Outputs((0..rows).map(row).collect()).into())
            }
        }
    }

    /// Returns the predictions of a single row that failed.
    pub fn failed(&self, reason: String) -> Predictions {
        let values = match self {
            Self::Probability(_) => PredictedValues::Probabilities(Numbers::Single(vec![f32::NAN])),
            Self::Number(_) => PredictedValues::Numbers(Numbers::Single(vec![f32::NAN])),
            Self::Classes(output) => PredictedValues::Classes(ClassPredictions {
                indices: vec![ClassPredictions::NONE],
                probabilities: output
                    .scores
                    .as_ref()
                    .map(|_| Numbers::Single(vec![f32::NAN; output.classes.len()])),
            }),
            Self::Raw(_) => PredictedValues::Outputs(vec![Vec::new()]),
        };
        Predictions { values, failures: vec![RowFailure { row: 0, reason }] }
    }
}

/// Stands for a tensor that a run did not return.
fn nothing() -> TypedArray {
    TypedArray { shape: vec![0], values: TypedValues::Numbers(Numbers::Single(Vec::new())) }
}

/// Returns the number of columns of a tensor of rows; `None` if it is none.
fn columns_of(rows: usize, tensor: &TypedArray) -> Option<usize> {
    let columns = match tensor.shape.as_slice() {
        [count] if *count == rows => 1,
        [count, columns] if *count == rows => *columns,
        _ => return None,
    };
    (tensor.values.len() == rows * columns).then_some(columns)
}

fn unexpected(output: &str, tensor: &TypedArray, expected: &'static str) -> UnexpectedOutput {
    UnexpectedOutput { output: output.to_owned(), shape: tensor.shape.clone(), expected }
}

impl ProbabilityOutput {
    fn read(&self, rows: usize, tensor: TypedArray) -> Result<Numbers, UnexpectedOutput> {
        self.try_read(rows, &tensor)
            .ok_or_else(|| unexpected(&self.name, &tensor, "one probability for each row"))
    }

    fn try_read(&self, rows: usize, tensor: &TypedArray) -> Option<Numbers> {
        let columns = columns_of(rows, tensor)?;
        let TypedValues::Numbers(numbers) = &tensor.values else { return None };
        let column = self.column_of(columns)?;
        Some(match self.activation {
            Activation::None => numbers.column(column, columns),
            Activation::Sigmoid => numbers
                .column(column, columns)
                .map(|logit| 1.0 / (1.0 + (-logit).exp()), |logit| 1.0 / (1.0 + (-logit).exp())),
            Activation::Softmax => softmax(numbers, columns).column(column, columns),
        })
    }

    fn column_of(&self, columns: usize) -> Option<usize> {
        let softmax_of_one = self.activation == Activation::Softmax && columns < 2;
        let column = match (self.column, columns) {
            (Some(column), _) => Some(column),
            (None, 1) => Some(0),
            (None, 2) => Some(1),
            (None, _) => None,
        };
        column.filter(|column| *column < columns && !softmax_of_one)
    }
}

impl NumberOutput {
    fn read(&self, rows: usize, tensor: TypedArray) -> Result<Numbers, UnexpectedOutput> {
        let read = columns_of(rows, &tensor).and_then(|columns| {
            let column = self.column.or((columns == 1).then_some(0)).filter(|column| *column < columns)?;
            tensor.values.numbers().map(|numbers| numbers.column(column, columns))
        });
        read.ok_or_else(|| unexpected(&self.name, &tensor, "one number for each row"))
    }
}

impl ClassesOutput {
    fn read(
        &self,
        rows: usize,
        mut tensors: impl Iterator<Item = TypedArray>,
    ) -> Result<Predictions, UnexpectedOutput> {
        let label = self.label.as_ref().map(|name| (name, tensors.next().unwrap_or_else(nothing)));
        let scores = self.scores.as_ref().map(|scores| (scores, tensors.next().unwrap_or_else(nothing)));
        let probabilities = scores
            .map(|((name, activation), tensor)| self.read_scores(rows, name, *activation, tensor))
            .transpose()?;
        let mut failures = Vec::new();
        let indices = match label {
            None => {
                probabilities.as_ref().map(|all| most_probable(all, self.classes.len())).unwrap_or_default()
            }
            Some((name, tensor)) => {
                let labels = columns_of(rows, &tensor)
                    .filter(|columns| *columns == 1)
                    .and_then(|_| labels_as_text(&tensor.values));
                let labels = labels.ok_or_else(|| unexpected(name, &tensor, "one label for each row"))?;
                let index = |(row, label): (usize, String)| {
                    let index = self.classes.iter().position(|class| *class == label);
                    index.and_then(|index| u32::try_from(index).ok()).unwrap_or_else(|| {
                        let reason = format!(
                            "its output {name:?} is {label:?}, which is none of the classes {}: write those that it gives \
                             as `labels` under [output] in config.toml, or leave `labels` out",
                            listed(&self.classes)
                        );
                        failures.push(RowFailure { row, reason });
                        ClassPredictions::NONE
                    })
                };
                labels.into_iter().enumerate().map(index).collect()
            }
        };
        let values = PredictedValues::Classes(ClassPredictions { indices, probabilities });
        Ok(Predictions { values, failures })
    }

    fn read_scores(
        &self,
        rows: usize,
        name: &str,
        activation: Activation,
        tensor: TypedArray,
    ) -> Result<Numbers, UnexpectedOutput> {
        let classes = self.classes.len();
        let is_complete = columns_of(rows, &tensor) == Some(classes);
        match (tensor.values, is_complete) {
            (TypedValues::Numbers(numbers), true) => Ok(match activation {
                Activation::None => numbers,
                Activation::Sigmoid => {
                    numbers.map(|logit| 1.0 / (1.0 + (-logit).exp()), |logit| 1.0 / (1.0 + (-logit).exp()))
                }
                Activation::Softmax => softmax(&numbers, classes),
            }),
            (values, _) => {
                let tensor = TypedArray { shape: tensor.shape, values };
                Err(unexpected(name, &tensor, "a probability of each class for each row"))
            }
        }
    }
}

/// Returns the index of the largest number of each row, the first of equal ones. A row of NaN has none.
fn most_probable(numbers: &Numbers, classes: usize) -> Vec<u32> {
    let slice = numbers.as_slice();
    let rows = numbers.len() / classes.max(1);
    let winner = |row: usize| {
        let mut best: Option<(u32, f64)> = None;
        for class in 0..classes {
            let Some(number) = slice.get(row * classes + class).map(|number| number.to_f64()) else {
                continue;
            };
            if !number.is_nan() && best.is_none_or(|(_, most)| number > most) {
                best = u32::try_from(class).ok().map(|class| (class, number));
            }
        }
        best.map_or(ClassPredictions::NONE, |(class, _)| class)
    };
    (0..rows).map(winner).collect()
}

fn labels_as_text(values: &TypedValues) -> Option<Vec<String>> {
    match values {
        TypedValues::Texts(texts) => Some(texts.clone()),
        TypedValues::Integers(numbers) => Some(numbers.iter().map(i64::to_string).collect()),
        TypedValues::Unsigned(numbers) => Some(numbers.iter().map(u64::to_string).collect()),
        TypedValues::Booleans(values) => Some(values.iter().map(bool::to_string).collect()),
        TypedValues::Numbers(_) => None,
    }
}

impl RawOutput {
    /// Splits a tensor into its rows. A tensor of a single row may leave the dimension of the rows out.
    fn split(&self, rows: usize, tensor: TypedArray) -> Result<Vec<TypedArray>, UnexpectedOutput> {
        let TypedArray { shape, values } = tensor;
        if let [count, row_shape @ ..] = shape.as_slice()
            && *count == rows
        {
            let size: usize = row_shape.iter().product();
            let rows = (0..rows).map(|row| TypedArray {
                shape: row_shape.to_vec(),
                values: values.part(row * size..(row + 1) * size),
            });
            return Ok(rows.collect());
        }
        let tensor = TypedArray { shape, values };
        if rows == 1 {
            Ok(vec![tensor])
        } else {
            Err(unexpected(&self.field.name, &tensor, "values for each row"))
        }
    }
}

/// Returns the softmax of each row. The largest logit is subtracted, so that nothing overflows.
fn softmax(numbers: &Numbers, columns: usize) -> Numbers {
    macro_rules! softmax {
        ($numbers:expr, $float:ty) => {
            $numbers
                .chunks_exact(columns.max(1))
                .flat_map(|row| {
                    let largest = row.iter().copied().fold(<$float>::NEG_INFINITY, <$float>::max);
                    let sum: $float = row.iter().map(|other| (other - largest).exp()).sum();
                    row.iter().map(move |logit| (logit - largest).exp() / sum)
                })
                .collect()
        };
    }
    match numbers {
        Numbers::Single(numbers) => Numbers::Single(softmax!(numbers, f32)),
        Numbers::Double(numbers) => Numbers::Double(softmax!(numbers, f64)),
    }
}

/// Lists the first classes for a message.
fn listed(classes: &[String]) -> String {
    const LISTED: usize = 10;
    let first: Vec<String> =
        classes.iter().take(LISTED).map(|class| format!("{:?}", shorten(class))).collect();
    format!("{}{}", first.join(", "), if classes.len() > LISTED { " and others" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(shape: &[usize], numbers: &[f32]) -> TypedArray {
        let values = TypedValues::Numbers(Numbers::Single(numbers.to_vec()));
        TypedArray { shape: shape.to_vec(), values }
    }

    fn read(
        column: Option<usize>,
        activation: Activation,
        shape: &[usize],
        numbers: &[f32],
    ) -> Option<Vec<f32>> {
        let output = ProbabilityOutput { name: "y".into(), column, activation };
        let read = OutputReader::Probability(output).read(shape[0], vec![tensor(shape, numbers)]);
        read.ok().and_then(|read| read.probabilities().map(|all| all.to_vec()))
    }

    #[test]
    fn the_positive_column_is_the_only_one_or_the_second_of_two_or_the_one_that_is_named() {
        let none = Activation::None;
        assert_eq!(read(None, none, &[2], &[0.1, 0.2]), Some(vec![0.1, 0.2]));
        assert_eq!(read(None, none, &[2, 1], &[0.1, 0.2]), Some(vec![0.1, 0.2]));
        assert_eq!(read(None, none, &[2, 2], &[0.9, 0.1, 0.8, 0.2]), Some(vec![0.1, 0.2]));
        assert_eq!(read(Some(0), none, &[2, 2], &[0.9, 0.1, 0.8, 0.2]), Some(vec![0.9, 0.8]));
        assert_eq!(read(Some(2), none, &[1, 3], &[0.1, 0.2, 0.7]), Some(vec![0.7]));
        assert_eq!(read(None, none, &[1, 3], &[0.1, 0.2, 0.7]), None);
        assert_eq!(read(Some(1), none, &[2], &[0.1, 0.2]), None);
        assert_eq!(read(Some(1), none, &[2, 2], &[0.9, 0.1]), None, "it has too few numbers");
    }

    #[test]
    fn logits_become_probabilities_without_overflow() {
        assert_eq!(
            read(None, Activation::Sigmoid, &[3, 1], &[0.0, 200.0, -200.0]),
            Some(vec![0.5, 1.0, 0.0])
        );
        assert_eq!(read(None, Activation::Softmax, &[2, 2], &[3.0, 3.0, 0.0, 500.0]), Some(vec![0.5, 1.0]));
        assert_eq!(read(None, Activation::Softmax, &[1, 1], &[3.0]), None);
    }

    fn classes(label: Option<&str>, scores: Option<&str>) -> OutputReader {
        OutputReader::Classes(ClassesOutput {
            label: label.map(str::to_owned),
            scores: scores.map(|name| (name.to_owned(), Activation::None)),
            classes: ["a", "b", "3"].map(str::to_owned).to_vec(),
        })
    }

    #[test]
    fn a_class_is_the_label_of_the_graph_or_else_the_most_probable_one() {
        let scores = || tensor(&[2, 3], &[0.25, 0.5, 0.25, 0.5, 0.5, 0.0]);
        let indices = |read: Predictions| match read.values {
            PredictedValues::Classes(classes) => classes.indices,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            indices(classes(None, Some("p")).read(2, vec![scores()]).unwrap()),
            [1, 0],
            "the first of equal ones"
        );
        let label = TypedArray { shape: vec![2], values: TypedValues::Integers(vec![3, 3]) };
        let both = classes(Some("l"), Some("p"));
        assert_eq!(both.tensors(), ["l", "p"]);
        assert_eq!(indices(both.read(2, vec![label, scores()]).unwrap()), [2, 2]);
        let texts = |texts: [&str; 2]| TypedArray {
            shape: vec![2, 1],
            values: TypedValues::Texts(texts.map(str::to_owned).to_vec()),
        };
        let read = classes(Some("l"), None).read(2, vec![texts(["b", "z"])]).unwrap();
        assert_eq!(read.failures[0].row, 1);
        assert!(read.failures[0].reason.contains("\"z\""), "{:?}", read.failures);
        assert_eq!(indices(read), [1, ClassPredictions::NONE]);
    }

    #[test]
    fn outputs_of_any_rank_are_split_by_rows() {
        let raw = |name: &str| RawOutput {
            tensor: name.to_owned(),
            field: OutputField {
                name: name.to_owned(),
                element: onnward_schemas::OutputElement::Number,
                rank: None,
                keys: Vec::new(),
            },
        };
        let reader = OutputReader::Raw(vec![raw("a"), raw("b")]);
        let read = reader.read(2, vec![tensor(&[2], &[1.0, 2.0]), tensor(&[2, 1, 2], &[1.0, 2.0, 3.0, 4.0])]);
        let PredictedValues::Outputs(rows) = read.unwrap().values else { panic!("they are outputs") };
        assert_eq!(rows[1], [tensor(&[], &[2.0]), tensor(&[1, 2], &[3.0, 4.0])]);
        let whole = || vec![tensor(&[], &[7.0]), tensor(&[3], &[1.0, 2.0, 3.0])];
        assert!(reader.read(1, whole()).is_ok(), "a single row may have no dimension of its own");
        assert_eq!(reader.read(2, whole()).unwrap_err().output, "a");
    }

    #[test]
    fn a_tensor_of_another_type_is_no_number() {
        let reader = OutputReader::Number(NumberOutput { name: "y".into(), column: None });
        let integers = TypedArray { shape: vec![1, 1], values: TypedValues::Integers(vec![7]) };
        let seven = Predictions::from(PredictedValues::Numbers(Numbers::Double(vec![7.0])));
        assert_eq!(reader.read(1, vec![integers]), Ok(seven));
        let texts = TypedArray { shape: vec![1], values: TypedValues::Texts(vec!["7".into()]) };
        assert_eq!(reader.read(1, vec![texts]).unwrap_err().expected, "one number for each row");
        assert!(reader.read(1, Vec::new()).is_err());
    }
}
