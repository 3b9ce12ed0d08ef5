//! `onnward-exporter`: from a table of customers to a version in a model repository, without Python.

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
