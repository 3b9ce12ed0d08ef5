//! The generative model from which sample customers are drawn: pure data, read from a schema file's `[sample]`.
//!
//! Columns are drawn in the order in which they are listed, each possibly given an earlier one; the label follows last
//! from a logistic model of what was drawn.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::feature::Feature;
use crate::schema::Schema;

/// How sample customers are drawn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SampleModel {
    /// Where the figures come from, for people.
    pub about: String,
    /// The features in the order in which they are drawn; each of the schema's features once.
    pub columns: Vec<SampleColumn>,
    /// The log-odds of the positive label.
    pub label: LinearModel,
}

/// How one feature is drawn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SampleColumn {
    /// The feature's name.
    pub column: String,
    /// The share of rows in which the value is left out, from 0 to 1.
    #[serde(default)]
    pub missing: f64,
    /// The distribution.
    #[serde(flatten)]
    pub draw: Draw,
}

/// A distribution of one feature.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "draw", rename_all = "lowercase")]
pub enum Draw {
    /// A categorical feature: a weight for each of its values, in the schema's order.
    Category {
        /// An earlier categorical column on which the weights depend.
        #[serde(default)]
        given: Option<String>,
        /// The weights by the value of `given`; under the key `any` where nothing is given.
        weights: BTreeMap<String, Vec<f64>>,
    },
    /// A numeric feature by its quantile function: values at equally spaced probabilities from 0 to 1, with straight
    /// lines between them.
    Quantiles {
        /// An earlier categorical column on which the quantiles depend.
        #[serde(default)]
        given: Option<String>,
        /// The quantiles by the value of `given`; under the key `any` where nothing is given.
        quantiles: BTreeMap<String, Vec<f64>>,
        /// How many decimal places the value is rounded to.
        #[serde(default)]
        decimals: u32,
    },
    /// A numeric feature as a linear function of earlier columns, with normal noise.
    Linear {
        /// The function.
        #[serde(flatten)]
        model: LinearModel,
        /// The standard deviation of the noise.
        #[serde(default)]
        noise: f64,
        /// How many decimal places the value is rounded to.
        #[serde(default)]
        decimals: u32,
    },
    /// A numeric feature as the product of two earlier ones, with relative normal noise; left blank where it is 0.
    Product {
        /// The two factors.
        of: [String; 2],
        /// The standard deviation of the noise, relative to the product.
        #[serde(default)]
        noise: f64,
        /// How many decimal places the value is rounded to.
        #[serde(default)]
        decimals: u32,
    },
}

/// `intercept` plus the sum of `terms`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LinearModel {
    /// The value where every term is 0.
    pub intercept: f64,
    /// What each column adds.
    #[serde(default)]
    pub terms: Vec<Term>,
}

/// What one column adds to a linear model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Term {
    /// The column's name.
    pub column: String,
    /// What a unit of a numeric column adds.
    #[serde(default)]
    pub per_unit: f64,
    /// What each value of a categorical column adds; values that are not listed add nothing.
    #[serde(default)]
    pub values: BTreeMap<String, f64>,
}

impl SampleModel {
    /// Holds the model against its schema.
    ///
    /// # Errors
    /// Every contradiction, in words.
    pub fn check(&self, schema: &Schema) -> Result<(), Vec<String>> {
        let mut problems = Vec::new();
        let mut drawn: HashSet<&str> = HashSet::new();
        for column in &self.columns {
            let name = column.column.as_str();
            match schema.index_of(name) {
                None => problems.push(format!("sample.columns: {name:?} is not a feature")),
                Some(index) => column.check(&schema.features[index], schema, &drawn, &mut problems),
            }
            if !drawn.insert(name) {
                problems.push(format!("sample.columns: {name:?} is drawn twice"));
            }
        }
        for feature in &schema.features {
            if !drawn.contains(feature.name.as_str()) {
                problems.push(format!("sample.columns: the feature {:?} is not drawn", feature.name));
            }
        }
        self.label.check("sample.label", schema, &drawn, &mut problems);
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }
}

impl SampleColumn {
    fn check(&self, feature: &Feature, schema: &Schema, drawn: &HashSet<&str>, problems: &mut Vec<String>) {
        let place = format!("sample.columns: {:?}", self.column);
        if !(0.0..=1.0).contains(&self.missing) || (self.missing > 0.0 && feature.required) {
            problems.push(format!(
                "{place}: missing is a share from 0 to 1, and 0 where the feature is required"
            ));
        }
        if feature.is_numeric() == matches!(self.draw, Draw::Category { .. }) {
            problems.push(format!("{place}: this way of drawing does not fit the feature's type"));
        }
        match &self.draw {
            Draw::Category { given, weights } => {
                let length = feature.categories().map_or(0, <[String]>::len);
                check_cases(&place, given.as_deref(), weights, schema, drawn, problems);
                for weights in weights.values() {
                    let usable =
                        weights.iter().all(|weight| *weight >= 0.0) && weights.iter().sum::<f64>() > 0.0;
                    if weights.len() != length || !usable {
                        problems.push(format!("{place}: needs {length} weights, none below 0 and not all 0"));
                    }
                }
            }
            Draw::Quantiles { given, quantiles, .. } => {
                check_cases(&place, given.as_deref(), quantiles, schema, drawn, problems);
                for quantiles in quantiles.values() {
                    if quantiles.len() < 2 || !quantiles.is_sorted() {
                        problems.push(format!("{place}: needs two or more quantiles, in ascending order"));
                    }
                }
            }
            Draw::Linear { model, .. } => model.check(&place, schema, drawn, problems),
            Draw::Product { of, .. } => {
                for factor in of {
                    if !drawn.contains(factor.as_str()) {
                        problems.push(format!("{place}: the factor {factor:?} is not drawn before it"));
                    }
                }
            }
        }
    }
}

fn check_cases(
    place: &str,
    given: Option<&str>,
    cases: &BTreeMap<String, Vec<f64>>,
    schema: &Schema,
    drawn: &HashSet<&str>,
    problems: &mut Vec<String>,
) {
    let expected: Vec<&str> = match given {
        None => vec!["any"],
        Some(parent) if !drawn.contains(parent) => {
            problems.push(format!("{place}: the column {parent:?} is not drawn before it"));
            return;
        }
        Some(parent) => {
            let values = schema.index_of(parent).and_then(|index| schema.features[index].categories());
            values.unwrap_or_default().iter().map(String::as_str).collect()
        }
    };
    let complete = cases.len() == expected.len() && expected.iter().all(|case| cases.contains_key(*case));
    if !complete {
        problems.push(format!("{place}: needs a list for each of {}", expected.join(", ")));
    }
}

impl LinearModel {
    fn check(&self, place: &str, schema: &Schema, drawn: &HashSet<&str>, problems: &mut Vec<String>) {
        for term in &self.terms {
            if !drawn.contains(term.column.as_str()) {
                problems.push(format!("{place}: the column {:?} is not drawn before it", term.column));
                continue;
            }
            let values = schema.index_of(&term.column).and_then(|index| schema.features[index].categories());
            let known = |value: &String| values.is_some_and(|values| values.contains(value));
            for value in term.values.keys().filter(|value| !known(value)) {
                problems.push(format!("{place}: {:?} has no value {value:?}", term.column));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::SchemaFile;

    const TELCO: &str = include_str!("../telco.toml");

    #[test]
    fn the_telco_schema_reads() {
        let schema = SchemaFile::parse(TELCO).unwrap().schema;
        assert_eq!(schema.features.len(), 19);
        assert_eq!(schema.label.name, "churn");
    }
}
