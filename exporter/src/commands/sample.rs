use std::fmt::{self, Display, Formatter};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use indicatif::{ProgressBar, ProgressDrawTarget};
use onnward_models::{SampleError, SampleFormat, write_sample};
use serde::Serialize;

use super::stdout::{is_closed_pipe, print};
use super::{CommandError, read_schema};
use crate::cli;

/// The result of `sample` into a file.
#[derive(Serialize)]
struct SampleResult {
    rows: u64,
    seed: u64,
    out: PathBuf,
}

pub fn run(arguments: &cli::SampleArguments) -> Result<(), CommandError> {
    let file = read_schema(&arguments.schema)?;
    let format = match arguments.format {
        cli::SampleFormat::Csv => SampleFormat::Csv,
        cli::SampleFormat::Jsonl => SampleFormat::JsonLines,
    };
    let out: Box<dyn Write> = match &arguments.out {
        Some(path) => Box::new(File::create(path).map_err(|source| CommandError::writing(path, source))?),
        None => Box::new(io::stdout()),
    };
    let bar = ProgressBar::with_draw_target(Some(arguments.rows), ProgressDrawTarget::stderr());
    let written = write_sample(&file, arguments.rows, arguments.seed, format, BufWriter::new(out), |rows| {
        bar.set_position(rows);
    });
    bar.finish_and_clear();
    match written {
        Err(SampleError::Write { source, .. }) if is_closed_pipe(&source) => return Ok(()),
        other => other?,
    }
    let Some(out) = arguments.out.clone() else { return Ok(()) };
    print(arguments.output, &SampleResult { rows: arguments.rows, seed: arguments.seed, out })
}

impl Display for SampleResult {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} rows are in {}", self.rows, self.out.display())
    }
}
