//! The rows that all subjects score, and the request bodies in each subject's format.

use std::fs::File;
use std::path::{Path, PathBuf};

use onnward_harness::HarnessError;
use onnward_models::{Dataset, OnInvalid, SampleFormat, write_sample};
use onnward_schemas::{Feature, FeatureKind, Schema, SchemaFile};
use serde_json::{Map, Value, json};

/// The rows of the sample if no table is given.
const SAMPLED_ROWS: u64 = 7000;
/// The seed of that sample.
const SEED: u64 = 42;
/// The number of different rows.
const SENT_ROWS: usize = 2048;
/// The most different bodies of one row.
const SINGLE_BODIES: usize = 512;

/// The training table, and rows of it to request.
#[derive(Debug)]
pub struct Workload {
    /// The schema of the table.
    pub schema: Schema,
    /// The table, a CSV file.
    pub table: PathBuf,
    /// The parsed table.
    pub data: Dataset,
    /// The rows to send, with a value for every feature.
    rows: Vec<Vec<Value>>,
}

/// The format of a service's requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// An object of named fields, or an array of such objects.
    Named,
    /// The columns of the Open Inference Protocol's second version, as pandas's codec of MLServer reads them.
    Columns,
}

impl Workload {
    /// Reads the table. If none is given, samples one into `folder`.
    ///
    /// # Errors
    /// [`HarnessError`]: the schema or the table cannot be used.
    pub fn new(schema: &Path, table: Option<&Path>, folder: &Path) -> Result<Self, HarnessError> {
        let text = std::fs::read_to_string(schema).map_err(HarnessError::reading(schema))?;
        let file = SchemaFile::parse(&text)
            .map_err(|source| HarnessError::Schema { path: schema.to_owned(), source })?;
        let table = match table {
            Some(table) => table.to_owned(),
            None => {
                let path = folder.join("customers.csv");
                let writing = HarnessError::system(format!("write {}", path.display()));
                let out = File::create(&path).map_err(writing)?;
                write_sample(&file, SAMPLED_ROWS, SEED, SampleFormat::Csv, out, |_| ())?;
                path
            }
        };
        let data = Dataset::read(&table, &file.schema, OnInvalid::Skip)?;
        let matrix = data.features.rows().into_iter().take(SENT_ROWS);
        let rows = matrix.map(|row| file.schema.features.iter().zip(row).map(value).collect()).collect();
        Ok(Self { schema: file.schema, table, data, rows })
    }

    /// Returns bodies with `rows` rows each. A single row is not in a list.
    ///
    /// # Errors
    /// [`HarnessError::Json`].
    pub fn bodies(&self, protocol: Protocol, rows: usize) -> Result<Vec<Vec<u8>>, HarnessError> {
        let count = (SENT_ROWS / rows.max(1)).clamp(1, SINGLE_BODIES);
        let mut endless = self.rows.iter().cycle();
        (0..count)
            .map(|_| {
                let rows: Vec<&[Value]> = endless.by_ref().take(rows).map(Vec::as_slice).collect();
                match protocol {
                    Protocol::Named => self.named(&rows),
                    Protocol::Columns => Ok(serde_json::to_vec(&self.columns(&rows))?),
                }
            })
            .collect()
    }

    fn named(&self, rows: &[&[Value]]) -> Result<Vec<u8>, HarnessError> {
        let objects = rows.iter().map(|row| {
            let field = |(feature, value): (&Feature, &Value)| {
                Ok(format!("{}:{value}", serde_json::to_string(&feature.name)?))
            };
            let fields = self.schema.features.iter().zip(*row).map(field).collect::<Result<Vec<_>, _>>();
            fields.map(|fields| format!("{{{}}}", fields.join(",")))
        });
        let objects = objects.collect::<Result<Vec<_>, serde_json::Error>>()?.join(",");
        Ok(if rows.len() == 1 { objects } else { format!("[{objects}]") }.into_bytes())
    }

    fn columns(&self, rows: &[&[Value]]) -> Value {
        let inputs = self.schema.features.iter().enumerate().map(|(index, feature)| {
            let data: Vec<&Value> = rows.iter().filter_map(|row| row.get(index)).collect();
            let mut input = Map::new();
            input.insert("name".to_owned(), json!(feature.name));
            input.insert("shape".to_owned(), json!([rows.len()]));
            input.insert("data".to_owned(), json!(data));
            if feature.is_numeric() {
                input.insert("datatype".to_owned(), json!("FP64"));
            } else {
                input.insert("datatype".to_owned(), json!("BYTES"));
                input.insert("parameters".to_owned(), json!({"content_type": "str"}));
            }
            Value::Object(input)
        });
        let inputs: Vec<Value> = inputs.collect();
        json!({
            "parameters": {"content_type": "pd"},
            "inputs": inputs,
            "outputs": [{"name": "predict_proba"}],
        })
    }
}

/// Returns the JSON value that is encoded as a number.
fn value((feature, &code): (&Feature, &f32)) -> Value {
    match &feature.kind {
        FeatureKind::Categorical { values, .. } => values
            .iter()
            .enumerate()
            .find(|(index, _)| *index as f32 == code)
            .map_or(Value::Null, |(_, text)| json!(text)),
        FeatureKind::Kept(_) => Value::Null,
        FeatureKind::Numeric { .. } if code.is_nan() => Value::Null,
        FeatureKind::Numeric { .. } if code.fract() == 0.0 => json!(code as i64),
        // The shortest decimal that is this number in single precision, as it stood in the table.
        FeatureKind::Numeric { .. } => {
            code.to_string().parse::<f64>().map_or(Value::Null, |number| json!(number))
        }
    }
}

/// Returns for how many rows an answer has probabilities, in any subject's format.
pub fn predictions_in(answer: &Value) -> usize {
    if answer.get("probability").is_some_and(Value::is_number) {
        return 1;
    }
    if let Some(predictions) = answer.get("predictions").and_then(Value::as_array) {
        return predictions.len();
    }
    // The protocol of columns returns `[rows, 2]`, flat.
    let data = answer.pointer("/outputs/0/data").and_then(Value::as_array);
    data.map_or(0, |data| data.len() / 2)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn workload() -> Workload {
        let folder = TempDir::new().unwrap();
        let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas/telco.toml");
        Workload::new(&schema, None, folder.path()).unwrap()
    }

    #[test]
    fn the_rows_that_are_sent_are_those_of_the_table() {
        let workload = workload();
        let body = workload.bodies(Protocol::Named, 32).unwrap().remove(0);
        let parser = onnward_rows::RowParser::new(workload.schema.clone());
        let limits = onnward_rows::RowsLimits::of_rows(32);
        let rows = parser.parse(&body, limits, false).unwrap().rows;
        let same = |(sent, read): (&f32, &f32)| sent == read || (sent.is_nan() && read.is_nan());
        assert_eq!(rows.len, 32);
        assert!(rows.values.iter().zip(&workload.data.features).all(same));
    }

    #[test]
    fn columns_hold_the_same_values_as_rows() {
        let workload = workload();
        let rows = workload.bodies(Protocol::Named, 32).unwrap().remove(3);
        let columns = workload.bodies(Protocol::Columns, 32).unwrap().remove(3);
        let rows: Value = serde_json::from_slice(&rows).unwrap();
        let columns: Value = serde_json::from_slice(&columns).unwrap();
        for (index, feature) in workload.schema.features.iter().enumerate() {
            let column = &columns["inputs"][index];
            assert_eq!(column["name"], feature.name);
            assert_eq!(column["data"][31], rows[31][&feature.name]);
        }
    }

    #[test]
    fn predictions_are_counted_in_every_form() {
        assert_eq!(predictions_in(&json!({"probability": 0.5})), 1);
        assert_eq!(predictions_in(&json!({"predictions": [{"probability": 0.5}, {"probability": 0.1}]})), 2);
        assert_eq!(predictions_in(&json!({"outputs": [{"data": [0.5, 0.5, 0.1, 0.9]}]})), 2);
        assert_eq!(predictions_in(&json!({"detail": "no"})), 0);
    }
}
