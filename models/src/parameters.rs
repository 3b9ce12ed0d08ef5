use std::collections::BTreeMap;

use onnward_schemas::TaskKind;

use crate::estimator::{Estimator, Family, Solver};
use crate::plan::TrainingError;

/// The parameters of one candidate: the solver, and the settings of its family.
///
/// ```
/// use onnward_models::{CandidateParams, Estimator, ForestParams, Solver};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let forest = CandidateParams::from(ForestParams { trees: 300, ..ForestParams::default() });
/// assert_eq!(forest.solver, Solver::Own);
/// let linfa = CandidateParams::default_of("linfa-logistic".parse::<Estimator>()?);
/// assert_eq!(linfa.to_map()["knots"], 5.0);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct CandidateParams {
    /// The code that fits the model.
    pub solver: Solver,
    /// The settings of the family.
    pub settings: Settings,
}

/// The settings of a model family.
#[derive(Debug, Clone, PartialEq)]
pub enum Settings {
    /// Those of logistic regression.
    Logistic(LogisticParams),
    /// Those of a random forest.
    Forest(ForestParams),
    /// Those of ridge regression.
    Ridge(RidgeParams),
}

/// The settings of logistic regression.
#[derive(Debug, Clone, PartialEq)]
pub struct LogisticParams {
    /// Inverse strength of the L2 penalty, as scikit-learn's `C`. The loss is the sum over the rows of
    /// the negative log-likelihood, plus ‖weights‖² / 2C. The weights are those of standardised columns and
    /// segments; the intercept is not penalised.
    pub c: f64,
    /// The number of knots in the linear spline of each numeric column, at equally spaced quantiles of the
    /// training rows. The slope of the log-odds may change at each. 0 means one straight line. Columns of few
    /// values have fewer.
    pub knots: usize,
}

/// The settings of a random forest.
#[derive(Debug, Clone, PartialEq)]
pub struct ForestParams {
    /// The number of trees.
    pub trees: usize,
    /// The minimum number of rows in a leaf. As in scikit-learn, a row that the bootstrap drew twice counts
    /// once; smartcore counts it twice.
    pub min_samples_leaf: usize,
    /// Minimum number of rows in a node that is split.
    pub min_samples_split: usize,
    /// The maximum number of splits between the root and a leaf, as scikit-learn's `max_depth`: a tree of
    /// depth 1 splits once. `None` means no limit.
    pub max_depth: Option<u16>,
    /// The number of columns of the preprocessed matrix that are considered at each split. `None` means the
    /// square root of their number, rounded down, and a third of them for a number.
    pub max_features: Option<usize>,
}

/// The settings of ridge regression.
#[derive(Debug, Clone, PartialEq)]
pub struct RidgeParams {
    /// The strength of the L2 penalty, as scikit-learn's `alpha`. The loss is the sum over the rows of the squared
    /// error, plus alpha · ‖weights‖². The weights are those of standardised columns and segments; the intercept is
    /// not penalised.
    pub alpha: f64,
    /// The number of knots, as that of [`LogisticParams`].
    pub knots: usize,
}

/// The error for a setting outside its range.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{estimator}: {setting} = {value} is invalid: it must be {expected}")]
pub struct InvalidSetting {
    estimator: Estimator,
    setting: &'static str,
    value: f64,
    expected: &'static str,
}

impl Default for LogisticParams {
    /// Uses scikit-learn's penalty and 5 knots. On the Telco table 3 to 9 knots are equally good, and 0.003
    /// to 0.005 of ROC AUC better than straight lines, whatever the penalty.
    fn default() -> Self {
        Self { c: 1.0, knots: 5 }
    }
}

impl Default for ForestParams {
    /// Uses 100 trees with leaves of 20 rows. On the Telco table, leaves of 20 to 40 rows reach a
    /// cross-validated ROC AUC 0.02 above that of leaves of one row, with a sixth of the nodes. Three times
    /// the trees add 0.0005.
    fn default() -> Self {
        Self { trees: 100, min_samples_leaf: 20, min_samples_split: 40, max_depth: None, max_features: None }
    }
}

impl ForestParams {
    /// Returns the default settings for a task.
    ///
    /// A leaf of a regression tree has the mean of its numbers, and needs fewer rows than one that has a probability:
    /// 5, as T. Hastie, R. Tibshirani and J. Friedman advise (The Elements of Statistical Learning, 2nd ed., 2009,
    /// §15.3).
    pub fn for_task(task: TaskKind) -> Self {
        match task {
            TaskKind::Binary | TaskKind::Classes | TaskKind::Raw => Self::default(),
            TaskKind::Number => Self { min_samples_leaf: 5, min_samples_split: 10, ..Self::default() },
        }
    }
}

impl Default for RidgeParams {
    /// Uses scikit-learn's penalty, and as many knots as logistic regression.
    fn default() -> Self {
        Self { alpha: 1.0, knots: LogisticParams::default().knots }
    }
}

impl CandidateParams {
    /// Returns the default settings of an estimator, or of a family fitted by Onnward's own solver, for a binary
    /// label.
    pub fn default_of(estimator: impl Into<Estimator>) -> Self {
        Self::for_task(estimator, TaskKind::Binary)
    }

    /// Returns the default settings of an estimator, or of a family fitted by Onnward's own solver, for a task.
    pub fn for_task(estimator: impl Into<Estimator>, task: TaskKind) -> Self {
        let Estimator { solver, family } = estimator.into();
        let settings = match family {
            Family::Logistic => Settings::Logistic(LogisticParams::default()),
            Family::Forest => Settings::Forest(ForestParams::for_task(task)),
            Family::Ridge => Settings::Ridge(RidgeParams::default()),
        };
        Self { solver, settings }
    }

    /// Returns the estimator that these settings are for.
    pub fn estimator(&self) -> Estimator {
        let family = match &self.settings {
            Settings::Logistic(_) => Family::Logistic,
            Settings::Forest(_) => Family::Forest,
            Settings::Ridge(_) => Family::Ridge,
        };
        Estimator { solver: self.solver, family }
    }

    /// Returns the settings as an artifact and a comparison list them. A limit that is not set is left out.
    pub fn to_map(&self) -> BTreeMap<String, f64> {
        let listed = match &self.settings {
            Settings::Logistic(LogisticParams { c, knots }) => {
                vec![("c", Some(*c)), ("knots", Some(*knots as f64))]
            }
            Settings::Forest(params) => vec![
                ("trees", Some(params.trees as f64)),
                ("min_samples_leaf", Some(params.min_samples_leaf as f64)),
                ("min_samples_split", Some(params.min_samples_split as f64)),
                ("max_depth", params.max_depth.map(f64::from)),
                ("max_features", params.max_features.map(|columns| columns as f64)),
            ],
            Settings::Ridge(RidgeParams { alpha, knots }) => {
                vec![("alpha", Some(*alpha)), ("knots", Some(*knots as f64))]
            }
        };
        listed.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
    }

    /// Rejects settings that no model can be fitted with.
    pub(crate) fn check(&self) -> Result<(), TrainingError> {
        let estimator = self.estimator();
        estimator.check()?;
        let invalid = match &self.settings {
            Settings::Logistic(params) => params.invalid(),
            Settings::Forest(params) => params.invalid(),
            Settings::Ridge(params) => params.invalid(),
        };
        match invalid {
            Some((setting, value, expected)) => {
                Err(InvalidSetting { estimator, setting, value, expected }.into())
            }
            None => Ok(()),
        }
    }
}

impl From<LogisticParams> for CandidateParams {
    fn from(params: LogisticParams) -> Self {
        Self { solver: Solver::Own, settings: Settings::Logistic(params) }
    }
}

impl From<ForestParams> for CandidateParams {
    fn from(params: ForestParams) -> Self {
        Self { solver: Solver::Own, settings: Settings::Forest(params) }
    }
}

impl From<RidgeParams> for CandidateParams {
    fn from(params: RidgeParams) -> Self {
        Self { solver: Solver::Own, settings: Settings::Ridge(params) }
    }
}

/// A setting outside its range: its name, its value, and what it must be.
type Invalid = Option<(&'static str, f64, &'static str)>;

impl LogisticParams {
    fn invalid(&self) -> Invalid {
        let is_usable = self.c.is_finite() && self.c > 0.0;
        (!is_usable).then_some(("c", self.c, "a finite number above 0"))
    }
}

impl RidgeParams {
    fn invalid(&self) -> Invalid {
        let is_usable = self.alpha.is_finite() && self.alpha >= 0.0;
        (!is_usable).then_some(("alpha", self.alpha, "a finite number of at least 0"))
    }
}

impl ForestParams {
    fn invalid(&self) -> Invalid {
        let too_small = |setting, value: usize| Some((setting, value as f64, "1 or more"));
        match self {
            Self { trees: 0, .. } => too_small("trees", 0),
            Self { min_samples_leaf: 0, .. } => too_small("min_samples_leaf", 0),
            Self { min_samples_split: split @ ..2, .. } => {
                Some(("min_samples_split", *split as f64, "2 or more"))
            }
            Self { max_depth: Some(0), .. } => too_small("max_depth", 0),
            Self { max_features: Some(0), .. } => too_small("max_features", 0),
            _ => None,
        }
    }
}
