//! Measured performance of models of every task.

use onnward_schemas::{Figures, Task, TaskKind};
use serde::{Deserialize, Serialize};

use super::{
    ClassCount, ClassPerformance, LabelledClass, LabelledNumber, LabelledPrediction, NumberPerformance,
    Performance, ScoreCount,
};

/// A prediction whose label is known, by the model's task.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Labelled {
    /// Of a binary model.
    Binary(LabelledPrediction),
    /// Of a model of several classes.
    Class(LabelledClass),
    /// Of a model of a number.
    Number(LabelledNumber),
}

impl From<LabelledPrediction> for Labelled {
    fn from(labelled: LabelledPrediction) -> Self {
        Self::Binary(labelled)
    }
}

/// Predictions of one model whose labels are known.
#[derive(Debug, Clone, PartialEq)]
pub enum LabelledPredictions {
    /// Of a binary model.
    Binary(Vec<LabelledPrediction>),
    /// Of a model of several classes.
    Classes(Vec<LabelledClass>),
    /// Of a model of a number.
    Numbers(Vec<LabelledNumber>),
}

impl LabelledPredictions {
    /// Collects predictions of a model of this task. Leaves out those of another one. `None` for the outputs of an
    /// external graph, which have no label.
    pub fn collect(task: &Task, all: impl Iterator<Item = Labelled>) -> Option<Self> {
        let binary = |one| if let Labelled::Binary(one) = one { Some(one) } else { None };
        let class = |one| if let Labelled::Class(one) = one { Some(one) } else { None };
        let number = |one| if let Labelled::Number(one) = one { Some(one) } else { None };
        match task {
            Task::Binary(_) => Some(Self::Binary(all.filter_map(binary).collect())),
            Task::Classes(_) => Some(Self::Classes(all.filter_map(class).collect())),
            Task::Number => Some(Self::Numbers(all.filter_map(number).collect())),
            Task::Raw(_) => None,
        }
    }

    /// Returns how many there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Binary(all) => all.len(),
            Self::Classes(all) => all.len(),
            Self::Numbers(all) => all.len(),
        }
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the number of positive labels. `None` for any other task than a binary one.
    pub fn positives(&self) -> Option<u64> {
        match self {
            Self::Binary(all) => Some(all.iter().filter(|one| one.positive).count() as u64),
            Self::Classes(_) | Self::Numbers(_) => None,
        }
    }

    /// Computes the figures of a model of this task. Sorts the predictions. `None` if they are of another task.
    pub fn performance(&mut self, task: &Task) -> Option<TaskPerformance> {
        match (self, task) {
            // In single precision, as decisions are made.
            (Self::Binary(all), Task::Binary(binary)) => {
                Some(TaskPerformance::Binary(Performance::of(all, binary.threshold as f32)))
            }
            (Self::Classes(all), Task::Classes(classes)) => {
                Some(TaskPerformance::Classes(ClassPerformance::of(all, classes.values.len())))
            }
            (Self::Numbers(all), Task::Number) => Some(TaskPerformance::Number(NumberPerformance::of(all))),
            _ => None,
        }
    }

    /// Counts predictions that are sorted.
    pub fn counts(&self) -> MeasuredCounts {
        match self {
            Self::Binary(all) => MeasuredCounts::Binary(ScoreCount::of(all)),
            Self::Classes(all) => MeasuredCounts::Classes(ClassCount::of(all)),
            Self::Numbers(all) => MeasuredCounts::Numbers(all.clone()),
        }
    }
}

/// What the measured figures are made from, as the JSON of engines has it: those of several engines can be added.
///
/// The elements' lengths distinguish the tasks. None at all is [`MeasuredCounts::Binary`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum MeasuredCounts {
    /// Of a binary model.
    Binary(Vec<ScoreCount>),
    /// Of a model of several classes.
    Classes(Vec<ClassCount>),
    /// Of a model of a number.
    Numbers(Vec<LabelledNumber>),
}

impl Default for MeasuredCounts {
    fn default() -> Self {
        Self::Binary(Vec::new())
    }
}

impl MeasuredCounts {
    /// Returns whether nothing is counted.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Binary(counts) => counts.is_empty(),
            Self::Classes(counts) => counts.is_empty(),
            Self::Numbers(counts) => counts.is_empty(),
        }
    }

    /// Adds the counts of another engine. Returns whether they are of the same task; if not, nothing is added.
    #[must_use]
    pub fn join(&mut self, other: Self) -> bool {
        if other.is_empty() {
            return true;
        }
        if self.is_empty() {
            *self = other;
            return true;
        }
        match (self, other) {
            (Self::Binary(all), Self::Binary(more)) => all.extend(more),
            (Self::Classes(all), Self::Classes(more)) => all.extend(more),
            (Self::Numbers(all), Self::Numbers(more)) => all.extend(more),
            _ => return false,
        }
        true
    }

    /// Returns the predictions that were counted, of a model of this kind. `None` if they are more than `limit`, or
    /// of another kind.
    pub fn predictions(&self, kind: TaskKind, limit: u64) -> Option<LabelledPredictions> {
        match (kind, self) {
            (TaskKind::Classes, counts) if counts.is_empty() => {
                Some(LabelledPredictions::Classes(Vec::new()))
            }
            (TaskKind::Number, counts) if counts.is_empty() => Some(LabelledPredictions::Numbers(Vec::new())),
            (TaskKind::Binary, Self::Binary(counts)) => {
                ScoreCount::predictions(counts, limit).map(LabelledPredictions::Binary)
            }
            (TaskKind::Classes, Self::Classes(counts)) => {
                ClassCount::predictions(counts, limit).map(LabelledPredictions::Classes)
            }
            (TaskKind::Number, Self::Numbers(all)) => {
                (all.len() as u64 <= limit).then(|| LabelledPredictions::Numbers(all.clone()))
            }
            _ => None,
        }
    }
}

/// Measured figures, by the model's task.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum TaskPerformance {
    /// Of a binary model.
    Binary(Performance),
    /// Of a model of several classes.
    Classes(ClassPerformance),
    /// Of a model of a number.
    Number(NumberPerformance),
}

impl TaskPerformance {
    /// Returns the figures with their metric labels.
    pub fn figures(&self) -> Vec<(&'static str, Option<f64>)> {
        match self {
            Self::Binary(performance) => performance.figures().to_vec(),
            Self::Classes(performance) => performance.figures().to_vec(),
            Self::Number(performance) => performance.figures().to_vec(),
        }
    }

    /// Returns the figures of a binary model.
    pub fn binary(&self) -> Option<&Performance> {
        match self {
            Self::Binary(performance) => Some(performance),
            Self::Classes(_) | Self::Number(_) => None,
        }
    }
}

/// A measured figure beside that of the training.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ComparedFigure {
    /// The figure's name.
    pub figure: &'static str,
    /// Its value on the held-out rows of the training.
    pub training: f64,
    /// Its measured value.
    pub measured: Option<f64>,
    /// Measured − training.
    pub difference: Option<f64>,
}

impl ComparedFigure {
    /// Compares the measured figures with those of the training that have the same name.
    pub fn all(measured: &TaskPerformance, training: &Figures) -> Vec<Self> {
        let training = training.by_name();
        let compare = |(figure, measured): (&'static str, Option<f64>)| {
            let (_, training) = *training.iter().find(|(name, _)| *name == figure)?;
            let difference = measured.map(|measured| measured - training);
            Some(Self { figure, training, measured, difference })
        };
        measured.figures().into_iter().filter_map(compare).collect()
    }
}
