use std::borrow::Cow;

use onnward_schemas::{Binary, ClassPredictions, Feature, PredictedValues, Predictions, Schema, Task};
use prometheus::{Counter, CounterVec, Gauge, GaugeVec, IntCounter, IntCounterVec, Registry};

use super::{LazySeries, Metrics, counters, float_counters, float_gauges, remove_series};

/// The business metrics.
#[derive(Debug, Clone)]
pub struct BusinessVecs {
    predictions: IntCounterVec,
    by_band: IntCounterVec,
    by_segment: IntCounterVec,
    expected_by_segment: CounterVec,
    expected: CounterVec,
    revenue_scored: CounterVec,
    revenue_at_risk: CounterVec,
    numbers: GaugeVec,
}

impl BusinessVecs {
    pub fn new(r: &Registry) -> prometheus::Result<Self> {
        let version = &["model", "version"];
        let segment = &["model", "version", "segment", "value"];
        Ok(Self {
            predictions: counters(
                r,
                "onnward_predictions_total",
                "Rows scored, by decision at the schema's threshold, or by class.",
                &["model", "version", "decision"],
            )?,
            by_band: counters(
                r,
                "onnward_predictions_by_band_total",
                "Rows scored, by risk band (metrics.risk_bands).",
                &["model", "version", "band"],
            )?,
            by_segment: counters(
                r,
                "onnward_predictions_by_segment_total",
                "Rows scored, by the values of the schema's segment columns.",
                segment,
            )?,
            expected_by_segment: float_counters(
                r,
                "onnward_expected_positives_by_segment_total",
                "Sum of the probabilities, by the values of the schema's segment columns.",
                segment,
            )?,
            expected: float_counters(
                r,
                "onnward_expected_positives_total",
                "Sum of the probabilities: the expected number of positives among the rows scored.",
                version,
            )?,
            revenue_scored: float_counters(
                r,
                "onnward_revenue_scored_total",
                "Sum of the schema's revenue column over the rows scored, in its unit.",
                version,
            )?,
            revenue_at_risk: float_counters(
                r,
                "onnward_revenue_at_risk_total",
                "Sum of a binary model's revenue column, each row's weighted with its probability, in its unit.",
                version,
            )?,
            numbers: float_gauges(
                r,
                "onnward_predicted_numbers_sum",
                "Sum of the numbers that a model has predicted since it was loaded.",
                version,
            )?,
        })
    }

    /// Removes the series of an unloaded version.
    pub fn end(&self, model: &str, version: &str) {
        for vec in [&self.predictions, &self.by_band, &self.by_segment] {
            remove_series(vec, model, version);
        }
        for vec in [&self.expected_by_segment, &self.expected, &self.revenue_scored, &self.revenue_at_risk] {
            remove_series(vec, model, version);
        }
        remove_series(&self.numbers, model, version);
    }
}

/// The business metrics of one version of a model.
#[derive(Debug)]
pub struct BusinessMetrics(LazySeries<BusinessSeries>);

/// The series of a version.
#[derive(Debug)]
struct BusinessSeries {
    /// The number of features in a row.
    width: usize,
    of_task: TaskSeries,
    revenue: Option<Revenue>,
    segments: Vec<Segment>,
}

/// The series of a version by what it predicts.
#[derive(Debug)]
enum TaskSeries {
    Binary(BinarySeries),
    /// One for each class, up to [`MAX_CLASSES`], and one for all others.
    Classes(Vec<IntCounter>),
    Number {
        rows: IntCounter,
        sum: Gauge,
    },
    Raw {
        rows: IntCounter,
    },
}

#[derive(Debug)]
struct BinarySeries {
    threshold: f32,
    negative: IntCounter,
    positive: IntCounter,
    /// The lower edges of all bands but the first.
    edges: Vec<f32>,
    /// From the lowest band to the highest: one more than `edges`.
    bands: Vec<IntCounter>,
    expected: Counter,
}

#[derive(Debug)]
struct Revenue {
    feature: usize,
    scored: Counter,
    /// `None` if there is no probability to weight it with.
    at_risk: Option<Counter>,
}

/// A column by which predictions are broken down.
#[derive(Debug)]
struct Segment {
    feature: usize,
    /// One for each of the schema's values, then one for missing values and one for unknown ones: whatever
    /// clients send, there are no others.
    values: Vec<SegmentValue>,
}

#[derive(Debug)]
struct SegmentValue {
    rows: IntCounter,
    /// `None` if there are no positives to expect.
    expected: Option<Counter>,
}

/// The values that stand for missing values and for values outside the schema.
const RESERVED: [&str; 2] = ["missing", "unknown"];
/// The most classes that have a series of their own.
const MAX_CLASSES: usize = 50;
/// One more than there may be edges.
const MAX_BANDS: usize = 5;

impl Metrics {
    /// Returns the business metrics of one version of a model. The model's first prediction creates the series. `None` if predictions are not counted.
    pub fn business(&self, model: &str, version: u64, schema: &Schema) -> Option<BusinessMetrics> {
        let create = || {
            let (vecs, edges) = (self.business.clone(), self.risk_bands.clone());
            let (name, version, schema) = (model.to_owned(), version.to_string(), schema.clone());
            let create = move || vecs.series(&name, &version, &schema, edges);
            BusinessMetrics(self.lazy_series(model, create))
        };
        self.counts_requests.then(create)
    }
}

impl BusinessVecs {
    fn series(&self, model: &str, version: &str, schema: &Schema, edges: Vec<f32>) -> BusinessSeries {
        let rows = |decision: &str| self.predictions.with_label_values(&[model, version, decision]);
        let is_binary = matches!(schema.label.task, Task::Binary(_));
        let of_task = match &schema.label.task {
            Task::Binary(binary) => TaskSeries::Binary(self.binary_series(model, version, binary, edges)),
            Task::Classes(classes) => {
                let named = classes.values.iter().take(MAX_CLASSES).map(|class| rows(class));
                TaskSeries::Classes(named.chain([rows("other")]).collect())
            }
            Task::Number => TaskSeries::Number {
                rows: rows("number"),
                sum: self.numbers.with_label_values(&[model, version]),
            },
            Task::Raw(_) => TaskSeries::Raw { rows: rows("raw") },
        };
        let of_version = [model, version];
        let revenue = schema.revenue.as_ref().and_then(|name| schema.index_of(name)).map(|feature| Revenue {
            feature,
            scored: self.revenue_scored.with_label_values(&of_version),
            at_risk: is_binary.then(|| self.revenue_at_risk.with_label_values(&of_version)),
        });
        let segments = schema.segments.iter().filter_map(|name| {
            let feature = schema.index_of(name)?;
            let labels =
                schema.features.get(feature).and_then(Feature::categories)?.iter().map(String::as_str);
            let values = labels.chain(RESERVED).map(|value| {
                let labels = [model, version, name, value];
                SegmentValue {
                    rows: self.by_segment.with_label_values(&labels),
                    expected: is_binary.then(|| self.expected_by_segment.with_label_values(&labels)),
                }
            });
            Some(Segment { feature, values: values.collect() })
        });
        BusinessSeries { width: schema.features.len(), of_task, revenue, segments: segments.collect() }
    }

    fn binary_series(&self, model: &str, version: &str, binary: &Binary, edges: Vec<f32>) -> BinarySeries {
        let with = |vec: &IntCounterVec, label: &str| vec.with_label_values(&[model, version, label]);
        BinarySeries {
            threshold: binary.threshold as f32,
            negative: with(&self.predictions, "negative"),
            positive: with(&self.predictions, "positive"),
            bands: band_names(edges.len()).iter().map(|name| with(&self.by_band, name)).collect(),
            edges,
            expected: self.expected.with_label_values(&[model, version]),
        }
    }
}

/// Returns the names of the risk bands for this number of edges, from the lowest to the highest.
fn band_names(edges: usize) -> &'static [&'static str] {
    match edges {
        0 | 1 => &["low", "high"],
        2 => &["low", "medium", "high"],
        3 => &["low", "medium", "high", "very_high"],
        _ => &["very_low", "low", "medium", "high", "very_high"],
    }
}

impl BusinessMetrics {
    /// Counts scored rows: `features` is `[rows, features]`. Ignores rows without a prediction.
    pub fn observe(&self, features: &[f32], predictions: &Predictions) {
        self.0.observe(features, predictions);
    }
}

impl BusinessSeries {
    fn observe(&self, features: &[f32], predictions: &Predictions) {
        self.of_task.observe(predictions);
        if self.revenue.is_none() && self.segments.is_empty() {
            return;
        }
        let weights: Cow<'_, [f32]> = match &predictions.values {
            PredictedValues::Probabilities(numbers) => numbers.to_single(),
            // What is no probability weighs nothing, and what is no prediction does not count.
            _ => {
                let is_predicted =
                    |row| predictions.row(row).is_some_and(|prediction| prediction.is_finite());
                (0..predictions.len()).map(|row| if is_predicted(row) { 0.0 } else { f32::NAN }).collect()
            }
        };
        let rows = features.chunks_exact(self.width.max(1)).zip(weights.iter());
        let rows = rows.filter(|(_, weight)| weight.is_finite());
        if let Some(revenue) = &self.revenue {
            revenue.observe(rows.clone());
        }
        for segment in &self.segments {
            segment.observe(rows.clone(), weights.len());
        }
    }
}

impl TaskSeries {
    fn observe(&self, predictions: &Predictions) {
        match (self, &predictions.values) {
            (Self::Binary(series), PredictedValues::Probabilities(numbers)) => {
                series.observe(&numbers.to_single())
            }
            (Self::Classes(series), PredictedValues::Classes(classes)) => {
                let Some(others) = series.len().checked_sub(1) else { return };
                let mut counts = vec![0; series.len()];
                for index in classes.indices.iter().filter(|index| **index != ClassPredictions::NONE) {
                    let place = (*index as usize).min(others);
                    counts.iter_mut().skip(place).take(1).for_each(|count| *count += 1);
                }
                series.iter().zip(counts).for_each(|(counter, count)| add(counter, count));
            }
            (Self::Number { rows, sum }, PredictedValues::Numbers(numbers)) => {
                let finite = || numbers.as_slice().iter().filter(|number| number.is_finite());
                add(rows, finite().count() as u64);
                sum.add(finite().sum());
            }
            (Self::Raw { rows }, PredictedValues::Outputs(outputs)) => {
                add(rows, outputs.iter().filter(|row| !row.is_empty()).count() as u64);
            }
            // A session of another task than its description is refused before it is served.
            _ => {}
        }
    }
}

impl BinarySeries {
    /// Counts scored rows. Scoring threads share the counters, so sums are taken first and added once.
    fn observe(&self, probabilities: &[f32]) {
        let mut in_band = [0; MAX_BANDS];
        let mut decided = [0; 2];
        let mut expected = 0.0;
        for probability in probabilities.iter().filter(|probability| probability.is_finite()) {
            // In single precision, as the answer decides.
            decided[usize::from(*probability >= self.threshold)] += 1;
            in_band[self.edges.iter().filter(|edge| *probability >= **edge).count()] += 1;
            expected += f64::from(*probability);
        }
        for (counter, count) in [&self.negative, &self.positive].into_iter().zip(decided) {
            add(counter, count);
        }
        for (counter, count) in self.bands.iter().zip(in_band) {
            add(counter, count);
        }
        self.expected.inc_by(expected);
    }
}

impl Revenue {
    fn observe<'a>(&self, rows: impl Iterator<Item = (&'a [f32], &'a f32)>) {
        let (mut scored, mut at_risk) = (0.0, 0.0);
        // A missing revenue adds nothing, nor does what is below 0: a counter never falls.
        let of_row = |row: &[f32]| row.get(self.feature).copied().filter(|revenue| *revenue > 0.0);
        for (row, weight) in rows {
            let revenue = f64::from(of_row(row).unwrap_or(0.0));
            scored += revenue;
            at_risk += revenue * f64::from(*weight);
        }
        self.scored.inc_by(scored);
        if let Some(counter) = &self.at_risk {
            counter.inc_by(at_risk);
        }
    }
}

impl Segment {
    fn observe<'a>(&self, rows: impl Iterator<Item = (&'a [f32], &'a f32)>, len: usize) {
        let values = rows.filter_map(|(row, weight)| Some((self.place(*row.get(self.feature)?), *weight)));
        if len < self.values.len() {
            // Sums would take longer than they save.
            values.for_each(|(place, weight)| self.add(place, 1, f64::from(weight)));
            return;
        }
        let mut sums = vec![(0, 0.0); self.values.len()];
        for (place, weight) in values {
            if let Some((count, expected)) = sums.get_mut(place) {
                *count += 1;
                *expected += f64::from(weight);
            }
        }
        for (place, (count, expected)) in sums.into_iter().enumerate().filter(|(_, (count, _))| *count > 0) {
            self.add(place, count, expected);
        }
    }

    /// Returns the index of an encoded value in `values`.
    fn place(&self, code: f32) -> usize {
        let known = self.values.len() - RESERVED.len();
        if code.is_nan() {
            known
        } else if code < 0.0 {
            known + 1
        } else {
            code as usize
        }
    }

    fn add(&self, place: usize, rows: u64, expected: f64) {
        if let Some(value) = self.values.get(place) {
            value.rows.inc_by(rows);
            if let Some(counter) = &value.expected {
                counter.inc_by(expected);
            }
        }
    }
}

fn add(counter: &IntCounter, count: u64) {
    if count > 0 {
        counter.inc_by(count);
    }
}

#[cfg(test)]
mod tests;
