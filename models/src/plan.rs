use std::fmt;

use thiserror::Error;

use crate::family::Family;
use crate::logistic::LogisticError;
use crate::parameters::{CandidateParams, InvalidSetting};
use crate::smartcore_forest::SmartcoreError;

/// What to train and how to judge it.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingPlan {
    /// The models to fit and compare.
    pub candidates: Vec<CandidateParams>,
    /// Into how many parts the training rows are dealt for the cross-validation; 2 or more.
    pub folds: usize,
    /// The seed of every random choice.
    pub seed: u64,
    /// The share of the rows that is held out; above 0 and below 1.
    pub test_fraction: f64,
}

impl Default for TrainingPlan {
    /// A family of each kind with its default settings, 5 folds, a fifth of the rows held out, seed 42.
    fn default() -> Self {
        let candidates = Family::COMPARED.into_iter().map(CandidateParams::default_of).collect();
        Self { candidates, folds: 5, seed: 42, test_fraction: 0.2 }
    }
}

/// How far a training run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The run begins.
    Started {
        /// How many steps it takes in all.
        steps: u64,
    },
    /// Some steps are done.
    Advanced {
        /// How many.
        steps: u64,
        /// What was being done.
        activity: Activity,
    },
}

/// What a training run is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activity {
    /// A model is fitted on all parts of the training rows but one.
    CrossValidating {
        /// The model's family.
        family: Family,
        /// Which part is left out, counted from 1.
        fold: usize,
        /// How many parts there are.
        folds: usize,
    },
    /// A model is fitted on all training rows.
    Fitting {
        /// The model's family.
        family: Family,
    },
    /// A model is judged on the held-out rows.
    Evaluating {
        /// The model's family.
        family: Family,
    },
}

/// Why a training run failed.
#[derive(Debug, Error)]
pub enum TrainingError {
    /// The plan names no model.
    #[error("there is nothing to train: name one or more candidates")]
    NoCandidates,
    /// The plan's number of folds is below 2.
    #[error("cross-validation needs 2 or more folds, not {0}")]
    Folds(usize),
    /// The plan has more folds than the table has rows.
    #[error("{folds} folds need as many rows, and the table has {rows}: use fewer folds, 5 for example")]
    TooManyFolds {
        /// The number of folds.
        folds: usize,
        /// How many rows there are.
        rows: usize,
    },
    /// The plan holds out nothing or everything.
    #[error("the share of rows held out must lie between 0 and 1, which {0} does not")]
    TestFraction(f64),
    /// A model's setting is outside its range.
    #[error(transparent)]
    Setting(#[from] InvalidSetting),
    /// A class has too few rows to occur in every fold and among the held-out rows.
    #[error(
        "only {rows} {} the label {label:?}: a share of {test_fraction} held out and {folds} folds take at least \
         {needed}; add rows, hold out less, or use fewer folds",
        if *rows == 1 { "row has" } else { "rows have" }
    )]
    TooFewRows {
        /// The label's value.
        label: String,
        /// How many rows have it.
        rows: usize,
        /// How many are needed.
        needed: usize,
        /// The number of folds.
        folds: usize,
        /// The share of the rows that is held out.
        test_fraction: f64,
    },
    /// A logistic regression could not be fitted.
    #[error("logistic regression: {0}")]
    Logistic(#[from] LogisticError),
    /// smartcore could not fit a forest.
    #[error("random forest: {0}")]
    Smartcore(#[from] SmartcoreError),
}

impl fmt::Display for Activity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CrossValidating { family, fold, folds } => write!(f, "{family}: fold {fold} of {folds}"),
            Self::Fitting { family } => write!(f, "{family}: fitting on all training rows"),
            Self::Evaluating { family } => write!(f, "{family}: evaluating on the held-out rows"),
        }
    }
}
