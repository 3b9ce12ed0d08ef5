use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::Path;

use csv::{ByteRecord, ReaderBuilder, Trim};
use ndarray::{Array2, Axis};
use onnward_schemas::{Binary, Feature, Schema, Task, UNKNOWN_CATEGORY, sha256_hex};

use crate::dataset_error::{DatasetError, InvalidRows, RowProblem, RowReason};
use crate::labels::{ClassLabels, Labels};

/// The largest number in a table. Models compute in single precision, and squares and sums must fit.
pub(crate) const LARGEST_NUMBER: f32 = 1e30;

/// A table of customers with known labels, checked against its schema and encoded.
///
/// ```
/// use std::path::Path;
///
/// use onnward_models::{Dataset, Labels, OnInvalid};
/// # use onnward_schemas::SchemaFile;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let schema = SchemaFile::parse(
/// #     r#"
/// #     name = "shop"
/// #     version = 1
/// #     label = { column = "left", positive = "yes", negative = "no" }
/// #     [[features]]
/// #     name = "plan"
/// #     type = "categorical"
/// #     values = ["basic", "full"]
/// #     "#,
/// # )?
/// # .schema;
/// let table = "plan,left\nbasic,yes\nfull,no\ngold,no\n";
/// let data = Dataset::parse(table.as_bytes(), Path::new("shop.csv"), &schema, OnInvalid::Skip)?;
/// assert_eq!((data.rows(), &data.labels), (2, &Labels::Binary(vec![true, false])));
/// assert_eq!(data.features.column(0).to_vec(), [0.0, 1.0]);
/// assert_eq!(
///     data.skipped.problems[0].to_string(),
///     "line 4, column \"plan\": expected one of \"basic\", \"full\", got \"gold\""
/// );
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Dataset {
    /// The schema of the table.
    pub schema: Schema,
    /// The encoded features `[rows, features]`, in the schema's order: a number as itself, a category as its
    /// index, a missing value as NaN.
    pub features: Array2<f32>,
    /// The label of each row.
    pub labels: Labels,
    /// The SHA-256 of the file's bytes, in hexadecimal.
    pub sha256: String,
    /// The number of rows skipped as invalid.
    pub skipped_rows: usize,
    /// The skipped rows, with the first of their problems.
    pub skipped: InvalidRows,
}

/// The handling of invalid rows of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnInvalid {
    /// The table is rejected.
    #[default]
    Fail,
    /// Invalid rows are skipped and counted.
    Skip,
}

/// Some rows of a dataset.
#[derive(Debug, Clone)]
pub(crate) struct LabelledRows {
    /// The encoded features `[rows, features]`.
    pub features: Array2<f32>,
    /// The label of each row.
    pub labels: Labels,
}

impl Dataset {
    /// Reads a CSV file (RFC 4180, UTF-8, with a header) by `schema`. The columns may have any order.
    ///
    /// # Errors
    /// [`DatasetError`] if the file, its header or its label cannot be used, or if rows are invalid and
    /// `on_invalid` is [`OnInvalid::Fail`].
    pub fn read(path: &Path, schema: &Schema, on_invalid: OnInvalid) -> Result<Self, DatasetError> {
        let bytes =
            fs::read(path).map_err(|source| DatasetError::Unreadable { path: path.to_owned(), source })?;
        Self::parse(&bytes, path, schema, on_invalid)
    }

    /// Reads the bytes of a CSV file, as [`Dataset::read`] does. Errors name the file `path`.
    ///
    /// # Errors
    /// As [`Dataset::read`].
    pub fn parse(
        bytes: &[u8],
        path: &Path,
        schema: &Schema,
        on_invalid: OnInvalid,
    ) -> Result<Self, DatasetError> {
        let labels = TableLabels::of(&schema.label.task);
        let labels = labels.ok_or_else(|| DatasetError::Raw { column: schema.label.column.clone() })?;
        let unreadable = |source| DatasetError::Unreadable { path: path.to_owned(), source };
        let mut reader = ReaderBuilder::new().flexible(true).trim(Trim::Headers).from_reader(bytes);
        let header = reader.byte_headers().map_err(|error| unreadable(error.into()))?.clone();
        let columns = Columns::locate(&header, schema, path)?;

        let mut table = Table {
            values: Vec::new(),
            labels,
            identifiers: HashMap::new(),
            invalid: InvalidRows::default(),
        };
        let mut lines = Lines { bytes, counted: 0, line: 1 };
        let mut record = ByteRecord::new();
        while reader.read_byte_record(&mut record).map_err(|error| unreadable(error.into()))? {
            let line = lines.of(&record);
            table.add(&record, line, &columns, schema);
        }
        table.finish(path, schema, on_invalid, sha256_hex(bytes))
    }

    /// Returns the number of rows.
    pub fn rows(&self) -> usize {
        self.labels.len()
    }

    /// Returns the names of the features from which nothing can be learned, because every row looks the same
    /// to a model.
    ///
    /// These are numbers with at most one value, since missing ones are imputed, and categories with at most
    /// one known value.
    pub fn uninformative(&self) -> Vec<String> {
        let differs = |at: usize, feature: &Feature| {
            let column = self.features.column(at);
            let mut seen = column.iter().filter_map(|value| match (value.is_nan(), feature.is_numeric()) {
                (true, true) => None,
                (true, false) => Some(UNKNOWN_CATEGORY),
                (false, _) => Some(*value),
            });
            seen.next().is_some_and(|first| seen.any(|value| value != first))
        };
        let features = self.schema.features.iter().enumerate();
        features
            .filter(|(at, feature)| !differs(*at, feature))
            .map(|(_, feature)| feature.name.clone())
            .collect()
    }

    /// Returns the rows with these indices.
    pub(crate) fn select(&self, indices: &[usize]) -> LabelledRows {
        select(&self.features, &self.labels, indices)
    }
}

impl LabelledRows {
    /// Returns the rows with these indices.
    pub(crate) fn select(&self, indices: &[usize]) -> Self {
        select(&self.features, &self.labels, indices)
    }
}

fn select(features: &Array2<f32>, labels: &Labels, indices: &[usize]) -> LabelledRows {
    LabelledRows { features: features.select(Axis(0), indices), labels: labels.select(indices) }
}

/// The role of a column of the file in the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Identifier,
    Label,
    Feature(usize),
    Ignored,
}

struct Columns {
    names: Vec<String>,
    roles: Vec<Role>,
}

impl Columns {
    fn locate(header: &ByteRecord, schema: &Schema, path: &Path) -> Result<Self, DatasetError> {
        let path = || path.to_owned();
        if header.is_empty() {
            return Err(DatasetError::NoHeader { path: path() });
        }
        let names: Option<Vec<String>> =
            header.iter().map(|cell| str::from_utf8(cell).ok().map(str::to_owned)).collect();
        let names = names.ok_or_else(|| DatasetError::HeaderNotUtf8 { path: path() })?;
        let mut present = HashSet::new();
        if let Some(name) = names.iter().find(|name| !present.insert(name.as_str())) {
            return Err(DatasetError::RepeatedColumn { path: path(), column: name.clone() });
        }
        let features = schema.features.iter().map(|feature| &feature.name);
        let wanted = schema.identifier.iter().chain(features).chain([&schema.label.column]);
        let missing: Vec<String> = wanted.filter(|name| !present.contains(name.as_str())).cloned().collect();
        if !missing.is_empty() {
            return Err(DatasetError::MissingColumns { path: path(), missing, present: names });
        }
        let ignored: HashSet<&str> = schema.ignored.iter().map(String::as_str).collect();
        let roles: Vec<Option<Role>> = names.iter().map(|name| role_of(name, schema, &ignored)).collect();
        let unknown = names.iter().zip(&roles).filter(|(_, role)| role.is_none());
        let unknown: Vec<String> = unknown.map(|(name, _)| name.clone()).collect();
        if !unknown.is_empty() {
            let blank = names.iter().zip(&roles).position(|(name, role)| name.is_empty() && role.is_none());
            let blank = blank.map(|at| at + 1);
            return Err(DatasetError::UnknownColumns { path: path(), unknown, blank });
        }
        Ok(Self { names, roles: roles.into_iter().flatten().collect() })
    }
}

fn role_of(column: &str, schema: &Schema, ignored: &HashSet<&str>) -> Option<Role> {
    if schema.identifier.as_deref() == Some(column) {
        Some(Role::Identifier)
    } else if schema.label.column == column {
        Some(Role::Label)
    } else if ignored.contains(column) {
        Some(Role::Ignored)
    } else {
        schema.index_of(column).map(Role::Feature)
    }
}

/// A counter of lines. The csv crate's own position is where the record before ended: it ignores blank lines
/// between records, and the second half of a Windows line end.
struct Lines<'a> {
    bytes: &'a [u8],
    /// The offset up to which line ends have been counted.
    counted: usize,
    /// The line at that offset.
    line: u64,
}

impl Lines<'_> {
    /// Returns the line on which a record begins. Records must come in the order of the file.
    fn of(&mut self, record: &ByteRecord) -> u64 {
        let start = record.position().map_or(0, |position| position.byte() as usize);
        let blank = |byte: &&u8| matches!(byte, b'\r' | b'\n');
        let blank = self.bytes.iter().skip(start).take_while(blank).count();
        let passed = self.bytes.get(self.counted..start + blank).unwrap_or_default();
        self.line += passed.iter().filter(|byte| **byte == b'\n').count() as u64;
        self.counted += passed.len();
        self.line
    }
}

/// A table while it is being read.
struct Table<'a> {
    /// The encoded features, row after row.
    values: Vec<f32>,
    labels: TableLabels<'a>,
    /// The line on which each identifier occurred first.
    identifiers: HashMap<String, u64>,
    invalid: InvalidRows,
}

/// The labels of a table while it is being read.
enum TableLabels<'a> {
    Binary(&'a Binary, Vec<bool>),
    Classes { of: HashMap<&'a str, u32>, values: &'a [String], indices: Vec<u32> },
    Numbers(Vec<f64>),
}

impl<'a> TableLabels<'a> {
    /// Starts the labels of a task. `None` for one that no table has.
    fn of(task: &'a Task) -> Option<Self> {
        match task {
            Task::Binary(binary) => Some(Self::Binary(binary, Vec::new())),
            Task::Classes(classes) => {
                let values = classes.values.as_slice();
                let of = values.iter().zip(0..).map(|(value, index)| (value.as_str(), index)).collect();
                Some(Self::Classes { of, values, indices: Vec::new() })
            }
            Task::Number => Some(Self::Numbers(Vec::new())),
            Task::Raw(_) => None,
        }
    }

    /// Reads a label, and adds it.
    fn push(&mut self, cell: &str) -> Result<(), RowReason> {
        match self {
            Self::Binary(binary, labels) => match binary.truth_of(cell) {
                Some(positive) => labels.push(positive),
                None => {
                    let (positive, negative) = (binary.positive.clone(), binary.negative.clone());
                    return Err(RowReason::Label { positive, negative, got: cell.to_owned() });
                }
            },
            Self::Classes { of, values, indices } => match of.get(cell) {
                Some(index) => indices.push(*index),
                None => return Err(RowReason::Class { classes: values.to_vec(), got: cell.to_owned() }),
            },
            Self::Numbers(labels) => match cell.parse::<f64>() {
                Ok(number) if number.abs() <= f64::from(LARGEST_NUMBER) => labels.push(number),
                _ => return Err(RowReason::Number { got: cell.to_owned() }),
            },
        }
        Ok(())
    }

    /// Removes the labels after the first `rows`.
    fn truncate(&mut self, rows: usize) {
        match self {
            Self::Binary(_, labels) => labels.truncate(rows),
            Self::Classes { indices, .. } => indices.truncate(rows),
            Self::Numbers(labels) => labels.truncate(rows),
        }
    }

    fn finish(self) -> Labels {
        match self {
            Self::Binary(_, labels) => Labels::Binary(labels),
            Self::Classes { values, indices, .. } => {
                Labels::Classes(ClassLabels { indices, classes: values.len() })
            }
            Self::Numbers(labels) => Labels::Numbers(labels),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Binary(_, labels) => labels.len(),
            Self::Classes { indices, .. } => indices.len(),
            Self::Numbers(labels) => labels.len(),
        }
    }
}

impl Table<'_> {
    fn add(&mut self, record: &ByteRecord, line: u64, columns: &Columns, schema: &Schema) {
        let (start, rows) = (self.values.len(), self.labels.len());
        let mut problems = Vec::new();
        self.read_cells(record, line, columns, schema, &mut problems);
        if !problems.is_empty() {
            self.values.truncate(start);
            self.labels.truncate(rows);
            self.invalid.push(problems);
        }
    }

    fn read_cells(
        &mut self,
        record: &ByteRecord,
        line: u64,
        columns: &Columns,
        schema: &Schema,
        problems: &mut Vec<RowProblem>,
    ) {
        if record.len() != columns.roles.len() {
            let reason = RowReason::Ragged { expected: columns.roles.len(), got: record.len() };
            problems.push(RowProblem { line, column: None, reason });
            return;
        }
        let start = self.values.len();
        self.values.resize(start + schema.features.len(), f32::NAN);
        for ((cell, role), name) in record.iter().zip(&columns.roles).zip(&columns.names) {
            let mut reject = |reason| problems.push(RowProblem { line, column: Some(name.clone()), reason });
            let Ok(cell) = str::from_utf8(cell) else {
                reject(RowReason::NotUtf8);
                continue;
            };
            match role {
                Role::Identifier => {
                    if let Some(reason) = self.identify(cell.trim(), line) {
                        reject(reason);
                    }
                }
                Role::Label => {
                    if let Err(reason) = self.labels.push(cell.trim()) {
                        reject(reason);
                    }
                }
                Role::Feature(index) => match schema.features[*index].encode_text(cell) {
                    Ok(value) if value.abs() > LARGEST_NUMBER => {
                        reject(RowReason::Number { got: cell.to_owned() })
                    }
                    Ok(value) => self.values[start + index] = value,
                    Err(mismatch) => reject(RowReason::Value(mismatch)),
                },
                Role::Ignored => {}
            }
        }
    }

    /// Records an identifier, and reports one that occurred before. Blank ones are ignored.
    fn identify(&mut self, identifier: &str, line: u64) -> Option<RowReason> {
        if identifier.is_empty() {
            return None;
        }
        if let Some(first_line) = self.identifiers.get(identifier) {
            let identifier = identifier.to_owned();
            return Some(RowReason::DuplicateIdentifier { identifier, first_line: *first_line });
        }
        self.identifiers.insert(identifier.to_owned(), line);
        None
    }

    fn finish(
        self,
        path: &Path,
        schema: &Schema,
        on_invalid: OnInvalid,
        sha256: String,
    ) -> Result<Dataset, DatasetError> {
        let path = path.to_owned();
        let rows = self.labels.len();
        match (rows, self.invalid.rows, on_invalid) {
            (0, 0, _) => return Err(DatasetError::NoRows { path }),
            (_, 1.., OnInvalid::Fail) | (0, _, OnInvalid::Skip) => {
                let rows = rows + self.invalid.rows;
                return Err(DatasetError::InvalidRows { path, rows, invalid: self.invalid });
            }
            _ => {}
        }
        let labels = self.labels.finish();
        check_variety(&path, schema, &labels)?;
        let width = schema.features.len();
        let features = Array2::from_shape_fn((rows, width), |(row, at)| self.values[row * width + at]);
        Ok(Dataset {
            schema: schema.clone(),
            features,
            labels,
            sha256,
            skipped_rows: self.invalid.rows,
            skipped: self.invalid,
        })
    }
}

/// Rejects labels from which nothing can be learned.
fn check_variety(path: &Path, schema: &Schema, labels: &Labels) -> Result<(), DatasetError> {
    let (path, column) = (|| path.to_owned(), || schema.label.column.clone());
    match (labels, &schema.label.task) {
        (Labels::Binary(labels), Task::Binary(binary)) => {
            let positives = labels.iter().filter(|positive| **positive).count();
            let (only, other) = match positives {
                0 => (&binary.negative, &binary.positive),
                all if all == labels.len() => (&binary.positive, &binary.negative),
                _ => return Ok(()),
            };
            let (only, other) = (only.clone(), other.clone());
            Err(DatasetError::OneClass { path: path(), column: column(), only, other })
        }
        (Labels::Classes(labels), Task::Classes(classes)) => {
            let counts = labels.counts();
            let absent = classes.values.iter().zip(&counts).filter(|(_, rows)| **rows == 0);
            let absent: Vec<String> = absent.map(|(class, _)| class.clone()).collect();
            if absent.is_empty() {
                return Ok(());
            }
            Err(DatasetError::AbsentClasses { path: path(), column: column(), absent })
        }
        (Labels::Numbers(labels), Task::Number) => match labels.first() {
            Some(first) if labels.iter().all(|label| label == first) => {
                Err(DatasetError::OneNumber { path: path(), column: column(), only: *first })
            }
            _ => Ok(()),
        },
        // The labels were read by the schema's task.
        _ => Ok(()),
    }
}
