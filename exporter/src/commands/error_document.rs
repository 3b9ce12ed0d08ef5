//! Errors for programs: one line of JSON, the last one on standard error.

use std::fmt::{self, Display, Formatter};

use onnward_schemas::compatibility::Difference;
use serde::Serialize;

use super::error::{CommandError, USAGE_ERROR};

/// An error as JSON.
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
    /// Describes the failure of a command.
    pub fn of(error: &CommandError) -> Self {
        let differences = match error {
            CommandError::OtherSchema { differences, .. } => differences.clone(),
            _ => Vec::new(),
        };
        Self { error: ErrorDetail { message: error.to_string(), exit_code: error.exit_code(), differences } }
    }

    /// Describes a command line that makes no sense.
    pub fn of_usage(error: &clap::Error) -> Self {
        let message = error.to_string();
        // The usage that follows is for people.
        let message = message.split("\n\n").next().unwrap_or_default();
        let message = message.trim_start_matches("error: ").trim().replace('\n', " ");
        Self { error: ErrorDetail { message, exit_code: USAGE_ERROR, differences: Vec::new() } }
    }

    /// Returns the message for people.
    pub fn message(&self) -> &str {
        &self.error.message
    }
}

impl Display for ErrorDocument {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let text = serde_json::to_string(self).map_err(|_| fmt::Error)?;
        f.write_str(&text)
    }
}
