use onnward_schemas::{ErrorProfile, PredictedValues, Predictions};
use serde::{Deserialize, Serialize};

use super::counts::{Counts, Sums};
use crate::performance::ratio;
use crate::time::millis_now;

/// Estimates the performance of one version of a model of a number from its last predictions.
#[derive(Debug)]
pub struct NumberEstimator {
    /// The inner edges of the bins of predictions, ascending.
    edges: Vec<f32>,
    errors: ErrorProfile,
    counts: Counts<NumberSums>,
}

/// The sums that an estimate of numbers is made from. Those of several engines are added by [`NumberSums::join`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NumberSums {
    /// Since when the predictions were made, in milliseconds since 1970.
    since_millis: u64,
    /// The number of predictions.
    rows: u64,
    /// The sum of the expected absolute errors, in the label's units.
    absolute: f64,
    /// The sum of the expected squared errors.
    squared: f64,
}

/// Estimated figures of a model of a number.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NumberEstimate {
    /// The number of predictions it is made from.
    #[serde(rename = "predictions")]
    pub rows: u64,
    /// Since when they were made, in milliseconds since 1970.
    #[serde(skip)]
    pub since_millis: u64,
    /// The expected mean of the absolute errors, in the label's units.
    pub mae: Option<f64>,
    /// The root of the expected mean of the squared errors.
    pub rmse: Option<f64>,
}

impl NumberEstimator {
    /// Creates an empty estimator with the errors on the held-out rows, between these edges of predictions. An estimate covers at least the last `rows`
    /// predictions once there are so many, and at most twice as many.
    ///
    /// ```
    /// use onnward_quality::estimate::NumberEstimator;
    /// use onnward_schemas::{ErrorProfile, Numbers, PredictedValues};
    ///
    /// // Predictions above 100 were 8 off on average, others 2.
    /// let errors = ErrorProfile { absolute: vec![2.0, 8.0], squared: vec![4.0, 64.0] };
    /// let estimator = NumberEstimator::new(vec![100.0], errors, 1000);
    /// estimator.observe(&PredictedValues::Numbers(Numbers::Double(vec![50.0, 100.0, 101.0, 300.0])).into());
    /// assert_eq!(estimator.estimate().and_then(|estimate| estimate.mae), Some(5.0));
    /// ```
    pub fn new(edges: Vec<f32>, errors: ErrorProfile, rows: usize) -> Self {
        Self { edges, errors, counts: Counts::new(rows) }
    }

    /// Counts the predictions of one batch. Ignores rows that failed.
    pub fn observe(&self, predictions: &Predictions) {
        let PredictedValues::Numbers(numbers) = &predictions.values else { return };
        let ErrorProfile { absolute, squared } = &self.errors;
        self.counts.add(NumberSums::new, |sums| {
            for number in numbers.as_slice().iter().filter(|number| number.is_finite()) {
                // In single precision, as the profile was made.
                let bin = self.edges.partition_point(|edge| *edge < number as f32);
                if let (Some(absolute), Some(squared)) = (absolute.get(bin), squared.get(bin)) {
                    sums.rows += 1;
                    sums.absolute += absolute;
                    sums.squared += squared;
                }
            }
        });
    }

    /// Returns the estimate over the last predictions. `None` before the first one.
    pub fn estimate(&self) -> Option<NumberEstimate> {
        self.sums().map(|sums| sums.estimate())
    }

    /// Returns what the estimate is made from. `None` before the first prediction.
    pub fn sums(&self) -> Option<NumberSums> {
        self.counts.both()
    }
}

impl Sums for NumberSums {
    fn rows(&self) -> u64 {
        self.rows
    }

    fn join(&mut self, other: &Self) {
        Self::join(self, other);
    }
}

impl NumberSums {
    fn new() -> Self {
        Self { since_millis: millis_now(), rows: 0, absolute: 0.0, squared: 0.0 }
    }

    /// Adds the sums of other predictions of the same model.
    pub fn join(&mut self, other: &Self) {
        self.since_millis = self.since_millis.min(other.since_millis);
        self.rows += other.rows;
        self.absolute += other.absolute;
        self.squared += other.squared;
    }

    /// Computes the expected figures.
    pub fn estimate(&self) -> NumberEstimate {
        let rows = self.rows as f64;
        NumberEstimate {
            rows: self.rows,
            since_millis: self.since_millis,
            mae: ratio(self.absolute, rows),
            rmse: ratio(self.squared, rows).map(f64::sqrt),
        }
    }
}

impl NumberEstimate {
    /// Returns the figures with their metric labels.
    pub fn figures(&self) -> [(&'static str, Option<f64>); 2] {
        [("mae", self.mae), ("rmse", self.rmse)]
    }
}
