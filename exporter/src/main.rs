//! `onnward-exporter`: trains models on a table of customers, and publishes them, without Python.

use std::env;
use std::io::{self, IsTerminal};
use std::process::ExitCode;

use clap::Parser;
use onnward_exporter::cli::Arguments;
use onnward_exporter::commands::{USAGE_ERROR, run};
use onnward_schemas::error_document::{ErrorDocument, asks_for_json};
use tracing::Level;

fn main() -> ExitCode {
    let as_json = asks_for_json(env::args());
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        // A request for help or the version is no error, and clap prints errors for people.
        Err(error) if !error.use_stderr() || !as_json => error.exit(),
        Err(error) => return ErrorDocument::of_usage(&error.to_string(), USAGE_ERROR).print(as_json),
    };
    show_warnings();
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error.document().print(as_json),
    }
}

/// Prints the warnings of the libraries: what the repository passes over, for one.
fn show_warnings() {
    let lines = tracing_subscriber::fmt().with_max_level(Level::WARN).with_target(false).without_time();
    let lines = lines.with_ansi(io::stderr().is_terminal()).with_writer(io::stderr);
    // There is no other subscriber.
    let _ = lines.try_init();
}
