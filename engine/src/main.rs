//! The engine's program.

use std::process::ExitCode;

fn main() -> ExitCode {
    onnward_engine::cli::run()
}
