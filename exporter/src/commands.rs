//! What each command does, from its arguments to what it prints.

mod error;
mod inspect;
mod progress;
mod sample;
mod schema;
mod train;

use std::io::{self, Write};
use std::path::Path;

use onnward_schemas::SchemaFile;
use serde::Serialize;

pub use self::error::CommandError;
use crate::cli::{Arguments, Command, OutputFormat, SchemaCommand};

/// Runs a command.
///
/// # Errors
/// [`CommandError`], as one sentence for whoever typed the command.
pub fn run(arguments: Arguments) -> Result<(), CommandError> {
    match arguments.command {
        Command::Schema(SchemaCommand::Infer(arguments)) => schema::infer(&arguments),
        Command::Schema(SchemaCommand::Check(arguments)) => schema::check(&arguments),
        Command::Sample(arguments) => sample::run(&arguments),
        Command::Train(arguments) => train::run(&arguments),
        Command::Inspect(arguments) => inspect::run(&arguments),
    }
}

fn read_schema(path: &Path) -> Result<SchemaFile, CommandError> {
    let text = std::fs::read_to_string(path).map_err(|source| CommandError::reading(path, source))?;
    SchemaFile::parse(&text).map_err(|source| CommandError::Schema { path: path.to_owned(), source })
}

fn print(format: OutputFormat, result: &(impl Serialize + std::fmt::Display)) -> Result<(), CommandError> {
    match format {
        OutputFormat::Text => print_text(&result.to_string()),
        OutputFormat::Json => print_text(&serde_json::to_string_pretty(result)?),
    }
}

/// Prints to standard output; whoever reads it may stop early (`| head`) without that being an error.
fn print_text(text: &str) -> Result<(), CommandError> {
    match writeln!(io::stdout(), "{}", text.trim_end()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(CommandError::Print(error)),
        _ => Ok(()),
    }
}
