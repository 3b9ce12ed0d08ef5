//! What lies at the bottom of an error.

use std::error::Error;

/// The innermost cause, which says what happened; the errors around it say that something did.
pub fn innermost(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
