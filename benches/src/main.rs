//! `onnward-bench`: runs a measurement and prints its figures.

use std::process::ExitCode;

fn main() -> ExitCode {
    onnward_benches::cli::run()
}
