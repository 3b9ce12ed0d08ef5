//! Sample customers, drawn from the generative model of a schema.

mod default;
mod plan;

use std::fmt::Write as _;
use std::io::{self, Write};

use onnward_schemas::{Feature, FeatureKind, Schema, SchemaFile, Task};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::{Serialize, Serializer};
use thiserror::Error;

pub use default::default_model;
use plan::{Drawn, DrawnLabel, Plan};

/// The reason why no sample can be drawn.
#[derive(Debug, Error)]
pub enum SampleError {
    /// The sample model contradicts its schema. Every contradiction is listed.
    #[error("the sample model of the schema is invalid: {}", .0.join("; "))]
    Model(Vec<String>),
    /// The table cannot be written.
    #[error("cannot write row {row} of the sample: {source}")]
    Write {
        /// The row, counted from 1; 0 is the header.
        row: u64,
        /// The error of the system.
        source: io::Error,
    },
}

/// The number of rows between calls of `on_rows`.
const REPORT_EVERY: u64 = 1024;

/// The output format of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SampleFormat {
    /// A CSV table to train on: the identifier if the schema has one (`C0000001`, `C0000002`, …), the
    /// features in the schema's order, the label.
    Csv,
    /// One JSON object per line, with the features alone, as in a request.
    JsonLines,
}

/// Writes `rows` sample customers.
///
/// The customers follow the `[sample]` of the schema file, or [`default_model`] if there is none. Every row
/// satisfies the schema. The same seed produces the same bytes on every machine, and a longer sample begins
/// with the rows of a shorter one. Memory does not grow with `rows`. `on_rows` is called regularly with the
/// number of rows written, and at the end.
///
/// # Errors
/// [`SampleError`] if the sample model is invalid, or `out` cannot be written.
///
/// # Examples
/// ```
/// use onnward_models::{SampleFormat, write_sample};
/// use onnward_schemas::SchemaFile;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let file = SchemaFile::parse(
///     r#"
///     name = "shop"
///     version = 1
///     label = { column = "left", positive = "yes", negative = "no" }
///     [[features]]
///     name = "plan"
///     type = "categorical"
///     values = ["basic", "full"]
///     "#,
/// )?;
/// let mut csv = Vec::new();
/// write_sample(&file, 2, 42, SampleFormat::Csv, &mut csv, |_| ())?;
/// assert_eq!(String::from_utf8(csv)?.lines().next(), Some("plan,left"));
/// # Ok(())
/// # }
/// ```
pub fn write_sample(
    file: &SchemaFile,
    rows: u64,
    seed: u64,
    format: SampleFormat,
    out: impl Write,
    on_rows: impl FnMut(u64),
) -> Result<(), SampleError> {
    let schema = &file.schema;
    let default;
    let model = match &file.sample {
        Some(model) => model,
        None => {
            default = default_model(schema);
            &default
        }
    };
    model.check(schema).map_err(SampleError::Model)?;
    let draws = Draws { plan: Plan::new(schema, model), rows, seed };
    match format {
        SampleFormat::Csv => write_table(schema, &draws, out, on_rows),
        SampleFormat::JsonLines => write_lines(schema, &draws, out, on_rows),
    }
}

struct Draws {
    plan: Plan,
    rows: u64,
    seed: u64,
}

impl Draws {
    /// Draws the rows, counted from 1, and passes each to `write`.
    fn each(
        &self,
        mut write: impl FnMut(u64, &Drawn) -> io::Result<()>,
        mut on_rows: impl FnMut(u64),
    ) -> Result<(), SampleError> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        let mut drawn = Drawn::default();
        for row in 1..=self.rows {
            self.plan.draw(&mut rng, &mut drawn);
            write(row, &drawn).map_err(|source| SampleError::Write { row, source })?;
            if row % REPORT_EVERY == 0 {
                on_rows(row);
            }
        }
        on_rows(self.rows);
        Ok(())
    }
}

fn write_table(
    schema: &Schema,
    draws: &Draws,
    out: impl Write,
    on_rows: impl FnMut(u64),
) -> Result<(), SampleError> {
    let failed = |row: u64| move |source: io::Error| SampleError::Write { row, source };
    let mut out = csv::Writer::from_writer(out);
    let features = schema.features.iter().map(|feature| &feature.name);
    let columns = schema.identifier.iter().chain(features).chain([&schema.label.column]);
    out.write_record(columns).map_err(|error| failed(0)(io_error(error)))?;
    draws.each(|row, drawn| write_record(schema, row, drawn, &mut out), on_rows)?;
    out.flush().map_err(failed(draws.rows))
}

fn write_record(
    schema: &Schema,
    row: u64,
    drawn: &Drawn,
    out: &mut csv::Writer<impl Write>,
) -> io::Result<()> {
    let mut text = String::new();
    if schema.identifier.is_some() {
        out.write_field(format!("C{row:07}")).map_err(io_error)?;
    }
    for (_, cell) in cells(schema, drawn) {
        let field = match cell {
            None => "",
            Some(Cell::Text(value)) => value,
            Some(Cell::Number(value)) => {
                text.clear();
                // Writing to a String cannot fail.
                let _ = write!(text, "{value}");
                &text
            }
        };
        out.write_field(field).map_err(io_error)?;
    }
    text.clear();
    write_label(&schema.label.task, drawn.label, &mut text);
    out.write_field(&text).and_then(|()| out.write_record(None::<&[u8]>)).map_err(io_error)
}

/// Writes a label as a table has it. A checked sample model draws one of the schema's task.
fn write_label(task: &Task, label: DrawnLabel, text: &mut String) {
    match (task, label) {
        (Task::Binary(binary), DrawnLabel::Binary(positive)) => {
            text.push_str(if positive { &binary.positive } else { &binary.negative });
        }
        (Task::Classes(classes), DrawnLabel::Class(class)) => {
            text.push_str(classes.values.get(class).map_or("", String::as_str));
        }
        (Task::Number, DrawnLabel::Number(number)) => {
            // Writing to a String cannot fail.
            let _ = write!(text, "{number}");
        }
        (Task::Binary(_) | Task::Classes(_) | Task::Number | Task::Raw(_), _) => {}
    }
}

/// Returns the error of the system, if there is one. The csv crate's own conversion hides its kind, such as a
/// closed pipe.
fn io_error(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}

fn write_lines(
    schema: &Schema,
    draws: &Draws,
    mut out: impl Write,
    on_rows: impl FnMut(u64),
) -> Result<(), SampleError> {
    let write = |_, drawn: &Drawn| {
        let given = cells(schema, drawn).filter_map(|(feature, cell)| Some((&feature.name, cell?)));
        (&mut serde_json::Serializer::new(&mut out)).collect_map(given)?;
        out.write_all(b"\n")
    };
    draws.each(write, on_rows)?;
    out.flush().map_err(|source| SampleError::Write { row: draws.rows, source })
}

/// A cell of the output.
#[derive(Serialize)]
#[serde(untagged)]
enum Cell<'a> {
    Text(&'a str),
    #[serde(serialize_with = "serialize_number")]
    Number(f64),
}

/// Writes whole numbers without a fraction: `12`, not `12.0`.
// serde requires a reference.
#[expect(clippy::trivially_copy_pass_by_ref)]
fn serialize_number<S: Serializer>(number: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let is_whole = number.fract() == 0.0 && number.abs() < EXACT;
    if is_whole { serializer.serialize_i64(*number as i64) } else { serializer.serialize_f64(*number) }
}

fn cells<'a>(schema: &'a Schema, drawn: &'a Drawn) -> impl Iterator<Item = (&'a Feature, Option<Cell<'a>>)> {
    schema.features.iter().zip(&drawn.values).zip(&drawn.blank).map(|((feature, value), blank)| {
        let cell = match &feature.kind {
            _ if *blank => None,
            FeatureKind::Categorical { values, .. } => {
                values.get(*value as usize).map(|value| Cell::Text(value))
            }
            FeatureKind::Numeric { .. } | FeatureKind::Kept(_) => Some(Cell::Number(*value)),
        };
        (feature, cell)
    })
}

#[cfg(test)]
mod tests;
