//! `onnward-proofs`: runs a proof and prints its figures.

use std::process::ExitCode;

fn main() -> ExitCode {
    onnward_proofs::cli::run()
}
