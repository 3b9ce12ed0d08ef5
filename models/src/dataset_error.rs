use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::PathBuf;

use onnward_schemas::Mismatch;
use thiserror::Error;

/// The maximum number of characters shown of a name.
const LONGEST_NAME: usize = 60;

/// The maximum number of columns listed whose names differ from the schema's only in upper and lower case.
const LISTED_CASES: usize = 5;

/// The reason why a table cannot be used for training.
#[derive(Debug, Error)]
pub enum DatasetError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// No table has such a label.
    #[error(
        "the label {column:?} has the type \"raw\", which only external ONNX files have: a model is trained on a label \
         of type \"binary\", \"classes\" or \"number\""
    )]
    Raw {
        /// The label's column.
        column: String,
    },
    /// The file is empty, or has only blank lines.
    #[error("{} is empty: it needs a header line with the columns' names, and rows", path.display())]
    NoHeader {
        /// The file.
        path: PathBuf,
    },
    /// The name of a column is not UTF-8.
    #[error("the header of {} is not UTF-8 text: save the file as UTF-8", path.display())]
    HeaderNotUtf8 {
        /// The file.
        path: PathBuf,
    },
    /// Two columns have the same name.
    #[error("{} has two columns named {column:?}: remove or rename one of them", path.display())]
    RepeatedColumn {
        /// The file.
        path: PathBuf,
        /// The name.
        column: String,
    },
    /// Columns of the schema are missing from the file.
    #[error(
        "{} lacks the schema's {}: {} (the file's columns are {})",
        path.display(), columns(missing), advice_on_missing(missing, present), quoted(present)
    )]
    MissingColumns {
        /// The file.
        path: PathBuf,
        /// The columns that are missing.
        missing: Vec<String>,
        /// The columns of the file.
        present: Vec<String>,
    },
    /// The file has columns that the schema does not name.
    #[error(
        "{} has the {}, which the schema does not name: add each as a feature to learn from it, or list it \
         under `ignored`{}", path.display(), columns(unknown), advice_on_blank(*blank)
    )]
    UnknownColumns {
        /// The file.
        path: PathBuf,
        /// The columns that the schema does not name.
        unknown: Vec<String>,
        /// The position, counted from 1, of an unknown column without a name.
        blank: Option<usize>,
    },
    /// The file has a header and no rows.
    #[error("{} has a header but no rows: add one row for each customer", path.display())]
    NoRows {
        /// The file.
        path: PathBuf,
    },
    /// Rows are invalid and are not skipped, or no row is valid.
    #[error(
        "{} of the {rows} {} of {} {} invalid: {}{invalid}",
        invalid.rows, if *rows == 1 { "row" } else { "rows" }, path.display(),
        if invalid.rows == 1 { "is" } else { "are" }, advice_on_invalid(invalid.rows, *rows)
    )]
    InvalidRows {
        /// The file.
        path: PathBuf,
        /// The number of rows of the file.
        rows: usize,
        /// The invalid rows.
        invalid: InvalidRows,
    },
    /// All rows have the same label.
    #[error(
        "every row of {} has {column} = {only:?}: a model needs rows of both labels; add rows with {other:?}, \
         or correct the schema's label", path.display()
    )]
    OneClass {
        /// The file.
        path: PathBuf,
        /// The label's column.
        column: String,
        /// The value that every row has.
        only: String,
        /// The value that no row has.
        other: String,
    },
    /// A class of the schema has no row.
    #[error(
        "{} has no row with {column} = {}: add such rows, or remove {} from label.values of the schema",
        path.display(), quoted(absent), if absent.len() == 1 { "it" } else { "them" }
    )]
    AbsentClasses {
        /// The file.
        path: PathBuf,
        /// The label's column.
        column: String,
        /// The classes.
        absent: Vec<String>,
    },
    /// All rows have the same number.
    #[error(
        "every row of {} has {column} = {only}: there is nothing to learn; add rows with other values, or correct the \
         schema's label", path.display()
    )]
    OneNumber {
        /// The file.
        path: PathBuf,
        /// The label's column.
        column: String,
        /// The number that every row has.
        only: f64,
    },
}

/// The invalid rows of a table. Only the first [`InvalidRows::LISTED`] problems are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InvalidRows {
    /// The number of invalid rows.
    pub rows: usize,
    /// The number of problems of all these rows.
    pub total_problems: usize,
    /// The first problems, in the order of the file.
    pub problems: Vec<RowProblem>,
}

/// A problem of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowProblem {
    /// The line of the file on which the row begins, counted from 1.
    pub line: u64,
    /// The column; `None` if the problem is the row itself.
    pub column: Option<String>,
    /// The problem.
    pub reason: RowReason,
}

/// The problem of a row or a cell.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RowReason {
    /// The row is longer or shorter than the header.
    #[error(
        "has {got} {} where the header has {expected}: {}",
        if *got == 1 { "cell" } else { "cells" },
        if got > expected { "a value with a comma needs quotes around it" }
        else { "a cell is missing, or the line is cut off" }
    )]
    Ragged {
        /// The number of cells of the header.
        expected: usize,
        /// The number of cells of the row.
        got: usize,
    },
    /// The cell is not UTF-8.
    #[error("is not UTF-8 text: save the file as UTF-8")]
    NotUtf8,
    /// The schema does not accept the value.
    #[error("expected {}, got {}", .0.expected, .0.got)]
    Value(Mismatch),
    /// The label is neither of its two values.
    #[error("expected the label {positive:?} or {negative:?}, got {got:?}")]
    Label {
        /// The positive value.
        positive: String,
        /// The negative value.
        negative: String,
        /// The value of the row.
        got: String,
    },
    /// The label is none of its classes.
    #[error("expected one of the classes {}, got {got:?}", quoted(classes))]
    Class {
        /// The classes.
        classes: Vec<String>,
        /// The value of the row.
        got: String,
    },
    /// The cell is not a number, or a larger one than can be computed with.
    #[error("expected a number from -{largest:e} to {largest:e}, got {got:?}", largest = crate::dataset::LARGEST_NUMBER)]
    Number {
        /// The value of the row.
        got: String,
    },
    /// An earlier row has the same identifier.
    #[error("the identifier {identifier:?} is already on line {first_line}: keep one row for each customer")]
    DuplicateIdentifier {
        /// The identifier.
        identifier: String,
        /// The line on which it occurs first.
        first_line: u64,
    },
}

impl InvalidRows {
    /// The maximum number of problems listed. The rest are only counted.
    pub const LISTED: usize = 20;

    /// Adds one invalid row.
    pub(crate) fn push(&mut self, problems: Vec<RowProblem>) {
        self.rows += 1;
        self.total_problems += problems.len();
        self.problems.extend(problems.into_iter().take(Self::LISTED - self.problems.len()));
    }
}

impl fmt::Display for InvalidRows {
    /// Writes one line for each problem, each after a line break.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.problems {
            write!(f, "\n  {problem}")?;
        }
        match self.total_problems - self.problems.len() {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more"),
        }
    }
}

impl fmt::Display for RowProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.column {
            Some(column) => write!(f, "line {}, column {column:?}: {}", self.line, self.reason),
            None => write!(f, "line {}: {}", self.line, self.reason),
        }
    }
}

/// Advises what to do about missing columns, by the likeliest reason.
fn advice_on_missing(missing: &[String], present: &[String]) -> String {
    if let Some(separator) = other_separator(present) {
        return format!(
            "the cells are separated by {separator} and not by commas; save the file with commas"
        );
    }
    let lower: HashMap<String, &String> = present.iter().map(|name| (name.to_lowercase(), name)).collect();
    let same = missing.iter().filter_map(|name| Some((name, lower.get(&name.to_lowercase())?)));
    let cased: Vec<String> = same
        .take(LISTED_CASES)
        .map(|(name, other)| format!("{} is {} in the file", quote(name), quote(other)))
        .collect();
    if cased.is_empty() {
        return "add them, or use the schema of this table".to_owned();
    }
    format!("{}; upper and lower case must be the same in both", cased.join(", "))
}

/// Returns the separator of a header that was read as one name, if it is not a comma.
pub(crate) fn other_separator(header: &[String]) -> Option<&'static str> {
    match header {
        [only] if only.contains(';') => Some("semicolons"),
        [only] if only.contains('\t') => Some("tabs"),
        _ => None,
    }
}

fn advice_on_blank(blank: Option<usize>) -> String {
    let advice = |at| {
        format!("; column {at} has no name, like an index that pandas wrote: list it as \"\" under `ignored`")
    };
    blank.map(advice).unwrap_or_default()
}

fn advice_on_invalid(invalid: usize, rows: usize) -> &'static str {
    match (invalid == rows, invalid) {
        (true, _) => "correct the table or the schema",
        (false, 1) => "correct it, or leave it out with `train --on-invalid skip`",
        (false, _) => "correct them, or leave them out with `train --on-invalid skip`",
    }
}

fn columns(names: &[String]) -> String {
    let noun = if names.len() == 1 { "column" } else { "columns" };
    format!("{noun} {}", quoted(names))
}

/// Lists the names in quotes: the first ten, each cut at [`LONGEST_NAME`] characters, and the number of the
/// rest.
pub(crate) fn quoted(names: &[String]) -> String {
    const MOST_NAMES: usize = 10;
    let mut listed: Vec<String> = names.iter().take(MOST_NAMES).map(|name| quote(name)).collect();
    if names.len() > MOST_NAMES {
        listed.push(format!("and {} more", names.len() - MOST_NAMES));
    }
    listed.join(", ")
}

/// Returns the name in quotes, cut at [`LONGEST_NAME`] characters.
fn quote(name: &str) -> String {
    match name.char_indices().nth(LONGEST_NAME) {
        Some((end, _)) => format!("{:?}", format!("{}…", &name[..end])),
        None => format!("{name:?}"),
    }
}
