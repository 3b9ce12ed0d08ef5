//! `onnward-exporter`: trains models on a table of customers, and publishes them, without Python.

use std::process::ExitCode;

use clap::Parser;
use onnward_exporter::cli::Arguments;

fn main() -> ExitCode {
    match onnward_exporter::commands::run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
