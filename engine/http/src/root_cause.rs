//! The root cause of an error.

use std::error::Error;

/// Returns the message of the innermost error of a chain, which names the cause.
///
/// ```
/// let error = std::io::Error::other("the disk is full");
/// assert_eq!(onnward_http::root_cause::root_cause(&error), "the disk is full");
/// ```
pub fn root_cause(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
