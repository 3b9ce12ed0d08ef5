//! `onnward-exporter`: trains models on a table of customers, and publishes them, without Python.

use std::env;
use std::io::{self, IsTerminal};
use std::process::ExitCode;

use clap::Parser;
use onnward_exporter::cli::{Arguments, OutputFormat};
use onnward_exporter::commands::{ErrorDocument, USAGE_ERROR, run};
use tracing::Level;

fn main() -> ExitCode {
    let format = OutputFormat::of_arguments(env::args());
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        // A request for help or the version is no error, and clap prints errors for people.
        Err(error) if !error.use_stderr() || format == OutputFormat::Text => error.exit(),
        Err(error) => return fail(&ErrorDocument::of_usage(&error), format, USAGE_ERROR),
    };
    show_warnings();
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&ErrorDocument::of(&error), format, error.exit_code()),
    }
}

/// Prints the warnings of the libraries: what the repository passes over, for one.
fn show_warnings() {
    let lines = tracing_subscriber::fmt().with_max_level(Level::WARN).with_target(false).without_time();
    let lines = lines.with_ansi(io::stderr().is_terminal()).with_writer(io::stderr);
    // There is no other subscriber.
    let _ = lines.try_init();
}

/// Prints an error: for people, or for programs as one line of JSON.
fn fail(error: &ErrorDocument, format: OutputFormat, code: u8) -> ExitCode {
    match format {
        OutputFormat::Text => eprintln!("error: {}", error.message()),
        OutputFormat::Json => eprintln!("{error}"),
    }
    ExitCode::from(code)
}
