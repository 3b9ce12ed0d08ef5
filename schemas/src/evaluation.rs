use serde::{Deserialize, Serialize};

use crate::task::TaskKind;

/// The figures of a fitted model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// The number of rows that the model was fitted on.
    pub train_rows: usize,
    /// The number of rows that were held out and scored once, after selection.
    pub test_rows: usize,
    /// The cross-validation on the training rows, by which the model was selected.
    pub cross_validation: CrossValidation,
    /// The figures on the held-out rows.
    pub test: Figures,
    /// The threshold of the decisions behind the figures, where it is not the schema's: the threshold was
    /// changed after the training.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
}

/// The figure by which models of a task are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Criterion {
    /// The area under the ROC curve, of binary models.
    RocAuc,
    /// The log loss, of models of several classes.
    LogLoss,
    /// The root of the mean squared error, of models of a number.
    Rmse,
}

/// A figure over the folds of a cross-validation.
///
/// In JSON the figure's name is part of the keys: `fold_roc_auc`, `roc_auc_mean` and `roc_auc_std`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "CrossValidationSpec", into = "CrossValidationSpec")]
pub struct CrossValidation {
    /// The figure.
    pub criterion: Criterion,
    /// Its value on each fold.
    pub folds: Vec<f64>,
    /// Their mean.
    pub mean: f64,
    /// Their standard deviation (of the population, as `numpy.std`).
    pub std: f64,
}

/// A cross-validation as JSON has it.
#[derive(Clone, Serialize, Deserialize)]
#[serde(untagged)]
enum CrossValidationSpec {
    RocAuc { fold_roc_auc: Vec<f64>, roc_auc_mean: f64, roc_auc_std: f64 },
    LogLoss { fold_log_loss: Vec<f64>, log_loss_mean: f64, log_loss_std: f64 },
    Rmse { fold_rmse: Vec<f64>, rmse_mean: f64, rmse_std: f64 },
}

/// The figures of a model on one set of rows, by its task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Figures {
    /// Those of a binary model.
    Binary(BinaryFigures),
    /// Those of a model of several classes.
    Classes(ClassFigures),
    /// Those of a model of a number.
    Number(NumberFigures),
}

/// The figures of a binary classifier on one set of rows, the decision taken at the schema's threshold
/// unless [`Evaluation::threshold`] is another one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BinaryFigures {
    /// The share of rows that were classified correctly.
    pub accuracy: f64,
    /// The share of positives among the rows predicted positive; 0 where there are none.
    pub precision: f64,
    /// The share of the positives that were predicted positive.
    pub recall: f64,
    /// The harmonic mean of precision and recall.
    pub f1: f64,
    /// The area under the receiver operating characteristic.
    pub roc_auc: f64,
    /// The average precision.
    pub average_precision: f64,
    /// The mean negative log-likelihood, in nats.
    pub log_loss: f64,
    /// The mean squared error of the probability.
    pub brier: f64,
    /// The counts behind them.
    pub confusion: Confusion,
}

/// The figures of a classifier of several classes on one set of rows. The predicted class is the most probable
/// one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassFigures {
    /// The share of rows that were classified correctly.
    pub accuracy: f64,
    /// The mean of the classes' F1.
    pub macro_f1: f64,
    /// The mean of the classes' F1, weighted by their rows.
    pub weighted_f1: f64,
    /// The mean over the classes of the area under the ROC curve of each against all others.
    pub roc_auc_ovr: f64,
    /// The share of rows whose class is one of the two most probable.
    pub top_2_accuracy: f64,
    /// The share of rows whose class is one of the three most probable.
    pub top_3_accuracy: f64,
    /// The mean negative log-likelihood, in nats.
    pub log_loss: f64,
    /// The rows by their class, one list a class, and in it by the predicted one. Empty for more than
    /// [`ClassFigures::MAX_CONFUSION`] classes.
    pub confusion: Vec<Vec<u64>>,
}

/// The figures of the predictions of a number on one set of rows, in the units of the label. An error is
/// `prediction − label`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct NumberFigures {
    /// The root of the mean squared error.
    pub rmse: f64,
    /// The mean absolute error.
    pub mae: f64,
    /// The median absolute error.
    pub median_absolute_error: f64,
    /// The coefficient of determination: 1 is perfect, and the mean of the labels reaches 0.
    pub r2: f64,
    /// The mean absolute error relative to the label. `None` if a label is 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mape: Option<f64>,
    /// The mean pinball loss of the predictions as a 10 % quantile.
    pub pinball_10: f64,
    /// The mean pinball loss of the predictions as a median.
    pub pinball_50: f64,
    /// The mean pinball loss of the predictions as a 90 % quantile.
    pub pinball_90: f64,
    /// The mean error.
    pub bias: f64,
}

impl Criterion {
    /// Returns the figure by which models of a task are compared. `None` for a task that is not trained.
    pub fn of(task: TaskKind) -> Option<Self> {
        match task {
            TaskKind::Binary => Some(Self::RocAuc),
            TaskKind::Classes => Some(Self::LogLoss),
            TaskKind::Number => Some(Self::Rmse),
            TaskKind::Raw => None,
        }
    }

    /// Returns the key of the figure in JSON and in metric labels.
    pub fn name(self) -> &'static str {
        match self {
            Self::RocAuc => "roc_auc",
            Self::LogLoss => "log_loss",
            Self::Rmse => "rmse",
        }
    }

    /// Returns the figure's name for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::RocAuc => "ROC AUC",
            Self::LogLoss => "log loss",
            Self::Rmse => "RMSE",
        }
    }

    /// Returns by how much `value` is better than `other`; negative where it is worse.
    ///
    /// ```
    /// use onnward_schemas::Criterion;
    ///
    /// assert!(Criterion::RocAuc.gain(0.9, 0.8) > 0.0);
    /// assert!(Criterion::Rmse.gain(0.9, 0.8) < 0.0);
    /// ```
    pub fn gain(self, value: f64, other: f64) -> f64 {
        match self {
            Self::RocAuc => value - other,
            Self::LogLoss | Self::Rmse => other - value,
        }
    }
}

impl From<CrossValidationSpec> for CrossValidation {
    fn from(spec: CrossValidationSpec) -> Self {
        let (criterion, folds, mean, std) = match spec {
            CrossValidationSpec::RocAuc { fold_roc_auc, roc_auc_mean, roc_auc_std } => {
                (Criterion::RocAuc, fold_roc_auc, roc_auc_mean, roc_auc_std)
            }
            CrossValidationSpec::LogLoss { fold_log_loss, log_loss_mean, log_loss_std } => {
                (Criterion::LogLoss, fold_log_loss, log_loss_mean, log_loss_std)
            }
            CrossValidationSpec::Rmse { fold_rmse, rmse_mean, rmse_std } => {
                (Criterion::Rmse, fold_rmse, rmse_mean, rmse_std)
            }
        };
        Self { criterion, folds, mean, std }
    }
}

impl From<CrossValidation> for CrossValidationSpec {
    fn from(CrossValidation { criterion, folds, mean, std }: CrossValidation) -> Self {
        match criterion {
            Criterion::RocAuc => Self::RocAuc { fold_roc_auc: folds, roc_auc_mean: mean, roc_auc_std: std },
            Criterion::LogLoss => {
                Self::LogLoss { fold_log_loss: folds, log_loss_mean: mean, log_loss_std: std }
            }
            Criterion::Rmse => Self::Rmse { fold_rmse: folds, rmse_mean: mean, rmse_std: std },
        }
    }
}

impl Figures {
    /// Returns the figures with their names. One that is not defined is left out.
    pub fn by_name(&self) -> Vec<(&'static str, f64)> {
        match self {
            Self::Binary(figures) => figures.by_name().to_vec(),
            Self::Classes(figures) => figures.by_name().to_vec(),
            Self::Number(figures) => figures.by_name(),
        }
    }

    /// Returns the figures of a binary model.
    pub fn binary(&self) -> Option<&BinaryFigures> {
        match self {
            Self::Binary(figures) => Some(figures),
            Self::Classes(_) | Self::Number(_) => None,
        }
    }

    /// Returns the figures of a model of several classes.
    pub fn classes(&self) -> Option<&ClassFigures> {
        match self {
            Self::Classes(figures) => Some(figures),
            Self::Binary(_) | Self::Number(_) => None,
        }
    }

    /// Returns the figures of a model of a number.
    pub fn number(&self) -> Option<&NumberFigures> {
        match self {
            Self::Number(figures) => Some(figures),
            Self::Binary(_) | Self::Classes(_) => None,
        }
    }

    /// Returns the task that has such figures.
    pub fn task(&self) -> TaskKind {
        match self {
            Self::Binary(_) => TaskKind::Binary,
            Self::Classes(_) => TaskKind::Classes,
            Self::Number(_) => TaskKind::Number,
        }
    }
}

impl BinaryFigures {
    /// Returns the figures with their names.
    pub fn by_name(&self) -> [(&'static str, f64); 8] {
        [
            ("accuracy", self.accuracy),
            ("precision", self.precision),
            ("recall", self.recall),
            ("f1", self.f1),
            ("roc_auc", self.roc_auc),
            ("average_precision", self.average_precision),
            ("log_loss", self.log_loss),
            ("brier", self.brier),
        ]
    }
}

impl ClassFigures {
    /// The maximum number of classes of a confusion matrix.
    pub const MAX_CONFUSION: usize = 100;

    /// Returns the figures with their names.
    pub fn by_name(&self) -> [(&'static str, f64); 7] {
        [
            ("accuracy", self.accuracy),
            ("macro_f1", self.macro_f1),
            ("weighted_f1", self.weighted_f1),
            ("roc_auc_ovr", self.roc_auc_ovr),
            ("top_2_accuracy", self.top_2_accuracy),
            ("top_3_accuracy", self.top_3_accuracy),
            ("log_loss", self.log_loss),
        ]
    }
}

impl NumberFigures {
    /// Returns the figures with their names. One that is not defined is left out.
    pub fn by_name(&self) -> Vec<(&'static str, f64)> {
        let figures = [
            ("rmse", Some(self.rmse)),
            ("mae", Some(self.mae)),
            ("median_absolute_error", Some(self.median_absolute_error)),
            ("r2", Some(self.r2)),
            ("mape", self.mape),
            ("pinball_10", Some(self.pinball_10)),
            ("pinball_50", Some(self.pinball_50)),
            ("pinball_90", Some(self.pinball_90)),
            ("bias", Some(self.bias)),
        ];
        figures.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

/// The confusion matrix of a binary classifier, in rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Confusion {
    /// True positives.
    pub true_positives: u64,
    /// False positives.
    pub false_positives: u64,
    /// True negatives.
    pub true_negatives: u64,
    /// False negatives.
    pub false_negatives: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cross_validation_names_its_figure_in_its_keys() {
        for (criterion, json) in [
            (Criterion::RocAuc, r#"{"fold_roc_auc":[0.8,0.9],"roc_auc_mean":0.85,"roc_auc_std":0.05}"#),
            (Criterion::LogLoss, r#"{"fold_log_loss":[0.8,0.9],"log_loss_mean":0.85,"log_loss_std":0.05}"#),
            (Criterion::Rmse, r#"{"fold_rmse":[0.8,0.9],"rmse_mean":0.85,"rmse_std":0.05}"#),
        ] {
            let read: CrossValidation = serde_json::from_str(json).unwrap();
            assert_eq!(read, CrossValidation { criterion, folds: vec![0.8, 0.9], mean: 0.85, std: 0.05 });
            assert_eq!(serde_json::to_string(&read).unwrap(), json);
        }
    }

    #[test]
    fn figures_are_read_as_those_of_their_task() {
        let number = NumberFigures {
            rmse: 2.0,
            mae: 1.0,
            median_absolute_error: 0.5,
            r2: 0.75,
            mape: None,
            pinball_10: 0.4,
            pinball_50: 0.5,
            pinball_90: 0.6,
            bias: -0.25,
        };
        let classes = ClassFigures {
            accuracy: 0.5,
            macro_f1: 0.5,
            weighted_f1: 0.5,
            roc_auc_ovr: 0.75,
            top_2_accuracy: 1.0,
            top_3_accuracy: 1.0,
            log_loss: 0.7,
            confusion: vec![vec![1, 0], vec![1, 0]],
        };
        for figures in [Figures::Number(number), Figures::Classes(classes)] {
            let json = serde_json::to_string(&figures).unwrap();
            assert_eq!(serde_json::from_str::<Figures>(&json).unwrap(), figures, "{json}");
        }
        assert!(!Figures::Number(number).by_name().iter().any(|(name, _)| *name == "mape"));
    }
}
