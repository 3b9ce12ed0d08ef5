//! Draws sample customers from a schema's generative model.

mod default;
mod plan;

use std::fmt::Write as _;
use std::io::{self, Write};

use onnward_schemas::{FeatureKind, Schema, SchemaFile};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
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

/// Writes `rows` sample customers as a CSV table in the shape of a real one: the identifier if the schema has one
/// (`C0000001`, `C0000002`, …), the features in schema order, the label.
///
/// The customers follow the file's `[sample]`, or [`default_model`] where it has none. Every row satisfies the schema. One
/// seed gives the same bytes everywhere, and the first rows of a longer table are those of a shorter one. Memory does not
/// grow with `rows`. `on_rows` is told now and then how many rows are written, and at the end.
///
/// # Errors
/// [`SampleError`].
pub fn write_sample(
    file: &SchemaFile,
    rows: u64,
    seed: u64,
    out: impl Write,
    mut on_rows: impl FnMut(u64),
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
    let plan = Plan::new(schema, model);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut drawn = Drawn::default();
    let mut out = csv::Writer::from_writer(out);
    let failed = |row: u64| move |source: io::Error| SampleError::Write { row, source };
    write_header(schema, &mut out).map_err(failed(0))?;
    for row in 1..=rows {
        plan.draw(&mut rng, &mut drawn);
        write_row(schema, row, &drawn, &mut out).map_err(failed(row))?;
        if row % REPORT_EVERY == 0 {
            on_rows(row);
        }
    }
    out.flush().map_err(failed(rows))?;
    on_rows(rows);
    Ok(())
}

fn write_header(schema: &Schema, out: &mut csv::Writer<impl Write>) -> io::Result<()> {
    let features = schema.features.iter().map(|feature| &feature.name);
    let columns = schema.identifier.iter().chain(features).chain([&schema.label.column]);
    Ok(out.write_record(columns)?)
}

fn write_row(schema: &Schema, row: u64, drawn: &Drawn, out: &mut csv::Writer<impl Write>) -> io::Result<()> {
    let mut text = String::new();
    if schema.identifier.is_some() {
        out.write_field(format!("C{row:07}"))?;
    }
    for ((feature, value), blank) in schema.features.iter().zip(&drawn.values).zip(&drawn.blank) {
        let cell = match &feature.kind {
            _ if *blank => "",
            FeatureKind::Categorical { values, .. } => values.get(*value as usize).map_or("", String::as_str),
            FeatureKind::Numeric { .. } => {
                text.clear();
                // Writing to a String cannot fail.
                let _ = write!(text, "{value}");
                &text
            }
        };
        out.write_field(cell)?;
    }
    let label = if drawn.positive { &schema.label.positive } else { &schema.label.negative };
    out.write_field(label)?;
    Ok(out.write_record(None::<&[u8]>)?)
}

#[cfg(test)]
mod tests;
