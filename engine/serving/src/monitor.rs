//! Observes the predictions of a loaded version.

use onnward_quality::drift::Drift;
use onnward_quality::estimate::{TaskEstimate, TaskEstimator, TaskSums};
use onnward_schemas::Predictions;
use onnward_telemetry::metrics::{BusinessMetrics, InferenceMetrics};

/// The observers of one loaded version. All scoring threads share it.
#[derive(Debug)]
pub struct Monitor {
    inference: InferenceMetrics,
    business: Option<BusinessMetrics>,
    drift: Option<Drift>,
    estimator: Option<TaskEstimator>,
    /// A call on each batch, for tests of what observers may do.
    #[cfg(test)]
    pub(crate) on_observe: Option<fn(&[f32])>,
}

impl Monitor {
    /// Creates a monitor with inference metrics alone.
    pub fn new(inference: InferenceMetrics) -> Self {
        Self {
            inference,
            business: None,
            drift: None,
            estimator: None,
            #[cfg(test)]
            on_observe: None,
        }
    }

    /// Adds business metrics.
    #[must_use]
    pub fn with_business(self, business: Option<BusinessMetrics>) -> Self {
        Self { business, ..self }
    }

    /// Adds drift detection.
    #[must_use]
    pub fn with_drift(self, drift: Option<Drift>) -> Self {
        Self { drift, ..self }
    }

    /// Returns the drift detector, if there is one.
    pub fn drift(&self) -> Option<&Drift> {
        self.drift.as_ref()
    }

    /// Adds performance estimation.
    #[must_use]
    pub fn with_estimator(self, estimator: Option<TaskEstimator>) -> Self {
        Self { estimator, ..self }
    }

    /// Returns what the estimated performance is made from. `None` before there are predictions.
    pub fn score_sums(&self) -> Option<TaskSums> {
        self.estimator.as_ref()?.sums()
    }

    /// Returns the estimated performance of the recent predictions. `None` before there are any.
    pub fn estimate(&self) -> Option<TaskEstimate> {
        self.estimator.as_ref()?.estimate()
    }

    /// Returns the inference metrics.
    pub fn inference(&self) -> &InferenceMetrics {
        &self.inference
    }

    /// Observes a scored batch before it is answered.
    ///
    /// `features` is `[rows, features]` in the schema's order: NaN where missing, −1 where a category is
    /// unknown, else the category's index. A prediction that is not a number is ignored here and rejected later.
    pub fn observe(&self, features: &[f32], predictions: &Predictions) {
        #[cfg(test)]
        if let Some(on_observe) = self.on_observe {
            on_observe(features);
        }
        if let Some(business) = &self.business {
            business.observe(features, predictions);
        }
        if let Some(drift) = &self.drift {
            drift.observe_predictions(features, predictions);
        }
        if let Some(estimator) = &self.estimator {
            estimator.observe(predictions);
        }
    }
}
