//! The model from which sample customers are drawn, as a schema file's `[sample]` holds it.
//!
//! Columns are drawn in the order in which they are listed, each possibly given an earlier one. The label is
//! drawn last, from a linear model of the columns.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::feature::Feature;
use crate::schema::Schema;
use crate::task::Task;

/// The generative model of sample customers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SampleModel {
    /// The source of the figures, for people.
    pub about: String,
    /// The features in the order in which they are drawn; each of the schema's features once.
    pub columns: Vec<SampleColumn>,
    /// The label.
    pub label: SampleLabel,
}

/// The generative model of the label, by the task.
///
/// A file says which by its keys: `classes`, or `noise` for a number, or neither for a binary label.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "SampleLabelSpec", into = "SampleLabelSpec")]
pub enum SampleLabel {
    /// The log-odds of the positive label.
    Binary(LinearModel),
    /// The natural logarithm of the weight of each class: a multinomial logit model.
    Classes(BTreeMap<String, LinearModel>),
    /// A number.
    Number(SampleNumber),
}

/// The generative model of a label that is a number: a linear function of the columns, with normal noise.
#[derive(Debug, Clone, PartialEq)]
pub struct SampleNumber {
    /// The function.
    pub mean: LinearModel,
    /// The standard deviation of the noise.
    pub noise: f64,
    /// The number of decimal places to which the number is rounded.
    pub decimals: u8,
    /// Whether the label is *e* to the power of the number: a price, of which effects are factors.
    pub exponential: bool,
}

/// A [`SampleLabel`] as a file has it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct SampleLabelSpec {
    #[serde(skip_serializing_if = "Option::is_none")]
    intercept: Option<f64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    terms: Vec<Term>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    classes: BTreeMap<String, LinearModel>,
    #[serde(skip_serializing_if = "Option::is_none")]
    noise: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decimals: Option<u8>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    exponential: bool,
}

impl TryFrom<SampleLabelSpec> for SampleLabel {
    type Error = &'static str;

    fn try_from(spec: SampleLabelSpec) -> Result<Self, Self::Error> {
        let SampleLabelSpec { intercept, terms, classes, noise, decimals, exponential } = spec;
        let of_a_number = decimals.is_some() || exponential;
        if !classes.is_empty() {
            if intercept.is_some() || !terms.is_empty() || noise.is_some() || of_a_number {
                return Err("a label with `classes` has its intercept and terms in each class");
            }
            return Ok(Self::Classes(classes));
        }
        let intercept = intercept.ok_or("a label needs an intercept, or `classes`")?;
        let mean = LinearModel { intercept, terms };
        match noise {
            Some(noise) => {
                Ok(Self::Number(SampleNumber { mean, noise, decimals: decimals.unwrap_or(0), exponential }))
            }
            None if of_a_number => Err("a label that is a number needs `noise`, which may be 0"),
            None => Ok(Self::Binary(mean)),
        }
    }
}

impl From<SampleLabel> for SampleLabelSpec {
    fn from(label: SampleLabel) -> Self {
        match label {
            SampleLabel::Binary(LinearModel { intercept, terms }) => {
                Self { intercept: Some(intercept), terms, ..Self::default() }
            }
            SampleLabel::Classes(classes) => Self { classes, ..Self::default() },
            SampleLabel::Number(SampleNumber { mean, noise, decimals, exponential }) => Self {
                intercept: Some(mean.intercept),
                terms: mean.terms,
                noise: Some(noise),
                decimals: Some(decimals),
                exponential,
                ..Self::default()
            },
        }
    }
}

/// The generative model of one feature. Numbers are clamped to the feature's range, and rounded where it
/// takes whole numbers only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SampleColumn {
    /// The feature's name.
    pub column: String,
    /// The share of rows in which the drawn value is left out of the table, from 0 to 1. Columns that depend
    /// on it, and the label, still follow the value: it is missing at random.
    #[serde(default)]
    pub missing: f64,
    /// The distribution.
    pub draw: Draw,
}

/// A distribution of one feature.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Draw {
    /// A categorical feature by the weights of its values: a multinomial logit model.
    Category {
        /// An earlier categorical column on which the weights depend.
        #[serde(default)]
        given: Option<String>,
        /// A weight for each of the feature's values, in the schema's order, by the value of `given`; under
        /// the key `any` where nothing is given. A value of weight 0 is never drawn.
        weights: BTreeMap<String, Vec<f64>>,
        /// The amounts that earlier columns add to the natural logarithm of a value's weight.
        #[serde(default)]
        effects: BTreeMap<String, Vec<Term>>,
    },
    /// A numeric feature by its quantile function: values at equally spaced probabilities from 0 to 1, with
    /// straight lines between them.
    Quantiles {
        /// An earlier categorical column on which the quantiles depend.
        #[serde(default)]
        given: Option<String>,
        /// The quantiles by the value of `given`; under the key `any` where nothing is given.
        at: BTreeMap<String, Vec<f64>>,
        /// The number of decimal places to which the value is rounded.
        #[serde(default)]
        decimals: u8,
    },
    /// A numeric feature as a linear function of earlier columns, with normal noise.
    Linear {
        /// The function.
        mean: LinearModel,
        /// The standard deviation of the noise.
        #[serde(default)]
        noise: f64,
        /// The number of decimal places to which the value is rounded.
        #[serde(default)]
        decimals: u8,
    },
    /// A numeric feature as the product of two earlier ones, with relative normal noise. Where the product is
    /// 0, an optional feature is left blank.
    Product {
        /// The two factors.
        of: [String; 2],
        /// The standard deviation of the noise, relative to the product.
        #[serde(default)]
        noise: f64,
        /// The number of decimal places to which the value is rounded.
        #[serde(default)]
        decimals: u8,
    },
}

/// `intercept` plus the sum of `terms`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinearModel {
    /// The value where every term is 0.
    pub intercept: f64,
    /// The term of each column.
    #[serde(default)]
    pub terms: Vec<Term>,
}

/// The term of one column in a linear model.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Term {
    /// The column's name.
    pub column: String,
    /// The increment per unit of a numeric column; 0 for a categorical one.
    #[serde(default)]
    pub per_unit: f64,
    /// The increment for each value of a categorical column; values that are not listed add nothing.
    #[serde(default)]
    pub values: BTreeMap<String, f64>,
}

impl SampleModel {
    /// Checks the model against its schema.
    ///
    /// # Errors
    /// Every contradiction, in words.
    pub fn check(&self, schema: &Schema) -> Result<(), Vec<String>> {
        let mut check = Check { schema, drawn: HashSet::new(), problems: Vec::new() };
        for column in &self.columns {
            let name = column.column.as_str();
            match schema.index_of(name) {
                None => check.problems.push(format!("sample.columns: {name:?} is not a feature")),
                Some(index) => check.column(column, &schema.features[index]),
            }
            if !check.drawn.insert(name) {
                check.problems.push(format!("sample.columns: {name:?} is drawn twice"));
            }
        }
        for feature in &schema.features {
            if !check.drawn.contains(feature.name.as_str()) {
                check.problems.push(format!("sample.columns: the feature {:?} is not drawn", feature.name));
            }
        }
        check.label(&self.label);
        if check.problems.is_empty() { Ok(()) } else { Err(check.problems) }
    }
}

/// A model while it is checked against its schema.
struct Check<'a> {
    schema: &'a Schema,
    /// The columns before the one that is checked.
    drawn: HashSet<&'a str>,
    problems: Vec<String>,
}

impl Check<'_> {
    fn column(&mut self, column: &SampleColumn, feature: &Feature) {
        let place = format!("sample.columns: {:?}", column.column);
        if !(0.0..=1.0).contains(&column.missing) || (column.missing > 0.0 && feature.required) {
            let problem = "missing is a share from 0 to 1, and 0 where the feature is required";
            self.problems.push(format!("{place}: {problem}"));
        }
        if feature.is_numeric() == matches!(column.draw, Draw::Category { .. }) {
            self.problems.push(format!("{place}: this way of drawing does not fit the feature's type"));
        }
        match &column.draw {
            Draw::Category { given, weights, effects } => {
                let values = feature.categories().unwrap_or_default();
                self.cases(&place, given.as_deref(), weights);
                for weights in weights.values() {
                    let usable = weights.iter().all(|weight| *weight >= 0.0 && weight.is_finite());
                    if weights.len() != values.len() || !usable || weights.iter().sum::<f64>() <= 0.0 {
                        let length = values.len();
                        self.problems
                            .push(format!("{place}: needs {length} weights, none below 0 and not all 0"));
                    }
                }
                for (value, terms) in effects {
                    if !values.contains(value) {
                        self.problems
                            .push(format!("{place}: effects on {value:?}, which is not a value of it"));
                    }
                    self.terms(&place, terms);
                }
            }
            Draw::Quantiles { given, at, .. } => {
                self.cases(&place, given.as_deref(), at);
                for quantiles in at.values() {
                    let finite = quantiles.iter().all(|quantile| quantile.is_finite());
                    if quantiles.len() < 2 || !finite || !quantiles.is_sorted() {
                        self.problems
                            .push(format!("{place}: needs two or more quantiles, in ascending order"));
                    }
                }
            }
            Draw::Linear { mean, noise, .. } => {
                self.noise(&place, *noise);
                self.linear(&place, mean);
            }
            Draw::Product { of, noise, .. } => {
                self.noise(&place, *noise);
                for factor in of {
                    if !self.earlier(factor).is_some_and(Feature::is_numeric) {
                        let problem =
                            format!("the factor {factor:?} is not a numeric column drawn before it");
                        self.problems.push(format!("{place}: {problem}"));
                    }
                }
            }
        }
    }

    /// Returns a feature that is drawn before the column that is checked.
    fn earlier(&self, name: &str) -> Option<&Feature> {
        let index = self.schema.index_of(name).filter(|_| self.drawn.contains(name))?;
        self.schema.features.get(index)
    }

    /// Checks that there is a list for each value of `given`, or one under `any`.
    fn cases(&mut self, place: &str, given: Option<&str>, lists: &BTreeMap<String, Vec<f64>>) {
        let any = ["any".to_owned()];
        let expected = match given {
            None => any.as_slice(),
            Some(parent) => match self.earlier(parent).and_then(Feature::categories) {
                Some(values) => values,
                None => {
                    let problem = format!("{parent:?} is not a categorical column drawn before it");
                    self.problems.push(format!("{place}: {problem}"));
                    return;
                }
            },
        };
        if lists.len() != expected.len() || !expected.iter().all(|case| lists.contains_key(case)) {
            let problem = format!("needs a list for each of {}", expected.join(", "));
            self.problems.push(format!("{place}: {problem}"));
        }
    }

    fn label(&mut self, label: &SampleLabel) {
        let place = "sample.label";
        match (label, &self.schema.label.task) {
            (SampleLabel::Binary(model), Task::Binary(_)) => self.linear(place, model),
            (SampleLabel::Classes(models), Task::Classes(classes)) => {
                if models.len() != classes.values.len()
                    || !classes.values.iter().all(|class| models.contains_key(class))
                {
                    let problem = format!("needs a linear model for each of {}", classes.values.join(", "));
                    self.problems.push(format!("{place}.classes: {problem}"));
                }
                for (class, model) in models {
                    self.linear(&format!("{place}.classes.{class:?}"), model);
                }
            }
            (SampleLabel::Number(number), Task::Number) => {
                self.noise(place, number.noise);
                self.linear(place, &number.mean);
            }
            (_, task) => {
                let needs = match task {
                    Task::Binary(_) => "an intercept and terms alone",
                    Task::Classes(_) => "`classes`",
                    Task::Number => "an intercept, terms and `noise`",
                    Task::Raw(_) => "a schema of a table, not of an external file",
                };
                let task = task.kind().name();
                self.problems.push(format!("{place}: a label of type {task:?} needs {needs}"));
            }
        }
    }

    fn noise(&mut self, place: &str, noise: f64) {
        if !(noise >= 0.0 && noise.is_finite()) {
            self.problems.push(format!("{place}: noise is a standard deviation of 0 or more"));
        }
    }

    fn linear(&mut self, place: &str, model: &LinearModel) {
        if !model.intercept.is_finite() {
            self.problems.push(format!("{place}: the intercept is not a finite number"));
        }
        self.terms(place, &model.terms);
    }

    fn terms(&mut self, place: &str, terms: &[Term]) {
        for Term { column, per_unit, values } in terms {
            let problem = match self.earlier(column) {
                None => Some("is not drawn before it".to_owned()),
                Some(feature) => match feature.categories() {
                    None if !values.is_empty() => Some("is numeric: use per_unit".to_owned()),
                    Some(_) if *per_unit != 0.0 => Some("is categorical: use values".to_owned()),
                    Some(known) => values
                        .keys()
                        .find(|value| !known.contains(value))
                        .map(|value| format!("has no value {value:?}")),
                    None => None,
                },
            };
            if let Some(problem) = problem {
                self.problems.push(format!("{place}: {column:?} {problem}"));
            }
            if !per_unit.is_finite() || !values.values().all(|effect| effect.is_finite()) {
                self.problems.push(format!("{place}: the effect of {column:?} is not a finite number"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::SchemaFile;

    const TELCO: &str = include_str!("../telco.toml");
    const BANK: &str = include_str!("../bank.toml");

    fn refusal(text: &str) -> String {
        SchemaFile::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn the_shipped_schemas_read() {
        let telco = SchemaFile::parse(TELCO).unwrap();
        assert_eq!((telco.schema.features.len(), telco.schema.label.name.as_str()), (19, "churn"));
        let bank = SchemaFile::parse(BANK).unwrap();
        assert_eq!((bank.schema.features.len(), bank.schema.label.name.as_str()), (10, "exited"));
        assert!(telco.sample.is_some() && bank.sample.is_some());
    }

    #[test]
    fn every_contradiction_of_a_sample_model_is_named() {
        let cases = [
            (
                "given = \"Geography\"",
                "given = \"EstimatedSalary\"",
                "\"EstimatedSalary\" is not a categorical",
            ),
            ("at.\"Spain\"", "at.\"Italy\"", "a list for each of France, Germany, Spain"),
            ("[0.454, 0.546]", "[0.454, 0.546, 0]", "\"Gender\": needs 2 weights"),
            ("[0.454, 0.546]", "[0, 0]", "\"Gender\": needs 2 weights"),
            ("at.any = [0, 10]", "at.any = [10, 0]", "\"Tenure\": needs two or more quantiles"),
            (
                "effects.\"1\" = [{ column = \"Age\"",
                "effects.\"2\" = [{ column = \"Age\"",
                "effects on \"2\"",
            ),
            ("\"Male\" = -0.53", "\"male\" = -0.53", "\"Gender\" has no value \"male\""),
            ("\"Age\", per_unit = 0.071", "\"Age\", values = { \"1\" = 1 }", "use per_unit"),
            ("column = \"HasCrCard\"\n[", "column = \"Gender\"\n[", "\"Gender\" is drawn twice"),
            ("column = \"HasCrCard\"\n[", "column = \"Gender\"\n[", "\"HasCrCard\" is not drawn"),
            ("missing = 0.05", "missing = 1.05", "missing is a share"),
        ];
        for (right, wrong, problem) in cases {
            assert!(BANK.contains(right), "{right}");
            let message = refusal(&BANK.replace(right, wrong));
            assert!(message.contains(problem), "{message}");
        }
    }

    #[test]
    fn an_unknown_key_of_a_sample_model_is_named() {
        for (right, wrong) in [("decimals", "decimal"), ("effects", "effect"), ("missing", "mising")] {
            let message = refusal(&BANK.replace(right, wrong));
            assert!(message.contains("line") && message.contains(wrong), "{message}");
        }
    }
}
