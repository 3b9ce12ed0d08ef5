//! Decides the role of each column.

use std::path::Path;

use super::column::{ColumnStats, number};
use super::{InferError, InferOptions};

/// The maximum number of values of a proposed categorical feature.
const MOST_CATEGORIES: usize = 50;
/// With fewer rows, that no value repeats is not significant.
const FEW_ROWS: u64 = 20;
/// Whole numbers with at most this many values may be categories.
const FEW_VALUES: usize = 10;

/// Words that name the outcome and nothing else.
const OUTCOME_WORDS: [&str; 8] =
    ["churn", "churned", "exited", "attrition", "attrited", "cancelled", "canceled", "lapsed"];
/// Words that may name the outcome.
const LABEL_WORDS: [&str; 6] = ["left", "target", "label", "outcome", "class", "y"];
const POSITIVE_WORDS: [&str; 8] = ["yes", "true", "y", "t", "left", "leaver", "positive", "churner"];
const NEGATIVE_WORDS: [&str; 11] =
    ["no", "false", "n", "f", "stayed", "existing", "retained", "active", "current", "negative", "loyal"];
const IDENTIFIER_WORDS: [&str; 6] = ["id", "uuid", "guid", "customerid", "clientid", "userid"];

/// The roles of a table's columns, by their position.
pub(super) struct Proposal {
    pub identifier: Option<usize>,
    pub label: usize,
    pub task: ProposedTask,
    /// Notes on what to review about the label.
    pub label_notes: Vec<String>,
    /// Every other column, in the table's order.
    pub columns: Vec<Proposed>,
}

/// What the label's values suggest.
pub(super) enum ProposedTask {
    Binary { positive: String, negative: String },
    Classes { values: Vec<String> },
    Number,
}

/// The role of a column.
pub(super) struct Proposed {
    pub column: usize,
    pub purpose: Purpose,
    /// Notes on what to review.
    pub notes: Vec<String>,
}

pub(super) enum Purpose {
    Numeric { min: Option<f64>, integer: bool },
    Categorical { values: Vec<String> },
    Ignored,
}

/// Decides the role of each column.
pub(super) fn propose(
    path: &Path,
    columns: &[ColumnStats],
    options: &InferOptions,
) -> Result<Proposal, InferError> {
    let mut label_notes = Vec::new();
    let label = match &options.label {
        Some(name) => named_label(path, columns, name)?,
        None => find_label(path, columns, &mut label_notes)?,
    };
    let of_label = with_class_none(&columns[label], &mut label_notes);
    let task = task_of(&of_label, &mut label_notes)?;
    if of_label.missing > 0 {
        label_notes.push(format!("{} rows have no label and cannot be trained on.", of_label.missing));
    }
    for (word, rows) in &of_label.missing_words {
        label_notes.push(format!(
            "{word:?} was read as no label in {rows} rows: list it among the values if it is a class."
        ));
    }
    let identifier = find_identifier(columns, label);
    let rest = (0..columns.len()).filter(|index| *index != label && Some(*index) != identifier);
    let proposed = rest.map(|index| {
        let mut notes = Vec::new();
        let purpose = purpose_of(&columns[index], &mut notes);
        Proposed { column: index, purpose, notes }
    });
    let columns = proposed.collect();
    Ok(Proposal { identifier, label, task, label_notes, columns })
}

fn named_label(path: &Path, columns: &[ColumnStats], name: &str) -> Result<usize, InferError> {
    columns.iter().position(|column| column.name == name).ok_or_else(|| InferError::NoSuchColumn {
        path: path.to_owned(),
        column: name.to_owned(),
        present: columns.iter().map(|column| column.name.clone()).collect(),
    })
}

/// Returns the label's column with the word "none" as a class, where there are several others: nothing is an outcome, too.
/// Beside two others, as beside yes and no, it is no value.
fn with_class_none(column: &ColumnStats, notes: &mut Vec<String>) -> ColumnStats {
    let is_class = |word: &str| {
        let several = column.values.as_ref().is_some_and(|values| values.len() > 2);
        several && !column.is_numeric() && word.eq_ignore_ascii_case("none")
    };
    for (word, rows) in column.missing_words.iter().filter(|(word, _)| is_class(word)) {
        notes.push(format!(
            "{word:?} was read as a class of {rows} rows: leave it out of the values if it is no label."
        ));
    }
    column.with_word(is_class)
}

/// Decides what a label's values are: two, some classes, or numbers.
fn task_of(column: &ColumnStats, notes: &mut Vec<String>) -> Result<ProposedTask, InferError> {
    if let Some(pair) = column.pair() {
        let (positive, negative) = positive_first(column, pair, notes);
        return Ok(ProposedTask::Binary { positive, negative });
    }
    let unusable = |found| Err(InferError::LabelUnusable { column: column.name.clone(), found });
    let values = column.sorted_values();
    match &values {
        Some(values) if values.is_empty() => return unusable("is empty"),
        Some(values) if values.len() == 1 => return unusable("has one value"),
        _ => {}
    }
    let owned = |values: Vec<&str>| values.into_iter().map(str::to_owned).collect();
    match values {
        Some(values) if column.is_numeric() && column.whole && values.len() <= FEW_VALUES => {
            notes.push(format!(
                "Takes only {}: read as classes. For a quantity, write type = \"number\" without values.",
                values.join(", ")
            ));
            Ok(ProposedTask::Classes { values: owned(values) })
        }
        _ if column.is_numeric() => {
            notes.push(format!("From {} to {} in this table.", column.min, column.max));
            Ok(ProposedTask::Number)
        }
        Some(values) if values.len() <= MOST_CATEGORIES => {
            Ok(ProposedTask::Classes { values: owned(values) })
        }
        Some(_) | None => unusable("has too many different texts for classes"),
    }
}

/// Finds the first column with two values that is named like an outcome, or else any that is, or else the last one
/// with two values.
fn find_label(path: &Path, columns: &[ColumnStats], notes: &mut Vec<String>) -> Result<usize, InferError> {
    let binary = |index: &usize| columns[*index].pair().is_some();
    let named = |wanted: &[&str]| {
        (0..columns.len()).filter(binary).find(|index| has_word(&columns[*index].name, wanted))
    };
    if let Some(index) = named(&OUTCOME_WORDS).or_else(|| named(&LABEL_WORDS)) {
        return Ok(index);
    }
    let usable = |index: &usize| task_of(&columns[*index], &mut Vec::new()).is_ok();
    let of_another_task =
        (0..columns.len()).filter(usable).find(|index| has_word(&columns[*index].name, &LABEL_WORDS));
    if let Some(index) = of_another_task {
        notes.push(
            "Named like an outcome. Is it the label? If not, name another one with --label.".to_owned(),
        );
        return Ok(index);
    }
    let hint = if columns.len() == 1 {
        ": its one column suggests that cells are not separated by commas"
    } else {
        ""
    };
    let last = (0..columns.len()).rfind(binary);
    notes.push(
        "No column is named like an outcome: this is the last one with two values. Is it the label?".into(),
    );
    last.ok_or_else(|| InferError::NoLabel { path: path.to_owned(), hint })
}

/// Returns the pair with the positive value first: the larger number, the word for yes, or else the rarer
/// value.
fn positive_first(
    column: &ColumnStats,
    [first, second]: [&str; 2],
    notes: &mut Vec<String>,
) -> (String, String) {
    let says = |value: &str, wanted: &[&str]| has_word(value, wanted);
    let is_positive = |value: &str| says(value, &POSITIVE_WORDS) || says(value, &OUTCOME_WORDS);
    let is_negative = |value: &str| says(value, &NEGATIVE_WORDS);
    let second_is_positive = if number(first).is_some() && number(second).is_some() {
        true
    } else if is_negative(first) != is_negative(second) {
        is_negative(first)
    } else if is_positive(first) != is_positive(second) {
        is_positive(second)
    } else {
        notes.push("Neither value says yes or no: the rarer one was taken as positive.".to_owned());
        column.count(second) <= column.count(first)
    };
    let (positive, negative) = if second_is_positive { (second, first) } else { (first, second) };
    (positive.to_owned(), negative.to_owned())
}

/// Finds the first column of unique values that is named like an identifier, or else the first column if it
/// is unique.
fn find_identifier(columns: &[ColumnStats], label: usize) -> Option<usize> {
    let unique =
        |index: &usize| *index != label && columns[*index].is_unique() && !columns[*index].name.is_empty();
    let named = |index: &usize| has_word(&columns[*index].name, &IDENTIFIER_WORDS);
    let first =
        Some(0).filter(|index| unique(index) && columns.first().is_some_and(|first| first.rows >= FEW_ROWS));
    (0..columns.len()).filter(unique).find(named).or(first)
}

fn purpose_of(column: &ColumnStats, notes: &mut Vec<String>) -> Purpose {
    if let Some(reason) = reason_to_ignore(column) {
        notes.push(reason);
        return Purpose::Ignored;
    }
    if column.missing > 0 {
        notes.push(format!("{} of {} rows have no value.", column.missing, column.rows));
    }
    if let Some(word) = column.missing_words.keys().next() {
        notes.push(format!("{word:?} was read as no value: list it among the values if it is a category."));
    }
    let values = column.sorted_values();
    if column.is_numeric() && !is_binary(column) {
        let (min, max) = (column.min, column.max);
        notes.push(match values {
            Some(values) if column.whole && values.len() <= FEW_VALUES => {
                format!("Takes only {}: make it categorical if these are not quantities.", values.join(", "))
            }
            _ => format!("From {min} to {max} in this table."),
        });
        return Purpose::Numeric { min: (min >= 0.0).then_some(0.0), integer: column.whole };
    }
    let values = values.unwrap_or_default();
    Purpose::Categorical { values: values.into_iter().map(str::to_owned).collect() }
}

fn reason_to_ignore(column: &ColumnStats) -> Option<String> {
    let values = column.values.as_ref().map(std::collections::BTreeMap::len);
    let is_identifier = has_word(&column.name, &IDENTIFIER_WORDS);
    if column.name.is_empty() {
        Some("has no name".to_owned())
    } else if has_word(&column.name, &OUTCOME_WORDS) {
        Some("named like the label: is it known at prediction time?".to_owned())
    } else if values == Some(0) {
        Some("has no values".to_owned())
    } else if values == Some(1) {
        Some("has the same value in every row".to_owned())
    } else if column.counts_rows && column.rows >= FEW_ROWS {
        Some("numbers the rows".to_owned())
    } else if is_identifier && (values.is_none() || column.is_unique()) {
        Some("named like an identifier".to_owned())
    } else if column.is_numeric() {
        None
    } else if let Some(text) = column.text.as_ref().filter(|_| column.numbers > 0 && values.is_none()) {
        Some(format!("mixes numbers with texts such as {text:?}"))
    } else {
        let repeats =
            values.is_some_and(|values| column.filled() < FEW_ROWS || values as u64 * 2 <= column.filled());
        let few = repeats && values.is_some_and(|values| values <= MOST_CATEGORIES);
        (!few).then(|| "has too many different texts for a category".to_owned())
    }
}

/// Reports whether a column of numbers is a category of two values such as 0 and 1, written as in a JSON
/// request.
fn is_binary(column: &ColumnStats) -> bool {
    let plain = |value: &str| number(value).is_some_and(|number| number.to_string() == value);
    column.whole && column.pair().is_some_and(|pair| pair.into_iter().all(plain))
}

/// Reports whether `name` has one of the words. `customerID`, `Churn Label` and `churn_label` have two words
/// each.
fn has_word(name: &str, wanted: &[&str]) -> bool {
    let mut spaced = String::new();
    let mut after_lower = false;
    for c in name.chars() {
        if c.is_uppercase() && after_lower {
            spaced.push(' ');
        }
        spaced.extend(c.to_lowercase());
        after_lower = c.is_lowercase();
    }
    spaced.split(|c: char| !c.is_alphanumeric()).any(|word| wanted.contains(&word))
}
