//! What is seen of a loaded version while it scores.

use onnward_quality::drift::Drift;
use onnward_quality::estimate::{Estimate, Estimator};
use onnward_telemetry::metrics::{BusinessMetrics, InferenceMetrics};

/// Sees the rows that one loaded version scores. Threads that score share it.
#[derive(Debug)]
pub struct Monitor {
    inference: InferenceMetrics,
    business: Option<BusinessMetrics>,
    drift: Option<Drift>,
    estimator: Option<Estimator>,
}

impl Monitor {
    /// One that counts how rows are scored, and nothing of what they say.
    pub fn new(inference: InferenceMetrics) -> Self {
        Self { inference, business: None, drift: None, estimator: None }
    }

    /// The same one, which also counts what predictions say about customers.
    #[must_use]
    pub fn with_business(self, business: Option<BusinessMetrics>) -> Self {
        Self { business, ..self }
    }

    /// The same one, which also compares the rows with those of training.
    #[must_use]
    pub fn with_drift(self, drift: Option<Drift>) -> Self {
        Self { drift, ..self }
    }

    /// The comparison with the training rows, where there is one.
    pub fn drift(&self) -> Option<&Drift> {
        self.drift.as_ref()
    }

    /// The same one, which also estimates how good the predictions are.
    #[must_use]
    pub fn with_estimator(self, estimator: Estimator) -> Self {
        Self { estimator: Some(estimator), ..self }
    }

    /// How good the last predictions probably are; `None` before there are any.
    pub fn estimate(&self) -> Option<Estimate> {
        self.estimator.as_ref()?.estimate()
    }

    /// The metrics of what happens between a request's rows and their probabilities.
    pub fn inference(&self) -> &InferenceMetrics {
        &self.inference
    }

    /// Sees a batch that has been scored and is about to be answered: its `features`, `[rows, features]` in the schema's
    /// order (NaN where missing, −1 where a category is unknown, else its index), and its `probabilities`, `[rows]`, of
    /// which one that is no number is refused later and counts for nothing.
    pub fn observe(&self, features: &[f32], probabilities: &[f32]) {
        if let Some(business) = &self.business {
            business.observe(features, probabilities);
        }
        if let Some(drift) = &self.drift {
            drift.observe(features, probabilities);
        }
        if let Some(estimator) = &self.estimator {
            estimator.observe(probabilities);
        }
    }
}
