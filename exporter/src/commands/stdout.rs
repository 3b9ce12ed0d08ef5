//! Standard output, whose reader may stop early (`| head`): that is no error.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

use serde::Serialize;

use super::CommandError;
use crate::cli::OutputFormat;

/// Prints a result in the requested format.
pub fn print(format: OutputFormat, result: &(impl Serialize + Display)) -> Result<(), CommandError> {
    match format {
        OutputFormat::Text => print_text(&result.to_string()),
        OutputFormat::Json => print_json(result),
    }
}

/// Prints a result as JSON.
pub fn print_json(result: &impl Serialize) -> Result<(), CommandError> {
    print_text(&serde_json::to_string_pretty(result)?)
}

/// Prints a text, with one line break at its end.
pub fn print_text(text: &str) -> Result<(), CommandError> {
    match writeln!(io::stdout(), "{}", text.trim_end()) {
        Err(error) if !is_closed_pipe(&error) => Err(CommandError::Print(error)),
        _ => Ok(()),
    }
}

/// Reports whether the reader of the output has stopped.
pub fn is_closed_pipe(error: &io::Error) -> bool {
    error.kind() == ErrorKind::BrokenPipe
}
