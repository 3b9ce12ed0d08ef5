use onnward_schemas::{
    ClassFigures, ClassPredictions, NumberSlice, PredictedValues, Prediction, Predictions,
};
use serde::{Deserialize, Serialize};

use super::counts::{Counts, Sums};
use crate::performance::ratio;
use crate::time::millis_now;

/// Estimates the performance of one version of a model of several classes from its last probabilities.
#[derive(Debug)]
pub struct ClassEstimator {
    classes: usize,
    counts: Counts<ClassSums>,
}

/// The sums that an estimate of classes is made from. Those of several engines are added by [`ClassSums::join`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassSums {
    /// Since when the predictions were made, in milliseconds since 1970.
    since_millis: u64,
    /// The number of predictions.
    rows: u64,
    /// The sum of the largest probabilities.
    largest: f64,
    /// The sums of the probabilities by class, one list a class, and in it by the predicted class. Empty for more than
    /// [`ClassFigures::MAX_CONFUSION`] classes.
    confusion: Vec<Vec<f64>>,
}

/// Estimated figures of a model of several classes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassEstimate {
    /// The number of predictions it is made from.
    #[serde(rename = "predictions")]
    pub rows: u64,
    /// Since when they were made, in milliseconds since 1970.
    #[serde(skip)]
    pub since_millis: u64,
    /// The expected share of correct predictions.
    pub accuracy: Option<f64>,
    /// The expected number of predictions by class, one list a class, and in it by the predicted class. Empty for
    /// more than [`ClassFigures::MAX_CONFUSION`] classes.
    pub confusion: Vec<Vec<f64>>,
}

impl ClassEstimator {
    /// Creates an empty estimator of so many classes. An estimate covers at least the last `rows` predictions once
    /// there are so many, and at most twice as many.
    ///
    /// ```
    /// use onnward_quality::estimate::ClassEstimator;
    /// use onnward_schemas::{ClassPredictions, Numbers, PredictedValues};
    ///
    /// let estimator = ClassEstimator::new(3, 1000);
    /// let probabilities = Some(Numbers::Double(vec![0.5, 0.25, 0.25, 0.0, 0.0, 1.0]));
    /// let predictions = PredictedValues::Classes(ClassPredictions { indices: vec![0, 2], probabilities });
    /// estimator.observe(&predictions.into());
    /// assert_eq!(estimator.estimate().and_then(|estimate| estimate.accuracy), Some(0.75));
    /// ```
    pub fn new(classes: usize, rows: usize) -> Self {
        Self { classes, counts: Counts::new(rows) }
    }

    /// Counts the predictions of one batch. Ignores rows that failed, and classes without probabilities.
    pub fn observe(&self, predictions: &Predictions) {
        let PredictedValues::Classes(ClassPredictions { probabilities: Some(_), .. }) = &predictions.values
        else {
            return;
        };
        self.counts.add(
            || ClassSums::new(self.classes),
            |sums| {
                let rows = (0..predictions.len()).filter_map(|row| predictions.row(row));
                for prediction in rows.filter(Prediction::is_finite) {
                    if let Prediction::Class(index, Some(probabilities)) = prediction {
                        sums.add(index, probabilities);
                    }
                }
            },
        );
    }

    /// Returns the estimate over the last predictions. `None` before the first one.
    pub fn estimate(&self) -> Option<ClassEstimate> {
        self.sums().map(|sums| sums.estimate())
    }

    /// Returns what the estimate is made from. `None` before the first prediction.
    pub fn sums(&self) -> Option<ClassSums> {
        self.counts.both()
    }
}

impl Sums for ClassSums {
    fn rows(&self) -> u64 {
        self.rows
    }

    fn join(&mut self, other: &Self) {
        Self::join(self, other);
    }
}

impl ClassSums {
    fn new(classes: usize) -> Self {
        let shown = if classes > ClassFigures::MAX_CONFUSION { 0 } else { classes };
        let confusion = vec![vec![0.0; shown]; shown];
        Self { since_millis: millis_now(), rows: 0, largest: 0.0, confusion }
    }

    fn add(&mut self, predicted: usize, probabilities: NumberSlice<'_>) {
        self.rows += 1;
        self.largest += probabilities.iter().fold(0.0, f64::max);
        for (row, probability) in self.confusion.iter_mut().zip(probabilities.iter()) {
            if let Some(sum) = row.get_mut(predicted) {
                *sum += probability;
            }
        }
    }

    /// Adds the sums of other predictions of the same model.
    pub fn join(&mut self, other: &Self) {
        self.since_millis = self.since_millis.min(other.since_millis);
        self.rows += other.rows;
        self.largest += other.largest;
        for (row, more) in self.confusion.iter_mut().zip(&other.confusion) {
            row.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
        }
    }

    /// Computes the expected figures.
    pub fn estimate(&self) -> ClassEstimate {
        ClassEstimate {
            rows: self.rows,
            since_millis: self.since_millis,
            accuracy: ratio(self.largest, self.rows as f64),
            confusion: self.confusion.clone(),
        }
    }
}

impl ClassEstimate {
    /// Returns the figures with their metric labels.
    pub fn figures(&self) -> [(&'static str, Option<f64>); 1] {
        [("accuracy", self.accuracy)]
    }
}
