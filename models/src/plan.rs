use std::fmt;

use onnward_schemas::TaskKind;
use thiserror::Error;

use crate::estimator::{Estimator, Family, UnsupportedSolver, UnsupportedTask};
use crate::forest::smartcore::SmartcoreError;
use crate::logistic::LogisticError;
use crate::parameters::{CandidateParams, InvalidSetting};
use crate::ridge::RidgeError;

/// The models to train, and how to evaluate them.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingPlan {
    /// The models to fit and compare.
    pub candidates: Vec<CandidateParams>,
    /// Number of cross-validation folds, 2 or more.
    pub folds: usize,
    /// The seed of every random choice.
    pub seed: u64,
    /// The share of the rows that is held out, above 0 and below 1.
    pub test_fraction: f64,
}

impl Default for TrainingPlan {
    /// Plans for a binary label, as [`TrainingPlan::for_task`].
    fn default() -> Self {
        Self::for_task(TaskKind::Binary)
    }
}

impl TrainingPlan {
    /// Compares the families for a task with their default settings and Onnward's own solvers: 5 folds, a fifth of the
    /// rows held out, seed 42. No candidate is for [`TaskKind::Raw`], which is not trained.
    pub fn for_task(task: TaskKind) -> Self {
        let families = Family::for_task(task).iter();
        let candidates = families.map(|family| CandidateParams::for_task(*family, task)).collect();
        Self { candidates, folds: 5, seed: 42, test_fraction: 0.2 }
    }
}

/// The progress of a training run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The run begins.
    Started {
        /// The number of steps of the whole run.
        steps: u64,
    },
    /// Some steps are done.
    Advanced {
        /// The number of steps.
        steps: u64,
        /// The work that they were part of.
        activity: Activity,
    },
}

/// The work that a training run is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activity {
    /// A model is fitted on all folds of the training rows but one.
    CrossValidating {
        /// The model's estimator.
        estimator: Estimator,
        /// The fold that is left out, counted from 1.
        fold: usize,
        /// The number of folds.
        folds: usize,
    },
    /// A model is fitted on all training rows.
    Fitting {
        /// The model's estimator.
        estimator: Estimator,
    },
    /// A model is evaluated on the held-out rows.
    Evaluating {
        /// The model's estimator.
        estimator: Estimator,
    },
}

/// The reason why a training run failed.
#[derive(Debug, Error)]
pub enum TrainingError {
    /// The plan names no model.
    #[error("the plan has no candidates: name one or more candidates")]
    NoCandidates,
    /// The plan's number of folds is below 2.
    #[error("cross-validation needs 2 or more folds, not {0}")]
    Folds(usize),
    /// The plan has more folds than the table has rows.
    #[error("{folds} folds need as many rows, but the table has {rows}: use fewer folds, such as 5")]
    TooManyFolds {
        /// The number of folds.
        folds: usize,
        /// The number of rows.
        rows: usize,
    },
    /// The plan holds out nothing or everything.
    #[error("the share of rows held out must be between 0 and 1, and is {0}")]
    TestFraction(f64),
    /// A solver cannot fit the family that it was named for.
    #[error(transparent)]
    Solver(#[from] UnsupportedSolver),
    /// A candidate cannot predict a label of the table's task.
    #[error(transparent)]
    Task(#[from] UnsupportedTask),
    /// A model's setting is outside its range.
    #[error(transparent)]
    Setting(#[from] InvalidSetting),
    /// A class, or the table, has too few rows to occur in every fold and among the held-out rows.
    #[error(
        "only {rows} {}: a share of {test_fraction} held out and {folds} folds take at least {needed}; add rows, \
         hold out less, or use fewer folds", with_label(*rows, label.as_deref())
    )]
    TooFewRows {
        /// The label's value; `None` for a number, of which all rows count.
        label: Option<String>,
        /// The number of rows with it.
        rows: usize,
        /// The number of rows needed.
        needed: usize,
        /// The number of folds.
        folds: usize,
        /// The share of the rows that is held out.
        test_fraction: f64,
    },
    /// A logistic regression could not be fitted.
    #[error("logistic regression: {0}")]
    Logistic(#[from] LogisticError),
    /// A ridge regression could not be fitted.
    #[error("ridge regression: {0}")]
    Ridge(#[from] RidgeError),
    /// smartcore could not fit a forest.
    #[error("random forest: {0}")]
    Smartcore(#[from] SmartcoreError),
}

/// Says which rows there are too few of.
fn with_label(rows: usize, label: Option<&str>) -> String {
    match (label, rows) {
        (Some(label), 1) => format!("row has the label {label:?}"),
        (Some(label), _) => format!("rows have the label {label:?}"),
        (None, 1) => "row has a label".to_owned(),
        (None, _) => "rows have a label".to_owned(),
    }
}

impl fmt::Display for Activity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CrossValidating { estimator, fold, folds } => {
                write!(f, "{estimator}: fold {fold} of {folds}")
            }
            Self::Fitting { estimator } => write!(f, "{estimator}: fitting on all training rows"),
            Self::Evaluating { estimator } => write!(f, "{estimator}: evaluating on the held-out rows"),
        }
    }
}
