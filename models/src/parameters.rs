use std::collections::BTreeMap;

use crate::family::Family;

/// The settings with which one model is fitted.
#[derive(Debug, Clone, PartialEq)]
pub enum CandidateParams {
    /// Of logistic regression.
    Logistic(LogisticParams),
    /// Of a random forest.
    Forest(ForestParams),
    /// Of logistic regression by linfa.
    LinfaLogistic(LogisticParams),
    /// Of a random forest by smartcore.
    SmartcoreForest(ForestParams),
}

/// The settings of logistic regression.
#[derive(Debug, Clone, PartialEq)]
pub struct LogisticParams {
    /// The inverse of the L2 penalty's strength, as scikit-learn's `C`: the loss is the sum over the rows of the negative
    /// log-likelihood, plus ‖weights‖² / 2C, the weights being those of standardised columns and segments. The intercept
    /// is not penalised.
    pub c: f64,
    /// In how many places the log-odds may bend along each numeric column: a linear spline with knots at equally spaced
    /// quantiles of the training rows; 0 for straight lines. Columns of few values have fewer.
    pub knots: usize,
}

/// The settings of a random forest.
#[derive(Debug, Clone, PartialEq)]
pub struct ForestParams {
    /// How many trees it has.
    pub trees: usize,
    /// How many rows a leaf holds at least. As in scikit-learn, a row that the bootstrap drew twice counts once; smartcore
    /// counts it twice.
    pub min_samples_leaf: usize,
    /// How many rows a node holds at least to be split.
    pub min_samples_split: usize,
    /// How many splits lie at most between the root and a leaf, as scikit-learn's `max_depth`: a tree of depth 1 splits
    /// once; no limit where absent.
    pub max_depth: Option<u16>,
    /// How many columns of the preprocessed matrix are tried at a split; the square root of their number, rounded down,
    /// where absent.
    pub max_features: Option<usize>,
}

/// A setting outside its range.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{family}: {setting} = {value} is not usable: it must be {expected}")]
pub struct InvalidSetting {
    family: Family,
    setting: &'static str,
    value: f64,
    expected: &'static str,
}

impl Default for LogisticParams {
    /// As scikit-learn's penalty. On the Telco table 3 to 9 knots are equally good and 0.003 to 0.005 of area under the
    /// ROC curve better than straight lines, whatever the penalty.
    fn default() -> Self {
        Self { c: 1.0, knots: 5 }
    }
}

impl Default for ForestParams {
    /// On the Telco table leaves of 20 to 40 rows are cross-validated 0.02 above leaves of one row, at a sixth of the
    /// nodes; three times the trees add 0.0005.
    fn default() -> Self {
        Self { trees: 100, min_samples_leaf: 20, min_samples_split: 40, max_depth: None, max_features: None }
    }
}

impl CandidateParams {
    /// The default settings of a family.
    pub fn default_of(family: Family) -> Self {
        match family {
            Family::Logistic => Self::Logistic(LogisticParams::default()),
            Family::Forest => Self::Forest(ForestParams::default()),
            Family::LinfaLogistic => Self::LinfaLogistic(LogisticParams::default()),
            Family::SmartcoreForest => Self::SmartcoreForest(ForestParams::default()),
        }
    }

    /// The family that is fitted.
    pub fn family(&self) -> Family {
        match self {
            Self::Logistic(_) => Family::Logistic,
            Self::Forest(_) => Family::Forest,
            Self::LinfaLogistic(_) => Family::LinfaLogistic,
            Self::SmartcoreForest(_) => Family::SmartcoreForest,
        }
    }

    /// The settings as an artifact and a comparison list them; a limit that is not set is left out.
    pub fn to_map(&self) -> BTreeMap<String, f64> {
        let listed = match self {
            Self::Logistic(LogisticParams { c, knots })
            | Self::LinfaLogistic(LogisticParams { c, knots }) => {
                vec![("c", Some(*c)), ("knots", Some(*knots as f64))]
            }
            Self::Forest(params) | Self::SmartcoreForest(params) => vec![
                ("trees", Some(params.trees as f64)),
                ("min_samples_leaf", Some(params.min_samples_leaf as f64)),
                ("min_samples_split", Some(params.min_samples_split as f64)),
                ("max_depth", params.max_depth.map(f64::from)),
                ("max_features", params.max_features.map(|columns| columns as f64)),
            ],
        };
        listed.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
    }

    /// Refuses settings that no model can be fitted with.
    pub(crate) fn check(&self) -> Result<(), InvalidSetting> {
        let wrong = match self {
            Self::Logistic(params) | Self::LinfaLogistic(params) => params.wrong(),
            Self::Forest(params) | Self::SmartcoreForest(params) => params.wrong(),
        };
        match wrong {
            Some((setting, value, expected)) => {
                Err(InvalidSetting { family: self.family(), setting, value, expected })
            }
            None => Ok(()),
        }
    }
}

/// A setting that is not usable: its name, its value, and what it must be.
type Wrong = Option<(&'static str, f64, &'static str)>;

impl LogisticParams {
    fn wrong(&self) -> Wrong {
        let is_usable = self.c.is_finite() && self.c > 0.0;
        (!is_usable).then_some(("c", self.c, "a finite number above 0"))
    }
}

impl ForestParams {
    fn wrong(&self) -> Wrong {
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
