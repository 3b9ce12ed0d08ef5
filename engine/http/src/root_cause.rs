//! What lies at the bottom of an error.

use std::error::Error;

/// Returns the innermost error of a chain, which says what happened.
pub fn root_cause(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
