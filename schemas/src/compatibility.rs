//! Compatibility: whether the clients of a served model can call another one as they are.
//!
//! Every request that the served schema accepts must be accepted by the other one, and a response must have
//! the same key with the same meaning. More optional fields, more categories and wider bounds are compatible.

use std::collections::HashSet;
use std::fmt;

use serde::Serialize;

use crate::encode::shorten;
use crate::feature::{Feature, FeatureKind, UnknownPolicy};
use crate::schema::{Label, Schema};
use crate::task::{Binary, Classes, Outputs, Task};

/// The part of an exchange that a difference is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// A request is valid for the served model and not for the other one.
    Request,
    /// A response has another key, or the same key with another meaning.
    Response,
}

/// The kind of a difference that breaks clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// A field of a request is unknown to the other model.
    Removed,
    /// The other model requires a field that the served one does not have.
    Added,
    /// A field that may be absent is required by the other model.
    Required,
    /// A field takes numbers instead of strings, or strings instead of numbers.
    Type,
    /// A field accepts fewer numbers.
    Bounds,
    /// A field accepts fewer strings.
    Categories,
    /// The key of the decision in a response differs.
    Label,
    /// The decision means another value of the label.
    Meaning,
}

/// One difference that breaks clients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The part of an exchange.
    pub part: Part,
    /// The field of a request, or the key of a response.
    pub field: String,
    /// The kind.
    pub change: Change,
    /// The difference for people, without the field's name.
    pub what: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.part {
            Part::Request => "field",
            Part::Response => "response",
        };
        write!(f, "{kind} \"{}\" {}", shorten(&self.field), self.what)
    }
}

/// Lists every difference by which `candidate` breaks clients of `served`; none if it is compatible.
///
/// ```
/// use onnward_schemas::{SchemaFile, compatibility::differences};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let toml = r#"
///     name = "shop"
///     version = 1
///     label = { column = "Left", positive = "1", negative = "0" }
///     [[features]]
///     name = "orders"
///     type = "numeric"
///     max = 100
/// "#;
/// let served = SchemaFile::parse(toml)?.schema;
/// let wider = SchemaFile::parse(&toml.replace("100", "200"))?.schema;
/// assert!(differences(&served, &wider).is_empty());
/// let found = differences(&wider, &served);
/// assert_eq!(
///     found[0].to_string(),
///     "field \"orders\" takes a number of at most 100 instead of a number of at most 200"
/// );
/// # Ok(())
/// # }
/// ```
pub fn differences(served: &Schema, candidate: &Schema) -> Vec<Difference> {
    let mut found = Vec::new();
    for feature in &served.features {
        found.extend(field_difference(feature, candidate));
    }
    if let Some(identifier) = served.identifier.as_ref().filter(|name| !accepts_anything(candidate, name)) {
        let what = "is the identifier of a row, and is no longer accepted".to_owned();
        found.push(request(identifier, Change::Removed, what));
    }
    for feature in candidate.features.iter().filter(|feature| feature.required) {
        if served.index_of(&feature.name).is_none() {
            let what = format!("is new and required: {}", feature.expected());
            found.push(request(&feature.name, Change::Added, what));
        }
    }
    found.extend(label_differences(&served.label, &candidate.label));
    found
}

/// Returns whether a schema accepts whatever this field holds, as it does of an identifier.
fn accepts_anything(schema: &Schema, field: &str) -> bool {
    schema.identifier.as_deref() == Some(field)
}

fn request(field: &str, change: Change, what: String) -> Difference {
    Difference { part: Part::Request, field: field.to_owned(), change, what }
}

/// Compares a field of the served schema with the same field of the other one. The first difference is enough:
/// of a field with another type, the bounds do not matter.
fn field_difference(served: &Feature, candidate: &Schema) -> Option<Difference> {
    let name = &served.name;
    let Some(index) = candidate.index_of(name) else {
        let is_gone = !accepts_anything(candidate, name);
        return is_gone.then(|| request(name, Change::Removed, "is no longer accepted".to_owned()));
    };
    let other = &candidate.features[index];
    if other.required && !served.required {
        return Some(request(name, Change::Required, "is required and was optional".to_owned()));
    }
    if served.may_be_missing() && !other.may_be_missing() {
        return Some(request(name, Change::Required, "may no longer be null".to_owned()));
    }
    let instead = || format!("takes {} instead of {}", other.expected(), served.expected());
    match (&served.kind, &other.kind) {
        (
            FeatureKind::Numeric { min, max, integer },
            FeatureKind::Numeric { min: other_min, max: other_max, integer: other_integer },
        ) => {
            let served = Numbers { min: *min, max: *max, integer: *integer };
            let other = Numbers { min: *other_min, max: *other_max, integer: *other_integer };
            (!served.are_within(other)).then(|| request(name, Change::Bounds, instead()))
        }
        (
            FeatureKind::Categorical { values, unknown },
            FeatureKind::Categorical { values: other_values, unknown: other_unknown },
        ) => {
            let what = fewer_strings((values, *unknown), (other_values, *other_unknown))?;
            Some(request(name, Change::Categories, what))
        }
        (FeatureKind::Kept(served), FeatureKind::Kept(other)) => {
            (!other.holds_all_of(served)).then(|| request(name, Change::Type, instead()))
        }
        _ => Some(request(name, Change::Type, instead())),
    }
}

/// The numbers that a numeric feature accepts.
#[derive(Clone, Copy)]
struct Numbers {
    min: Option<f64>,
    max: Option<f64>,
    integer: bool,
}

impl Numbers {
    /// Returns the smallest and the largest number within single precision.
    fn bounds(self) -> (f64, f64) {
        let most = f64::from(f32::MAX);
        (self.min.unwrap_or(-most).max(-most), self.max.unwrap_or(most).min(most))
    }

    /// Returns whether `other` accepts all of these numbers.
    fn are_within(self, other: Self) -> bool {
        let (low, high) = self.bounds();
        // A bound that is no whole number accepts no more than the next one inside.
        let (low, high) = if self.integer { (low.ceil(), high.floor()) } else { (low, high) };
        let (other_low, other_high) = other.bounds();
        let is_whole = self.integer || (low == high && low.fract() == 0.0);
        low > high || (low >= other_low && high <= other_high && (is_whole || !other.integer))
    }
}

/// The categories of a feature, and how it treats others.
type Categories<'a> = (&'a [String], UnknownPolicy);

/// Describes the strings that `served` accepts and `other` does not.
fn fewer_strings(
    (values, unknown): (&Vec<String>, UnknownPolicy),
    (other_values, other_unknown): (&Vec<String>, UnknownPolicy),
) -> Option<String> {
    let (served, other): (Categories<'_>, Categories<'_>) =
        ((values, unknown), (other_values, other_unknown));
    match (served.1, other.1) {
        (UnknownPolicy::Keep, UnknownPolicy::Keep) => return None,
        (UnknownPolicy::Keep | UnknownPolicy::Ignore, UnknownPolicy::Reject) => {
            return Some("no longer takes strings that it does not list".to_owned());
        }
        (UnknownPolicy::Keep, UnknownPolicy::Ignore) => {
            return Some("no longer takes blank strings".to_owned());
        }
        (UnknownPolicy::Reject | UnknownPolicy::Ignore, _) => {}
    }
    let listed: HashSet<&String> = other.0.iter().collect();
    let is_lost = |value: &&String| match other.1 {
        UnknownPolicy::Reject => !listed.contains(value),
        // Only a string that is not blank can be a category that is new.
        UnknownPolicy::Ignore => {
            !listed.contains(value) && (is_also_no_string(value) || value.trim().is_empty())
        }
        UnknownPolicy::Keep => is_also_no_string(value),
    };
    let lost: Vec<&String> = served.0.iter().filter(is_lost).collect();
    if lost.is_empty() {
        return None;
    }
    const SHOWN: usize = 10;
    let shown: Vec<String> = lost.iter().take(SHOWN).map(|value| format!("\"{}\"", shorten(value))).collect();
    let more = lost.len().saturating_sub(SHOWN);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    // A kept string is still accepted; a number or a Boolean in its place is not.
    let how = if other.1 == UnknownPolicy::Reject { "" } else { " as a number or Boolean" };
    Some(format!("no longer takes {}{more}{how}", shown.join(", ")))
}

/// Returns whether a request may also write the category as a number or a Boolean.
fn is_also_no_string(value: &str) -> bool {
    let is_number = value.parse().is_ok_and(|number: f64| number.is_finite() && number.to_string() == value);
    is_number || matches!(value, "true" | "false")
}

fn label_differences(served: &Label, candidate: &Label) -> Vec<Difference> {
    let response =
        |change, what| Difference { part: Part::Response, field: served.name.clone(), change, what };
    let mut found = Vec::new();
    if served.name != candidate.name {
        let what = format!("has the key \"{}\" instead", shorten(&candidate.name));
        found.push(response(Change::Label, what));
    }
    let meanings = match (&served.task, &candidate.task) {
        (Task::Binary(served), Task::Binary(candidate)) => meanings_of_truth(served, candidate),
        (Task::Classes(served), Task::Classes(candidate)) => new_classes(served, candidate),
        (Task::Number, Task::Number) => Vec::new(),
        (Task::Raw(served), Task::Raw(candidate)) => missing_outputs(served, candidate),
        (served, candidate) => vec![format!("is {} instead of {}", answer_of(candidate), answer_of(served))],
    };
    found.extend(meanings.into_iter().map(|what| response(Change::Meaning, what)));
    found
}

/// Describes the type of a prediction.
fn answer_of(task: &Task) -> &'static str {
    match task {
        Task::Binary(_) => "true or false",
        Task::Classes(_) => "one of several classes",
        Task::Number => "a number",
        Task::Raw(_) => "the outputs of a graph",
    }
}

fn meanings_of_truth(served: &Binary, candidate: &Binary) -> Vec<String> {
    let sides =
        [(&candidate.positive, &served.positive, "true"), (&candidate.negative, &served.negative, "false")];
    let changed = sides.into_iter().filter(|(is, was, _)| is != was);
    let what = |(is, was, meaning): (&String, &String, &str)| {
        format!("means \"{}\" instead of \"{}\" where it is {meaning}", shorten(is), shorten(was))
    };
    changed.map(what).collect()
}

/// Lists the outputs that a client misses.
fn missing_outputs(served: &Outputs, candidate: &Outputs) -> Vec<String> {
    let has = |name: &str| candidate.fields.iter().any(|field| field.name == name);
    let missing = served.fields.iter().filter(|field| !has(&field.name));
    missing.map(|field| format!("no longer has the output \"{}\"", shorten(&field.name))).collect()
}

/// Lists the classes that a client has not seen before. A class that is gone breaks nobody.
fn new_classes(served: &Classes, candidate: &Classes) -> Vec<String> {
    let new = candidate.values.iter().filter(|class| served.index_of(class).is_none());
    new.map(|class| format!("may be \"{}\", which is new", shorten(class))).collect()
}

#[cfg(test)]
mod tests;
