//! A sample model with every name resolved, so that drawing a row needs no lookup.

use std::collections::BTreeMap;

use onnward_schemas::sample::{Draw, LinearModel, SampleColumn, SampleLabel, SampleModel, Term};
use onnward_schemas::{Feature, FeatureKind, Schema};
use rand::{Rng, RngExt};
use rand_distr::StandardNormal;

use crate::metrics::quantile;

/// A drawn customer.
#[derive(Debug, Default)]
pub(super) struct Drawn {
    /// The value of each feature, in the schema's order: a number, or the index of a category.
    pub values: Vec<f64>,
    /// Whether the cell of each feature is blank.
    pub blank: Vec<bool>,
    /// The label.
    pub label: DrawnLabel,
}

/// A drawn label.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum DrawnLabel {
    /// Whether it is positive.
    Binary(bool),
    /// The index of its class.
    Class(usize),
    /// Its number.
    Number(f64),
}

impl Default for DrawnLabel {
    fn default() -> Self {
        Self::Binary(false)
    }
}

/// A sample model from which customers are drawn.
pub(super) struct Plan {
    features: usize,
    columns: Vec<Column>,
    label: LabelDrawing,
}

enum LabelDrawing {
    /// By its log-odds.
    Binary(Linear),
    /// By the logarithm of the weight of each class, in the schema's order.
    Classes(Vec<Linear>),
    Number {
        mean: Linear,
        noise: f64,
        exponential: bool,
        range: Range,
    },
}

struct Column {
    /// The feature's index.
    feature: usize,
    missing: f64,
    optional: bool,
    range: Range,
    draw: Drawing,
}

enum Drawing {
    Category { given: Option<usize>, weights: Vec<Vec<f64>>, effects: Vec<(usize, Vec<Addend>)> },
    Quantiles { given: Option<usize>, at: Vec<Vec<f64>> },
    Linear { mean: Linear, noise: f64 },
    Product { of: [usize; 2], noise: f64 },
}

struct Linear {
    intercept: f64,
    terms: Vec<Addend>,
}

/// The contribution of a feature to a linear model.
struct Addend {
    feature: usize,
    effect: Effect,
}

enum Effect {
    PerUnit(f64),
    ByValue(Vec<f64>),
}

/// The numbers that a feature takes.
struct Range {
    min: f64,
    max: f64,
    /// A power of ten: numbers are rounded to multiples of its reciprocal.
    scale: f64,
}

impl Plan {
    /// Resolves a model that has passed [`SampleModel::check`]. Parts that contradict the schema are ignored.
    pub fn new(schema: &Schema, model: &SampleModel) -> Self {
        let columns = model.columns.iter().filter_map(|column| Column::new(schema, column)).collect();
        Self { features: schema.features.len(), columns, label: LabelDrawing::new(schema, &model.label) }
    }

    /// Draws a customer into `drawn`.
    pub fn draw(&self, rng: &mut impl Rng, drawn: &mut Drawn) {
        drawn.values.clear();
        drawn.values.resize(self.features, 0.0);
        drawn.blank.clear();
        drawn.blank.resize(self.features, false);
        for column in &self.columns {
            let value = column.draw(rng, &drawn.values);
            let zero_product = value == 0.0 && matches!(column.draw, Drawing::Product { .. });
            let lost = column.missing > 0.0 && rng.random::<f64>() < column.missing;
            drawn.values[column.feature] = value;
            drawn.blank[column.feature] = lost || (zero_product && column.optional);
        }
        drawn.label = self.label.draw(rng, &drawn.values);
    }
}

impl LabelDrawing {
    fn new(schema: &Schema, label: &SampleLabel) -> Self {
        match label {
            SampleLabel::Binary(log_odds) => Self::Binary(Linear::new(schema, log_odds)),
            SampleLabel::Classes(models) => {
                let classes = schema.label.task.classes();
                let of = |class: &String| Some(Linear::new(schema, models.get(class)?));
                Self::Classes(classes.iter().filter_map(of).collect())
            }
            SampleLabel::Number(number) => Self::Number {
                mean: Linear::new(schema, &number.mean),
                noise: number.noise,
                exponential: number.exponential,
                range: Range::of(None, None, false, number.decimals),
            },
        }
    }

    fn draw(&self, rng: &mut impl Rng, values: &[f64]) -> DrawnLabel {
        match self {
            Self::Binary(log_odds) => {
                // The logistic function: https://en.wikipedia.org/wiki/Logistic_function
                let probability = 1.0 / (1.0 + (-log_odds.at(values)).exp());
                DrawnLabel::Binary(rng.random::<f64>() < probability)
            }
            Self::Classes(classes) => {
                let weights: Vec<f64> = classes.iter().map(|class| weight(class.at(values))).collect();
                DrawnLabel::Class(share_out(rng.random(), &weights))
            }
            Self::Number { mean, noise, exponential, range } => {
                let number = mean.at(values) + noise * rng.sample::<f64, _>(StandardNormal);
                DrawnLabel::Number(range.fit(if *exponential { number.exp() } else { number }))
            }
        }
    }
}

/// Returns the weight of a logarithm. The bounds keep it, and the sum of some, from overflowing.
fn weight(logarithm: f64) -> f64 {
    logarithm.clamp(-300.0, 300.0).exp()
}

impl Column {
    fn new(schema: &Schema, column: &SampleColumn) -> Option<Self> {
        let index = schema.index_of(&column.column)?;
        let feature = schema.features.get(index)?;
        let parent = |given: &Option<String>| given.as_ref().and_then(|name| schema.index_of(name));
        let (draw, decimals) = match &column.draw {
            Draw::Category { given, weights, effects } => {
                let code = |value: &String| feature.categories()?.iter().position(|known| known == value);
                let effects = effects
                    .iter()
                    .filter_map(|(value, terms)| Some((code(value)?, addends(schema, terms))))
                    .collect();
                let given = parent(given);
                (Drawing::Category { given, weights: by_case(schema, given, weights), effects }, 0)
            }
            Draw::Quantiles { given, at, decimals } => {
                let given = parent(given);
                (Drawing::Quantiles { given, at: by_case(schema, given, at) }, *decimals)
            }
            Draw::Linear { mean, noise, decimals } => {
                (Drawing::Linear { mean: Linear::new(schema, mean), noise: *noise }, *decimals)
            }
            Draw::Product { of: [a, b], noise, decimals } => {
                let of = [schema.index_of(a)?, schema.index_of(b)?];
                (Drawing::Product { of, noise: *noise }, *decimals)
            }
        };
        let (missing, optional) = (column.missing, !feature.required);
        Some(Self { feature: index, missing, optional, range: Range::new(feature, decimals), draw })
    }

    fn draw(&self, rng: &mut impl Rng, values: &[f64]) -> f64 {
        let case = |given: Option<usize>| given.map_or(0, |feature| values[feature] as usize);
        match &self.draw {
            Drawing::Category { given, weights, effects } => {
                let weights = weights.get(case(*given)).map_or(&[][..], Vec::as_slice);
                pick(rng.random(), weights, effects, values) as f64
            }
            Drawing::Quantiles { given, at } => {
                let at = at.get(case(*given)).map_or(&[][..], Vec::as_slice);
                self.range.fit(quantile(at, rng.random()))
            }
            Drawing::Linear { mean, noise } => {
                self.range.fit(mean.at(values) + noise * rng.sample::<f64, _>(StandardNormal))
            }
            Drawing::Product { of: [a, b], noise } => {
                let factor = 1.0 + noise * rng.sample::<f64, _>(StandardNormal);
                self.range.fit(values[*a] * values[*b] * factor)
            }
        }
    }
}

/// Returns the lists in the order of the values of `given`, or the only list if nothing is given.
fn by_case(schema: &Schema, given: Option<usize>, lists: &BTreeMap<String, Vec<f64>>) -> Vec<Vec<f64>> {
    match given.and_then(|feature| schema.features.get(feature)?.categories()) {
        Some(values) => values.iter().map(|value| lists.get(value).cloned().unwrap_or_default()).collect(),
        None => lists.values().cloned().collect(),
    }
}

/// Returns the index of the category on which `uniform` falls when the categories share the range from 0 to 1
/// by weight.
fn pick(uniform: f64, weights: &[f64], effects: &[(usize, Vec<Addend>)], values: &[f64]) -> usize {
    let mut weights = weights.to_vec();
    for (value, terms) in effects {
        let effect: f64 = terms.iter().map(|term| term.at(values)).sum();
        if let Some(of_value) = weights.get_mut(*value) {
            *of_value *= weight(effect);
        }
    }
    share_out(uniform, &weights)
}

/// Returns the index of the weight on which `uniform` falls when they share the range from 0 to 1.
fn share_out(uniform: f64, weights: &[f64]) -> usize {
    let mut rest = uniform * weights.iter().sum::<f64>();
    let mut last = 0;
    for (index, weight) in weights.iter().enumerate().filter(|(_, weight)| **weight > 0.0) {
        last = index;
        if rest < *weight {
            break;
        }
        rest -= weight;
    }
    last
}

fn addends(schema: &Schema, terms: &[Term]) -> Vec<Addend> {
    let resolve = |term: &Term| {
        let feature = schema.index_of(&term.column)?;
        let effect = match schema.features.get(feature)?.categories() {
            None => Effect::PerUnit(term.per_unit),
            Some(values) => {
                let effect = |value: &String| term.values.get(value).copied().unwrap_or_default();
                Effect::ByValue(values.iter().map(effect).collect())
            }
        };
        Some(Addend { feature, effect })
    };
    terms.iter().filter_map(resolve).collect()
}

impl Linear {
    fn new(schema: &Schema, model: &LinearModel) -> Self {
        Self { intercept: model.intercept, terms: addends(schema, &model.terms) }
    }

    fn at(&self, values: &[f64]) -> f64 {
        self.intercept + self.terms.iter().map(|term| term.at(values)).sum::<f64>()
    }
}

impl Addend {
    fn at(&self, values: &[f64]) -> f64 {
        let value = values[self.feature];
        match &self.effect {
            Effect::PerUnit(per_unit) => per_unit * value,
            Effect::ByValue(effects) => effects.get(value as usize).copied().unwrap_or_default(),
        }
    }
}

impl Range {
    fn new(feature: &Feature, decimals: u8) -> Self {
        let (min, max, integer) = match feature.kind {
            FeatureKind::Numeric { min, max, integer } => (min, max, integer),
            FeatureKind::Categorical { .. } | FeatureKind::Kept(_) => (None, None, false),
        };
        Self::of(min, max, integer, decimals)
    }

    fn of(min: Option<f64>, max: Option<f64>, integer: bool, decimals: u8) -> Self {
        // The range of single precision, in which models take numbers.
        let min = min.unwrap_or(f64::MIN).max(f64::from(f32::MIN));
        let max = max.unwrap_or(f64::MAX).min(f64::from(f32::MAX));
        if integer {
            Self { min: min.ceil(), max: max.floor(), scale: 1.0 }
        } else {
            Self { min, max, scale: 10_f64.powi(i32::from(decimals.min(12))) }
        }
    }

    /// Rounds a value, and brings it into the range.
    fn fit(&self, value: f64) -> f64 {
        let rounded = (value * self.scale).round() / self.scale;
        // Unlike `clamp`, this brings NaN into the range too, and cannot panic.
        let fitted = rounded.max(self.min).min(self.max);
        // Adding 0 makes 0 of -0, which is printed with its sign.
        fitted + 0.0
    }
}
