//! Estimated performance of models of every task.

use onnward_schemas::{FeatureProfile, Predictions, Profile, ScoreProfile, Task};
use serde::{Deserialize, Serialize};

use super::{
    ClassEstimate, ClassEstimator, ClassSums, Estimate, Estimator, NumberEstimate, NumberEstimator,
    NumberSums, ScoreSums,
};

/// The reason why the performance of a model of a number is not estimated, in one sentence.
pub const NO_ERRORS: &str = "there is no estimate: the file does not hold its errors on held-out rows, which direct loss \
estimation (DLE) needs: an external file has none, and an older artifact has them once it is trained again";

/// Estimates the performance of one version of a model, by its task.
#[derive(Debug)]
pub enum TaskEstimator {
    /// Of a binary model.
    Binary(Estimator),
    /// Of a model of several classes.
    Classes(ClassEstimator),
    /// Of a model of a number.
    Number(NumberEstimator),
}

impl TaskEstimator {
    /// Creates the estimator of a model of this task, which covers at least the last `rows` predictions. `None` where
    /// there is no estimate: for outputs of an external graph, and for numbers without a profile of their errors.
    pub fn of(task: &Task, profile: Option<&Profile>, rows: usize) -> Option<Self> {
        match task {
            Task::Binary(binary) => Some(Self::Binary(Estimator::new(binary.threshold, rows))),
            Task::Classes(classes) => Some(Self::Classes(ClassEstimator::new(classes.values.len(), rows))),
            Task::Number => {
                let Profile {
                    score: ScoreProfile::Values(FeatureProfile::Numeric { edges, .. }),
                    errors,
                    ..
                } = profile?
                else {
                    return None;
                };
                Some(Self::Number(NumberEstimator::new(edges.clone(), errors.clone()?, rows)))
            }
            Task::Raw(_) => None,
        }
    }

    /// Counts the predictions of one batch. Ignores rows that failed.
    pub fn observe(&self, predictions: &Predictions) {
        match self {
            Self::Binary(estimator) => {
                if let Some(probabilities) = predictions.probabilities() {
                    estimator.observe(&probabilities);
                }
            }
            Self::Classes(estimator) => estimator.observe(predictions),
            Self::Number(estimator) => estimator.observe(predictions),
        }
    }

    /// Returns the estimate over the last predictions. `None` before the first one.
    pub fn estimate(&self) -> Option<TaskEstimate> {
        match self {
            Self::Binary(estimator) => estimator.estimate().map(TaskEstimate::Binary),
            Self::Classes(estimator) => estimator.estimate().map(TaskEstimate::Classes),
            Self::Number(estimator) => estimator.estimate().map(TaskEstimate::Number),
        }
    }

    /// Returns what the estimate is made from. `None` before the first prediction.
    pub fn sums(&self) -> Option<TaskSums> {
        match self {
            Self::Binary(estimator) => estimator.sums().map(TaskSums::Binary),
            Self::Classes(estimator) => estimator.sums().map(TaskSums::Classes),
            Self::Number(estimator) => estimator.sums().map(TaskSums::Number),
        }
    }
}

/// What an estimate is made from, as the JSON of engines has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum TaskSums {
    /// Of a binary model.
    Binary(ScoreSums),
    /// Of a model of several classes.
    Classes(ClassSums),
    /// Of a model of a number.
    Number(NumberSums),
}

impl TaskSums {
    /// Adds the sums of another engine. Returns whether they are of the same task; if not, nothing is added.
    #[must_use]
    pub fn join(&mut self, other: &Self) -> bool {
        match (self, other) {
            (Self::Binary(sums), Self::Binary(more)) => sums.join(more),
            (Self::Classes(sums), Self::Classes(more)) => sums.join(more),
            (Self::Number(sums), Self::Number(more)) => sums.join(more),
            (Self::Binary(_) | Self::Classes(_) | Self::Number(_), _) => return false,
        }
        true
    }

    /// Computes the expected figures.
    pub fn estimate(&self) -> TaskEstimate {
        match self {
            Self::Binary(sums) => TaskEstimate::Binary(sums.estimate()),
            Self::Classes(sums) => TaskEstimate::Classes(sums.estimate()),
            Self::Number(sums) => TaskEstimate::Number(sums.estimate()),
        }
    }
}

/// Estimated figures, by the model's task.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum TaskEstimate {
    /// Of a binary model.
    Binary(Estimate),
    /// Of a model of several classes.
    Classes(ClassEstimate),
    /// Of a model of a number.
    Number(NumberEstimate),
}

impl TaskEstimate {
    /// Returns the number of predictions it is made from.
    pub fn rows(&self) -> u64 {
        match self {
            Self::Binary(estimate) => estimate.rows,
            Self::Classes(estimate) => estimate.rows,
            Self::Number(estimate) => estimate.rows,
        }
    }

    /// Returns since when they were made, in milliseconds since 1970.
    pub fn since_millis(&self) -> u64 {
        match self {
            Self::Binary(estimate) => estimate.since_millis,
            Self::Classes(estimate) => estimate.since_millis,
            Self::Number(estimate) => estimate.since_millis,
        }
    }

    /// Returns the limits of the estimate, in one sentence.
    pub fn limits(&self) -> &'static str {
        match self {
            Self::Binary(_) | Self::Classes(_) => {
                "an estimate without outcomes, by confidence-based performance estimation (CBPE): it is as accurate as \
                 the model's calibration, and does not detect changes in the relation between features and labels \
                 (concept drift)"
            }
            Self::Number(_) => {
                "an estimate without outcomes, by direct loss estimation (DLE): the mean errors on the held-out rows in each \
                 tenth of the predictions; it detects changes of the rows that change the predictions, and not those in the \
                 relation between features and labels (concept drift)"
            }
        }
    }

    /// Returns the figures with their metric labels.
    pub fn figures(&self) -> Vec<(&'static str, Option<f64>)> {
        match self {
            Self::Binary(estimate) => estimate.figures().to_vec(),
            Self::Classes(estimate) => estimate.figures().to_vec(),
            Self::Number(estimate) => estimate.figures().to_vec(),
        }
    }
}
