//! The labels of rows.

use ndarray::ArrayView2;
use onnward_schemas::{GoldenPrediction, TaskKind, most_probable};

/// The labels of rows, by the task.
#[derive(Debug, Clone, PartialEq)]
pub enum Labels {
    /// Whether each row is positive.
    Binary(Vec<bool>),
    /// The class of each row.
    Classes(ClassLabels),
    /// The number of each row.
    Numbers(Vec<f64>),
}

/// The classes of rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassLabels {
    /// The index of each row's class in the label's values.
    pub indices: Vec<u32>,
    /// The number of classes.
    pub classes: usize,
}

impl ClassLabels {
    /// Counts the rows of each class.
    pub fn counts(&self) -> Vec<u64> {
        let mut counts = vec![0; self.classes];
        for class in &self.indices {
            if let Some(count) = counts.get_mut(*class as usize) {
                *count += 1;
            }
        }
        counts
    }
}

impl Labels {
    /// Returns the number of rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Binary(labels) => labels.len(),
            Self::Classes(labels) => labels.indices.len(),
            Self::Numbers(labels) => labels.len(),
        }
    }

    /// Returns whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the task that has such labels.
    pub fn task(&self) -> TaskKind {
        match self {
            Self::Binary(_) => TaskKind::Binary,
            Self::Classes(_) => TaskKind::Classes,
            Self::Numbers(_) => TaskKind::Number,
        }
    }

    /// Returns whether each row is positive. `None` for labels of any other task than a binary one.
    pub fn binary(&self) -> Option<&[bool]> {
        match self {
            Self::Binary(labels) => Some(labels),
            Self::Classes(_) | Self::Numbers(_) => None,
        }
    }

    /// Returns the labels of the rows with these indices.
    pub(crate) fn select(&self, indices: &[usize]) -> Self {
        match self {
            Self::Binary(labels) => Self::Binary(indices.iter().map(|index| labels[*index]).collect()),
            Self::Classes(ClassLabels { indices: labels, classes }) => Self::Classes(ClassLabels {
                indices: indices.iter().map(|index| labels[*index]).collect(),
                classes: *classes,
            }),
            Self::Numbers(labels) => Self::Numbers(indices.iter().map(|index| labels[*index]).collect()),
        }
    }

    /// Divides the rows into the groups that every part of a table shares evenly: the classes, those of a binary
    /// label negative first. Numbers are one group.
    pub(crate) fn strata(&self) -> Vec<Vec<usize>> {
        match self {
            Self::Binary(labels) => {
                let (positive, negative) = (0..labels.len()).partition(|row| labels[*row]);
                vec![negative, positive]
            }
            Self::Classes(labels) => {
                let mut strata = vec![Vec::new(); labels.classes];
                for (row, class) in labels.indices.iter().enumerate() {
                    strata[*class as usize].push(row);
                }
                strata
            }
            Self::Numbers(labels) => vec![(0..labels.len()).collect()],
        }
    }
}

/// The predictions of rows in double precision, by the task.
#[derive(Debug, Clone, PartialEq)]
pub enum Scores {
    /// The probability of the positive label: `[rows]`.
    Probabilities(Vec<f64>),
    /// The probability of each class: `[rows, classes]`.
    ClassProbabilities(ndarray::Array2<f64>),
    /// The numbers: `[rows]`.
    Numbers(Vec<f64>),
}

impl Scores {
    /// Returns the number of rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Probabilities(numbers) | Self::Numbers(numbers) => numbers.len(),
            Self::ClassProbabilities(probabilities) => probabilities.nrows(),
        }
    }

    /// Returns whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends the predictions of further rows of the same model.
    pub(crate) fn followed_by(self, more: Self) -> Self {
        match (self, more) {
            (Self::Probabilities(mut numbers), Self::Probabilities(more)) => {
                numbers.extend(more);
                Self::Probabilities(numbers)
            }
            (Self::Numbers(mut numbers), Self::Numbers(more)) => {
                numbers.extend(more);
                Self::Numbers(numbers)
            }
            (Self::ClassProbabilities(mut all), Self::ClassProbabilities(more)) => {
                for row in more.outer_iter() {
                    // A model has as many classes in each block.
                    let _ = all.push_row(row);
                }
                Self::ClassProbabilities(all)
            }
            (scores, _) => scores,
        }
    }

    /// Returns the prediction of each row as an artifact's golden row has it.
    pub(crate) fn golden(&self) -> Vec<GoldenPrediction> {
        match self {
            Self::Probabilities(all) => all.iter().map(|one| GoldenPrediction::Probability(*one)).collect(),
            Self::Numbers(all) => all.iter().map(|one| GoldenPrediction::Number(*one)).collect(),
            Self::ClassProbabilities(all) => {
                all.outer_iter().map(|row| GoldenPrediction::Probabilities(row.to_vec())).collect()
            }
        }
    }

    /// Returns the probability of the positive label. `None` for any other task than a binary one.
    pub fn probabilities(&self) -> Option<&[f64]> {
        match self {
            Self::Probabilities(probabilities) => Some(probabilities),
            Self::ClassProbabilities(_) | Self::Numbers(_) => None,
        }
    }
}

/// Returns the index of the most probable class of each row of `[rows, classes]`.
pub(crate) fn most_probable_classes(probabilities: ArrayView2<'_, f64>) -> Vec<usize> {
    probabilities.outer_iter().map(|row| most_probable(row.iter().copied())).collect()
}
