//! What `check` and `predict` do.

use std::path::Path;

use thiserror::Error;

use crate::cli::Output;

/// Why a command did not do what it was asked.
#[derive(Debug, Error)]
pub enum CommandError {
    /// STAND-IN until the commands proper are merged.
    #[error("{0} is not built in yet")]
    NotBuiltIn(&'static str),
}

/// Replays the golden rows of `file` on every backend that is present, whole graph and cut, and prints how it went.
///
/// # Errors
/// [`CommandError`] when the file cannot be read or one of its rows comes out differently.
pub fn check(file: &Path, output: Output) -> Result<(), CommandError> {
    let _ = (file, output);
    Err(CommandError::NotBuiltIn("check"))
}

/// Scores the rows of the JSON file `rows` with the model in `file` and prints the answer that the engine would give.
///
/// # Errors
/// [`CommandError`] when a file cannot be read, a row does not fit the schema, or scoring fails.
pub fn predict(file: &Path, rows: &Path, output: Output) -> Result<(), CommandError> {
    let _ = (file, rows, output);
    Err(CommandError::NotBuiltIn("predict"))
}
