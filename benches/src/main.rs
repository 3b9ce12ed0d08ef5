//! `onnward-bench`: runs a proof and prints its figures.

use std::process::ExitCode;

fn main() -> ExitCode {
    onnward_benches::cli::run()
}
