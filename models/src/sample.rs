//! Draws sample customers from a schema's generative model.

mod default;
mod plan;

use std::fmt::Write as _;
use std::io::{self, Write};

use onnward_schemas::{Feature, FeatureKind, Schema, SchemaFile};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::{Serialize, Serializer};
use thiserror::Error;

pub use default::default_model;
use plan::{Drawn, Plan};

/// Why no sample could be drawn.
#[derive(Debug, Error)]
pub enum SampleError {
    /// The schema's sample model contradicts its schema; every contradiction is listed.
    #[error("the sample model of the schema is not usable: {}", .0.join("; "))]
    Model(Vec<String>),
    /// The table could not be written.
    #[error("cannot write row {row} of the sample: {source}")]
    Write {
        /// The row, counted from 1; 0 is the header.
        row: u64,
        /// Why not.
        source: io::Error,
    },
}

/// After how many rows `on_rows` is told.
const REPORT_EVERY: u64 = 1024;

/// The form in which sample customers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SampleFormat {
    /// A CSV table in the shape of a real one: the identifier if the schema has one (`C0000001`, `C0000002`, …), the
    /// features in schema order, the label.
    Csv,
    /// A JSON object a line, of the features alone: what a request holds.
    JsonLines,
}

/// Writes `rows` sample customers.
///
/// The customers follow the file's `[sample]`, or [`default_model`] where it has none. Every row satisfies the schema. One
/// seed gives the same bytes everywhere, and the first rows of a longer sample are those of a shorter one. Memory does not
/// grow with `rows`. `on_rows` is told now and then how many rows are written, and at the end.
///
/// # Errors
/// [`SampleError`].
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
    /// Draws row after row, counted from 1, and gives each to `write`.
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
    let label = if drawn.positive { &schema.label.positive } else { &schema.label.negative };
    out.write_field(label).and_then(|()| out.write_record(None::<&[u8]>)).map_err(io_error)
}

/// The system's own error where there is one: the csv crate's conversion hides its kind, such as a closed pipe.
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

/// A drawn value as it is written.
#[derive(Serialize)]
#[serde(untagged)]
enum Cell<'a> {
    Text(&'a str),
    #[serde(serialize_with = "serialize_number")]
    Number(f64),
}

/// Whole numbers are written as such: `12`, not `12.0`.
// serde asks for a reference.
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
            FeatureKind::Numeric { .. } => Some(Cell::Number(*value)),
        };
        (feature, cell)
    })
}

#[cfg(test)]
mod tests;
