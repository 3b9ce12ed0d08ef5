//! The errors of both programs as other programs read them: one line of JSON, the last one on standard error.

use std::fmt::{self, Display, Formatter};
use std::process::ExitCode;

use serde::Serialize;

use crate::compatibility::Difference;

/// The failure of a command.
///
/// ```
/// use onnward_schemas::error_document::{ErrorDocument, asks_for_json};
///
/// let arguments = ["onnward-exporter", "publish", "--output=json"].map(str::to_owned);
/// assert!(asks_for_json(arguments.into_iter()));
/// let usage = "error: a value is missing\n\nUsage: onnward-exporter publish";
/// let document = ErrorDocument::of_usage(usage, 2);
/// assert_eq!(document.to_string(), r#"{"error":{"message":"a value is missing","exit_code":2}}"#);
/// ```
#[derive(Debug, Serialize)]
pub struct ErrorDocument {
    error: ErrorDetail,
}

#[derive(Debug, Serialize)]
struct ErrorDetail {
    /// The message for people.
    message: String,
    exit_code: u8,
    /// The differences of a version of other rows.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    differences: Vec<Difference>,
}

impl ErrorDocument {
    /// Describes a failure by its message.
    pub fn new(message: impl Display, exit_code: u8) -> Self {
        Self { error: ErrorDetail { message: message.to_string(), exit_code, differences: Vec::new() } }
    }

    /// Describes a command line that makes no sense, by what clap says of it.
    pub fn of_usage(text: &str, exit_code: u8) -> Self {
        // The usage that follows is for people.
        let message = text.split("\n\n").next().unwrap_or_default();
        Self::new(message.trim_start_matches("error: ").trim().replace('\n', " "), exit_code)
    }

    /// Adds the differences of a version of other rows.
    pub fn with_differences(mut self, differences: &[Difference]) -> Self {
        self.error.differences = differences.to_vec();
        self
    }

    /// Prints the failure on standard error: for people, or as JSON. Returns its exit code.
    pub fn print(&self, as_json: bool) -> ExitCode {
        if as_json {
            eprintln!("{self}");
        } else {
            eprintln!("error: {}", self.error.message);
        }
        ExitCode::from(self.error.exit_code)
    }
}

impl Display for ErrorDocument {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let text = serde_json::to_string(self).map_err(|_| fmt::Error)?;
        f.write_str(&text)
    }
}

/// Returns whether a command line asks for JSON, whether or not the rest of it makes sense.
pub fn asks_for_json(arguments: impl Iterator<Item = String>) -> bool {
    let mut arguments = arguments.skip(1).peekable();
    while let Some(argument) = arguments.next() {
        let value = match argument.split_once('=') {
            Some(("--output", value)) => value,
            None if argument == "--output" => arguments.peek().map_or("", String::as_str),
            _ => continue,
        };
        return value == "json";
    }
    false
}
