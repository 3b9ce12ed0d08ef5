//! Reads rows with expected outputs, which are published with an external model: from JSON lines or from a CSV table.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use onnward_onnx::{ExpectedRow, ExpectedRows, ExpectedRowsError};
use onnward_schemas::{FeatureKind, GoldenValue, KeptElement, LabelledPrediction, Schema, Task};
use serde_json::{Map, Value};
use thiserror::Error;

/// The reason why rows with expected outputs cannot be read.
#[derive(Debug, Error)]
pub enum ExpectedRowsFileError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: std::io::Error,
    },
    /// The file is too large.
    #[error("{} has more than {MAX_BYTES} bytes: {most} rows are enough", path.display(), most = ExpectedRows::MAX_ROWS)]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// A line is not what it should be.
    #[error("{}, line {line}: {problem}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// The rows are out of bounds.
    #[error("{}: {source}", path.display())]
    Bounds {
        /// The file.
        path: PathBuf,
        /// The bound.
        source: ExpectedRowsError,
    },
}

/// The largest file, in bytes.
const MAX_BYTES: u64 = 64 << 20;

/// The largest whole number up to which double precision holds every one.
const EXACT: u64 = 1 << 53;

/// Reads rows with their expected outputs from a file: a CSV table if its name ends with `.csv`, else a JSON object on each
/// line.
///
/// A row has the fields of a request, and beside them the keys of an answer, such as `probability`. In a table, a dot leads
/// to a key in a key: `probabilities.gold`. The id of a prediction, its model and its version are ignored.
///
/// # Errors
/// [`ExpectedRowsFileError`].
pub fn read_expected_rows(
    path: &Path,
    schema: &Schema,
    tolerance: f64,
) -> Result<ExpectedRows, ExpectedRowsFileError> {
    let text = read_text(path)?;
    let is_table = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv"));
    let lines = if is_table { read_table(&text, schema) } else { read_lines(&text) };
    let rows = lines.and_then(|lines| {
        let row = |(line, fields): (usize, Map<String, Value>)| {
            row_of(schema, fields).map_err(|problem| (line, problem))
        };
        lines.into_iter().map(row).collect::<Result<Vec<_>, _>>()
    });
    let rows =
        rows.map_err(|(line, problem)| ExpectedRowsFileError::Line { path: path.to_owned(), line, problem })?;
    let rows = ExpectedRows { tolerance, rows };
    rows.check_bounds().map_err(|source| ExpectedRowsFileError::Bounds { path: path.to_owned(), source })?;
    Ok(rows)
}

/// Reads a file of text up to the bound, without the byte order mark.
fn read_text(path: &Path) -> Result<String, ExpectedRowsFileError> {
    let failed = |source| ExpectedRowsFileError::Read { path: path.to_owned(), source };
    let mut text = String::new();
    let file = File::open(path).map_err(failed)?;
    file.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(ExpectedRowsFileError::TooLarge { path: path.to_owned() });
    }
    // Spreadsheets begin their files with it.
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

/// The fields of each line, or the line with a problem.
type Lines = Result<Vec<(usize, Map<String, Value>)>, (usize, String)>;

/// What some programs write for numbers that JSON does not have.
const NOT_JSON: [&str; 2] = ["NaN", "Infinity"];

fn read_lines(text: &str) -> Lines {
    // One more than the bound shows that there are too many.
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let lines = lines.take(ExpectedRows::MAX_ROWS + 1);
    let read = |(at, line): (usize, &str)| match serde_json::from_str(line) {
        Ok(Value::Object(fields)) => Ok((at + 1, fields)),
        Ok(_) => Err((at + 1, "it must be a JSON object: a row, and what is expected of it".to_owned())),
        Err(_) if NOT_JSON.iter().any(|word| line.contains(word)) => {
            Err((at + 1, "JSON has no NaN and no infinity: write null for a missing value".to_owned()))
        }
        Err(error) => Err((at + 1, error.to_string())),
    };
    lines.map(read).collect()
}

fn read_table(text: &str, schema: &Schema) -> Lines {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let said = |error: &csv::Error| (error.position().map_or(1, |at| at.line() as usize), error.to_string());
    let header = reader.headers().map_err(|error| said(&error))?.clone();
    let mut lines = Vec::new();
    for record in reader.records().take(ExpectedRows::MAX_ROWS + 1) {
        let record = record.map_err(|error| said(&error))?;
        let line = record.position().map_or(0, |at| at.line() as usize);
        let mut fields = Map::new();
        for (name, cell) in header.iter().zip(&record) {
            let is_field = schema.index_of(name).is_some();
            // Of an answer, an empty cell expects nothing.
            if is_field || !cell.is_empty() {
                insert(&mut fields, name, cell_value(schema, name, cell), is_field);
            }
        }
        lines.push((line, fields));
    }
    Ok(lines)
}

/// Inserts a value. The name of what is no field may lead through maps, with dots between the keys.
fn insert(fields: &mut Map<String, Value>, name: &str, value: Value, is_field: bool) {
    match name.split_once('.').filter(|_| !is_field) {
        Some((first, rest)) => {
            if let Value::Object(inner) = fields.entry(first).or_insert_with(|| Value::Object(Map::new())) {
                insert(inner, rest, value, false);
            }
        }
        None => {
            fields.insert(name.to_owned(), value);
        }
    }
}

/// Reads a cell as the JSON value that a request or an answer has. A number that is missing is an empty cell or `nan`.
fn cell_value(schema: &Schema, name: &str, cell: &str) -> Value {
    // Python writes a Boolean with a capital letter.
    let parsed = || match cell {
        "True" => Value::Bool(true),
        "False" => Value::Bool(false),
        "" | "nan" | "NaN" => Value::Null,
        cell => serde_json::from_str(cell).unwrap_or_else(|_| Value::from(cell)),
    };
    if let Some(index) = schema.index_of(name) {
        return match &schema.features[index].kind {
            _ if cell.is_empty() => Value::Null,
            FeatureKind::Categorical { .. } => Value::from(cell),
            FeatureKind::Kept(kept) if kept.element == KeptElement::Text && kept.shape.is_empty() => {
                Value::from(cell)
            }
            FeatureKind::Numeric { .. } | FeatureKind::Kept(_) => parsed(),
        };
    }
    match &schema.label.task {
        Task::Binary(binary) if name == schema.label.name => {
            binary.truth_of(cell).map_or_else(parsed, Value::from)
        }
        Task::Classes(_) if name == schema.label.name => Value::from(cell),
        Task::Binary(_) | Task::Classes(_) | Task::Number | Task::Raw(_) => parsed(),
    }
}

/// Divides the fields of a line into the row and what is expected of it.
fn row_of(schema: &Schema, mut fields: Map<String, Value>) -> Result<ExpectedRow, String> {
    let mut values = Vec::with_capacity(schema.features.len());
    for feature in &schema.features {
        let value = match fields.remove(&feature.name) {
            None if feature.required => {
                return Err(format!("the field {:?} is missing: a request must have it", feature.name));
            }
            value => value.unwrap_or(Value::Null),
        };
        values.push(golden(&value).map_err(|problem| format!("{:?} {problem}", feature.name))?);
    }
    for key in ["id", "model", "version"] {
        fields.remove(key);
    }
    let keys = answer_keys(schema);
    if let Some(unknown) = fields.keys().find(|key| !keys.contains(&key.as_str())) {
        let keys: Vec<String> = keys.iter().map(|key| format!("{key:?}")).collect();
        return Err(format!(
            "{unknown:?} is neither a field of a request nor a key of an answer, which has {}",
            keys.join(" and ")
        ));
    }
    if fields.values().all(is_empty) {
        return Err(format!("nothing is expected of the row: add {:?}, as an answer has it", keys[0]));
    }
    Ok(ExpectedRow { values, expected: fields })
}

/// Returns whether a part of an answer says nothing.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().all(is_empty),
        Value::Object(fields) => fields.values().all(is_empty),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// Returns the keys of an answer.
fn answer_keys(schema: &Schema) -> Vec<&str> {
    let label = schema.label.name.as_str();
    match &schema.label.task {
        Task::Binary(_) => vec![LabelledPrediction::PROBABILITY, label],
        Task::Classes(_) => vec![label, LabelledPrediction::PROBABILITIES],
        Task::Number => vec![label],
        Task::Raw(_) => vec![LabelledPrediction::OUTPUTS],
    }
}

fn golden(value: &Value) -> Result<GoldenValue, &'static str> {
    Ok(match value {
        Value::Null => GoldenValue::Missing,
        Value::Bool(value) => GoldenValue::Boolean(*value),
        Value::String(text) => GoldenValue::Text(text.clone()),
        Value::Array(items) => GoldenValue::Array(items.iter().map(golden).collect::<Result<_, _>>()?),
        Value::Object(_) => return Err("is an object, and no field takes one"),
        Value::Number(number) => {
            let whole = number.as_i64().map(i64::unsigned_abs).or_else(|| number.as_u64());
            if whole.is_some_and(|whole| whole > EXACT) {
                return Err("is a whole number beyond 2^53, which expected rows cannot hold");
            }
            GoldenValue::Number(number.as_f64().ok_or("is not a number of double precision")?)
        }
    })
}

#[cfg(test)]
mod tests {
    use onnward_schemas::SchemaFile;
    use serde_json::json;

    use super::*;

    fn plans() -> Schema {
        let text = "name = 'm'\nversion = 1\nlabel = { column = 'plan', type = 'classes', values = ['1', '2'] }\n\
                    features = [{ name = 'age', type = 'numeric', required = false }, { name = 'city', type = 'categorical', required = false, values = ['1', 'b'] }]";
        SchemaFile::parse(text).unwrap().schema
    }

    fn read(name: &str, content: &str) -> Result<ExpectedRows, String> {
        let path = std::env::temp_dir().join(format!("onnward-expected-{}-{name}", std::process::id()));
        std::fs::write(&path, content).unwrap();
        let rows = read_expected_rows(&path, &plans(), 1e-5).map_err(|error| error.to_string());
        std::fs::remove_file(path).unwrap();
        rows
    }

    #[test]
    fn a_table_and_lines_of_json_say_the_same() {
        let table = read("rows.csv", "city,age,plan,probabilities.1\n1,2.5,1,0.75\nb,,2,0.25\n").unwrap();
        let lines = read(
            "rows.jsonl",
            "{\"age\": 2.5, \"city\": \"1\", \"plan\": \"1\", \"probabilities\": {\"1\": 0.75}, \"id\": \"x\"}\n\n\
             {\"city\": \"b\", \"plan\": \"2\", \"probabilities\": {\"1\": 0.25}, \"version\": 3}\n",
        );
        assert_eq!(table, lines.unwrap());
        assert_eq!(table.rows[1].values, [GoldenValue::Missing, GoldenValue::Text("b".to_owned())]);
        assert_eq!(table.rows[0].expected["probabilities"], json!({ "1": 0.75 }));
    }

    #[test]
    fn a_table_is_read_as_spreadsheets_and_pandas_write_it() {
        let table =
            read("pandas.csv", "\u{feff}age,city,plan,probabilities.2\nnan,1,1,\n2.5,b,2,0.25\n").unwrap();
        assert_eq!(table.rows[0].values[0], GoldenValue::Missing);
        assert_eq!(table.rows[0].expected, json!({ "plan": "1" }).as_object().unwrap().clone());
        assert_eq!(table.rows[1].expected["probabilities"], json!({ "2": 0.25 }));

        let text = "name = 'm'\nversion = 1\nlabel = { column = 'left', positive = 'yes', negative = 'no' }\n\
                    features = [{ name = 'age', type = 'numeric', required = true }]";
        let schema = SchemaFile::parse(text).unwrap().schema;
        let read = |content: &str| {
            let file = tempfile::Builder::new().suffix(".csv").tempfile().unwrap();
            std::fs::write(file.path(), content).unwrap();
            read_expected_rows(file.path(), &schema, 1e-5).map_err(|error| error.to_string())
        };
        let decisions = read("age,left\n1,True\n2,no\n").unwrap();
        let decided: Vec<&Value> = decisions.rows.iter().map(|row| &row.expected["left"]).collect();
        assert_eq!(decided, [true, false]);
        let message = read("left,probability\nyes,0.5\n").unwrap_err();
        assert!(
            message.contains("line 2: the field \"age\" is missing: a request must have it"),
            "{message}"
        );
    }

    #[test]
    fn what_cannot_be_compared_is_named_with_its_line() {
        for (content, problem) in [
            (
                "{\"age\": 1, \"plan\": \"1\", \"probability\": 0.5}",
                "line 1: \"probability\" is neither a field",
            ),
            ("\n{\"age\": 1}", "line 2: nothing is expected of the row: add \"plan\""),
            ("[1]", "line 1: it must be a JSON object"),
            ("{\"age\": {}, \"plan\": \"1\"}", "\"age\" is an object"),
            ("{\"age\": 9007199254740993, \"plan\": \"1\"}", "beyond 2^53"),
            ("{\"age\"", "line 1: EOF"),
            ("{\"age\": NaN, \"plan\": \"1\"}", "write null for a missing value"),
            ("{\"age\": 1, \"probabilities\": {}}", "nothing is expected of the row"),
            ("", "there are 0 expected rows"),
        ] {
            let message = read("wrong.jsonl", content).unwrap_err();
            assert!(message.contains(problem), "{message}");
        }
    }
}
