//! Proposes a schema from a table: what the columns hold decides what they are for, and comments say what to review.

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

/// What is known of a table before it is read.
#[derive(Debug, Clone, Default)]
pub struct InferOptions {
    /// The schema's name; the file's name without its extension where there is none.
    pub name: Option<String>,
    /// The label's column; found by its name and its values where there is none.
    pub label: Option<String>,
}

/// A schema proposed from a table.
#[derive(Debug, Clone)]
pub struct InferredSchema {
    /// The schema.
    pub schema: Schema,
    /// The schema as the text of a TOML file, with comments on what to review.
    pub toml: String,
    /// How many rows the table has.
    pub rows: u64,
}

/// Why no schema could be proposed.
#[derive(Debug, Error)]
pub enum InferError {
    /// The file could not be opened.
    #[error("cannot open {}: {source}", path.display())]
    Open {
        /// The table.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file cannot be read to its end.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The table.
        path: PathBuf,
        /// Why not.
        source: csv::Error,
    },
    /// A row cannot be read.
    #[error("{}, line {line}: {reason}", path.display())]
    Row {
        /// The table.
        path: PathBuf,
        /// The line near which the row begins, counted from 1.
        line: u64,
        /// What is wrong with it.
        reason: RowReason,
    },
    /// The file has no rows below its header.
    #[error("{} has no rows: a schema is proposed from a header and the rows below it", path.display())]
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
    /// The column that was named as the label is not there.
    #[error("{} has no column {column:?} to be the label: it has {}", path.display(), quoted(present))]
    NoSuchColumn {
        /// The table.
        path: PathBuf,
        /// The name.
        column: String,
        /// The columns that are there.
        present: Vec<String>,
    },
    /// The column that was named as the label does not have two values.
    #[error("{column:?} cannot be the label: a label has two values, this column {found}")]
    LabelNotBinary {
        /// The column.
        column: String,
        /// What it has, in words.
        found: String,
    },
    /// No column can be the label.
    #[error("{} has no column with two values, such as Yes and No, that could be the label{hint}", path.display())]
    NoLabel {
        /// The table.
        path: PathBuf,
        /// What else may be wrong; may be empty.
        hint: &'static str,
    },
    /// Beside the identifier and the label there is no column of use.
    #[error("{} has no column from which {label:?} could be predicted", path.display())]
    NoFeatures {
        /// The table.
        path: PathBuf,
        /// The label's column.
        label: String,
    },
    /// The columns do not make a schema.
    #[error("cannot make a schema of {}: {source}", path.display())]
    Schema {
        /// The table.
        path: PathBuf,
        /// Why not.
        source: SchemaError,
    },
}

/// Proposes a schema from the CSV table at `path`: the identifier, the label, which columns are numeric, categorical,
/// optional, or of no use. The table is read row by row; memory grows with its columns, not with its rows.
///
/// # Errors
/// [`InferError`].
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

/// The csv crate's error in the words in which a training table is refused.
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
