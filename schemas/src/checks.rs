//! Checks a schema against itself, once its file reads.

use std::collections::HashSet;

use crate::feature::{Feature, FeatureKind, UnknownPolicy};
use crate::schema::Schema;
use crate::task::{Binary, Classes, Task};

/// Names that are taken: by the graph's own values, and by the fields of a request and of an answer.
const RESERVED_FEATURES: [&str; 4] = ["features", "probabilities", "label", INSTANCES];
/// The field of a request under which it may hold its rows.
pub const INSTANCES: &str = "instances";
const RESERVED_PREFIXES: [&str; 2] = ["front/", "core/"];
const RESERVED_LABELS: [&str; 5] = ["id", "model", "version", "probability", "predictions"];
/// The field of an answer beside the class.
const PROBABILITIES: &str = "probabilities";

/// Lists every contradiction of a schema, and all that no table and no request could fit: one sentence each.
pub(crate) fn problems_of(schema: &Schema) -> Vec<String> {
    let mut problems = Vec::new();
    if schema.name.trim().is_empty() {
        problems.push("name is empty".to_owned());
    }
    if schema.version == 0 {
        problems.push("version starts at 1".to_owned());
    }
    threshold_problems(schema, &mut problems);
    column_problems(schema, &mut problems);
    label_problems(schema, &mut problems);
    let seen = distinct_names(schema, &mut problems);
    for feature in &schema.features {
        feature_problems(feature, &mut problems);
    }
    if let Some(identifier) = &schema.identifier
        && seen.contains(identifier)
    {
        problems.push(format!("the identifier {identifier:?} is also a feature"));
    }
    for column in &schema.ignored {
        let used = seen.contains(column)
            || schema.identifier.as_ref() == Some(column)
            || schema.label.column == *column;
        if used {
            problems.push(format!(
                "the ignored column {column:?} is also a feature, the label or the identifier"
            ));
        }
    }
    let mut segments = HashSet::new();
    for segment in &schema.segments {
        if !segments.insert(segment) {
            problems.push(format!("segment {segment:?} is listed twice"));
        }
        let feature = schema.index_of(segment).map(|index| &schema.features[index]);
        if feature.is_none_or(Feature::is_numeric) {
            problems.push(format!("segment {segment:?} is not a categorical feature"));
        }
    }
    problems.extend(revenue_problem(schema));
    problems
}

/// Checks the feature whose sum is at risk: it must be a quantity that is never negative.
fn revenue_problem(schema: &Schema) -> Option<String> {
    let name = schema.revenue.as_ref()?;
    let feature = schema.index_of(name).map(|index| &schema.features[index]);
    match feature.map(|feature| &feature.kind) {
        Some(FeatureKind::Numeric { min: Some(min), .. }) if *min >= 0.0 => None,
        Some(FeatureKind::Numeric { .. }) => {
            Some(format!("the revenue {name:?} may be below 0: give the feature a `min` of 0 or more"))
        }
        _ => Some(format!("the revenue {name:?} is not a numeric feature")),
    }
}

/// Lists the problems of an external model's schema. Its names are the graph's own, and its columns are in no
/// table, so fewer rules apply than in [`problems_of`].
pub(crate) fn input_problems(schema: &Schema) -> Vec<String> {
    let mut problems = Vec::new();
    threshold_problems(schema, &mut problems);
    label_name_problems(schema, &mut problems);
    distinct_names(schema, &mut problems);
    for feature in &schema.features {
        let name = &feature.name;
        if name.trim().is_empty() {
            problems.push(format!("a feature's name {BLANK}"));
        } else if name == INSTANCES {
            problems.push(format!("the name {name:?} is taken by the request: rename the input"));
        }
    }
    problems
}

fn threshold_problems(schema: &Schema, problems: &mut Vec<String>) {
    if let Some(Binary { threshold, .. }) = schema.binary()
        && !(*threshold > 0.0 && *threshold < 1.0)
    {
        problems.push(format!("threshold {threshold} does not lie between 0 and 1"));
    }
}

fn distinct_names<'a>(schema: &'a Schema, problems: &mut Vec<String>) -> HashSet<&'a String> {
    if schema.features.is_empty() || schema.features.len() > Schema::MAX_FEATURES {
        problems.push(format!(
            "a schema has 1 to {} features, this one {}",
            Schema::MAX_FEATURES,
            schema.features.len()
        ));
    }
    let mut seen = HashSet::new();
    for feature in &schema.features {
        if !seen.insert(&feature.name) {
            problems.push(format!("feature {:?} is listed twice", feature.name));
        }
    }
    seen
}

/// Checks the columns' names. A column without a name can be ignored, and can be nothing else.
fn column_problems(schema: &Schema, problems: &mut Vec<String>) {
    let features = schema.features.iter().map(|feature| ("feature", &feature.name));
    let identifier = schema.identifier.iter().map(|name| ("the identifier", name));
    let ignored =
        schema.ignored.iter().filter(|name| !name.is_empty()).map(|name| ("the ignored column", name));
    for (what, name) in features.chain(identifier).chain([("the label", &schema.label.column)]).chain(ignored)
    {
        match text_problem(name) {
            Some(BLANK) if what == "feature" => problems.push(format!("a feature's name {BLANK}")),
            Some(BLANK) => problems.push(format!("{what}'s name {BLANK}")),
            Some(problem) => problems.push(format!("{what} {name:?} {problem}: rename the column")),
            None => {}
        }
    }
}

const BLANK: &str = "is blank";

/// Says why no cell or name in a table can be this text: they are read without the blanks around them. A
/// control character could be read, but nobody could see it.
fn text_problem(text: &str) -> Option<&'static str> {
    if text.trim().is_empty() {
        Some(BLANK)
    } else if text.trim() != text {
        Some("has blanks around it")
    } else {
        text.chars().any(char::is_control).then_some("contains a control character")
    }
}

fn label_problems(schema: &Schema, problems: &mut Vec<String>) {
    let label = &schema.label;
    match &label.task {
        Task::Binary(binary) => binary_problems(binary, problems),
        Task::Classes(classes) => classes_problems(classes, problems),
        Task::Number => {}
        Task::Raw(_) => problems.push(
            "label.type is \"raw\", which only an external model has: write \"binary\", \"classes\" or \"number\""
                .to_owned(),
        ),
    }
    label_name_problems(schema, problems);
    if schema.index_of(&label.column).is_some() {
        problems.push(format!("the label {:?} is also a feature", label.column));
    }
    if schema.identifier.as_ref() == Some(&label.column) {
        problems.push(format!("the label {:?} is also the identifier", label.column));
    }
}

fn binary_problems(binary: &Binary, problems: &mut Vec<String>) {
    let Binary { positive, negative, .. } = binary;
    for (key, value) in [("positive", positive), ("negative", negative)] {
        problems.extend(value_problem(&format!("label.{key}"), value));
    }
    if positive == negative {
        problems.push(format!("label.positive and label.negative are both {positive:?}"));
    }
}

fn classes_problems(Classes { values }: &Classes, problems: &mut Vec<String>) {
    problems.extend(values.iter().filter_map(|value| value_problem("label.values", value)));
    let distinct: HashSet<&String> = values.iter().collect();
    if distinct.len() < values.len() {
        problems.push("label.values lists a value twice".to_owned());
    }
    if !(2..=Classes::MAX).contains(&values.len()) {
        let (most, count) = (Classes::MAX, values.len());
        problems.push(format!("label.values lists 2 to {most} classes, this one {count}"));
    }
}

/// Says why no cell of a table can be this value of the label.
fn value_problem(key: &str, value: &str) -> Option<String> {
    match text_problem(value)? {
        BLANK => Some(format!("{key} {BLANK}")),
        problem => Some(format!("{key} {value:?} {problem}")),
    }
}

fn label_name_problems(schema: &Schema, problems: &mut Vec<String>) {
    let name = &schema.label.name;
    let is_taken = match &schema.label.task {
        Task::Classes(_) => name == PROBABILITIES,
        Task::Binary(_) | Task::Number | Task::Raw(_) => false,
    };
    if name.is_empty() || is_taken || RESERVED_LABELS.contains(&name.as_str()) {
        problems.push(format!("label.name {name:?} is taken by the answer itself: set another label.name"));
    }
}

fn feature_problems(feature: &Feature, problems: &mut Vec<String>) {
    let name = feature.name.as_str();
    let reserved = RESERVED_FEATURES.contains(&name);
    if reserved || RESERVED_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
        problems.push(format!("the name {name:?} is taken by the graph or the request: rename the column"));
    }
    match &feature.kind {
        FeatureKind::Numeric { min, max, integer } => {
            for (key, limit) in [("min", min), ("max", max)] {
                // Written so that NaN lies beyond, too.
                let held = limit.is_none_or(|limit| limit.abs() <= f64::from(f32::MAX));
                if let Some(limit) = limit.filter(|_| !held) {
                    problems.push(format!(
                        "feature {name:?}: {key} {limit:e} is outside the range of single precision, up to \
                         3.4e38"
                    ));
                }
            }
            let empty = |(min, max): (f64, f64)| {
                if *integer { min.ceil() > max.floor() } else { min > max }
            };
            if min.zip(*max).is_some_and(empty) {
                problems.push(format!("feature {name:?} has no value between its min and its max"));
            }
        }
        FeatureKind::Categorical { unknown: UnknownPolicy::Keep, .. } => problems.push(format!(
            "feature {name:?} keeps unknown strings, which only an external model takes: unknown is \"reject\" or \
             \"ignore\""
        )),
        FeatureKind::Kept(_) => problems.push(format!(
            "feature {name:?} has the type \"kept\", which only an external model has: write \"numeric\" or \"categorical\""
        )),
        FeatureKind::Categorical { values, .. } => {
            let distinct: HashSet<&String> = values.iter().collect();
            if values.is_empty() || distinct.len() != values.len() {
                problems.push(format!("feature {name:?} needs one or more values, each listed once"));
            }
            for value in values {
                match text_problem(value) {
                    Some(BLANK) => problems.push(format!("feature {name:?}: a value {BLANK}")),
                    Some(problem) => {
                        problems.push(format!("feature {name:?}: the value {value:?} {problem}"))
                    }
                    None => {}
                }
            }
        }
    }
}
