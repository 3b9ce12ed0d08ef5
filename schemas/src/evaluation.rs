use serde::{Deserialize, Serialize};

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

/// The area under the ROC curve over the folds of a stratified cross-validation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CrossValidation {
    /// The area of each fold.
    pub fold_roc_auc: Vec<f64>,
    /// Their mean.
    pub roc_auc_mean: f64,
    /// Their standard deviation (of the population, as `numpy.std`).
    pub roc_auc_std: f64,
}

/// The figures of a binary classifier on one set of rows, the decision taken at the schema's threshold
/// unless [`Evaluation::threshold`] is another one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Figures {
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

impl Figures {
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

/// The confusion matrix, in rows.
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
