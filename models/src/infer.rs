//! Proposes a schema from a table: the values of each column decide its role, and comments say what to
//! review.

mod column;
mod propose;
mod text;

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

use csv::{ReaderBuilder, StringRecord, Trim};
use onnward_schemas::{Schema, SchemaError, SchemaFile};
use thiserror::Error;

use crate::dataset_error::{RowReason, quoted};
use column::ColumnStats;
use propose::{Purpose, propose};

/// The options of [`infer_schema`].
#[derive(Debug, Clone, Default)]
pub struct InferOptions {
    /// The schema's name. The default is the file's name without its extension.
    pub name: Option<String>,
    /// The label's column. By default it is found by its name and its values. Two values make it binary, a few
    /// classes, and more numbers a number.
    pub label: Option<String>,
}

/// A schema proposed from a table.
#[derive(Debug, Clone)]
pub struct InferredSchema {
    /// The schema.
    pub schema: Schema,
    /// The schema as the text of a TOML file, with comments on what to review.
    pub toml: String,
    /// The number of rows of the table.
    pub rows: u64,
}

/// The reason why no schema could be proposed.
#[derive(Debug, Error)]
pub enum InferError {
    /// The file cannot be opened.
    #[error("cannot open {}: {source}", path.display())]
    Open {
        /// The table.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The file cannot be read to its end.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The table.
        path: PathBuf,
        /// The error of the CSV reader.
        source: csv::Error,
    },
    /// A row cannot be read.
    #[error("{}, line {line}: {reason}", path.display())]
    Row {
        /// The table.
        path: PathBuf,
        /// The line near which the row begins, counted from 1.
        line: u64,
        /// The problem of the row.
        reason: RowReason,
    },
    /// The file has no rows below its header.
    #[error("{} has no rows: a schema is proposed from a header and rows below it", path.display())]
    Empty {
        /// The table.
        path: PathBuf,
    },
    /// Two columns have the same name.
    #[error("{} has two columns named {column:?}: rename one", path.display())]
    RepeatedColumn {
        /// The table.
        path: PathBuf,
        /// The name.
        column: String,
    },
    /// The column that was named as the label does not exist.
    #[error("{} has no column {column:?} to use as the label: it has {}", path.display(), quoted(present))]
    NoSuchColumn {
        /// The table.
        path: PathBuf,
        /// The name.
        column: String,
        /// The columns of the table.
        present: Vec<String>,
    },
    /// Nothing can be learned about the column that was named as the label.
    #[error(
        "{column:?} cannot be the label: a label has two values, some classes or numbers, and this column {found}"
    )]
    LabelUnusable {
        /// The column.
        column: String,
        /// What it has instead, in words.
        found: &'static str,
    },
    /// No column can be the label.
    #[error(
        "{} has no column with two values, such as Yes and No, that could be the label{hint}; name a label of several \
         classes or of numbers with --label", path.display()
    )]
    NoLabel {
        /// The table.
        path: PathBuf,
        /// The likely cause; may be empty.
        hint: &'static str,
    },
    /// No column but the identifier and the label is usable.
    #[error("{} has no column from which {label:?} could be predicted", path.display())]
    NoFeatures {
        /// The table.
        path: PathBuf,
        /// The label's column.
        label: String,
    },
    /// The columns do not make a valid schema.
    #[error("cannot make a schema of {}: {source}", path.display())]
    Schema {
        /// The table.
        path: PathBuf,
        /// The problem of the schema.
        source: SchemaError,
    },
}

/// Proposes a schema from the CSV table at `path`.
///
/// It names the identifier and the label, and says which columns are numeric, categorical, optional, or
/// ignored. The table is read row by row: memory grows with its columns, not with its rows.
///
/// # Errors
/// [`InferError`] if the table cannot be read, or has no usable label or features.
///
/// # Examples
/// ```
/// use onnward_models::{InferOptions, infer_schema};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = std::env::temp_dir().join(format!("onnward-infer-doctest-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// let path = folder.join("shop.csv");
/// let table = "customer_id,plan,age,churned\nc1,basic,30,yes\nc2,full,40.5,no\nc3,basic,50,no\n";
/// std::fs::write(&path, table)?;
///
/// let inferred = infer_schema(&path, &InferOptions::default())?;
/// assert_eq!(inferred.schema.identifier.as_deref(), Some("customer_id"));
/// assert_eq!(inferred.schema.label.column, "churned");
/// assert_eq!(inferred.schema.binary().map(|label| label.positive.as_str()), Some("yes"));
/// assert!(inferred.toml.contains("name = \"age\"\ntype = \"numeric\""));
/// # std::fs::remove_dir_all(folder)?;
/// # Ok(())
/// # }
/// ```
pub fn infer_schema(path: &Path, options: &InferOptions) -> Result<InferredSchema, InferError> {
    let columns = read_columns(path)?;
    let proposal = propose(path, &columns, options)?;
    if proposal.columns.iter().all(|proposed| matches!(proposed.purpose, Purpose::Ignored)) {
        let label = columns[proposal.label].name.clone();
        return Err(InferError::NoFeatures { path: path.to_owned(), label });
    }
    let stem = path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy();
    let name = options.name.clone().unwrap_or_else(|| stem.to_lowercase());
    let file_name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    let toml = text::write(&name, &file_name, &columns, &proposal);
    let schema = SchemaFile::parse(&toml)
        .map_err(|source| InferError::Schema { path: path.to_owned(), source })?
        .schema;
    let rows = columns.first().map_or(0, |column| column.rows);
    Ok(InferredSchema { schema, toml, rows })
}

fn read_columns(path: &Path) -> Result<Vec<ColumnStats>, InferError> {
    let file =
        std::fs::File::open(path).map_err(|source| InferError::Open { path: path.to_owned(), source })?;
    let unreadable = |source| unreadable(path, source);
    let mut reader = ReaderBuilder::new().trim(Trim::All).from_reader(file);
    let header = reader.headers().map_err(unreadable)?.clone();
    let mut seen = HashSet::new();
    if let Some(repeated) = header.iter().find(|name| !seen.insert(*name)) {
        return Err(InferError::RepeatedColumn { path: path.to_owned(), column: repeated.to_owned() });
    }
    let mut columns: Vec<ColumnStats> = header.iter().map(ColumnStats::new).collect();
    let mut record = StringRecord::new();
    let mut empty = true;
    while reader.read_record(&mut record).map_err(unreadable)? {
        empty = false;
        for (column, cell) in columns.iter_mut().zip(&record) {
            column.add(cell);
        }
    }
    if empty { Err(InferError::Empty { path: path.to_owned() }) } else { Ok(columns) }
}

/// Converts the csv crate's error to the messages with which a training table is rejected.
fn unreadable(path: &Path, source: csv::Error) -> InferError {
    let path = path.to_owned();
    let line_of = |position: &Option<csv::Position>| position.as_ref().map_or(1, csv::Position::line);
    match source.kind() {
        csv::ErrorKind::Utf8 { pos, .. } => {
            InferError::Row { path, line: line_of(pos), reason: RowReason::NotUtf8 }
        }
        csv::ErrorKind::UnequalLengths { pos, expected_len, len } => {
            let (expected, got) = (*expected_len as usize, *len as usize);
            InferError::Row { path, line: line_of(pos), reason: RowReason::Ragged { expected, got } }
        }
        _ => InferError::Read { path, source },
    }
}

#[cfg(test)]
mod tests;
