use onnward_schemas::Violations;
use thiserror::Error;

use crate::explain::explain_json_error;

/// The reason why a body cannot be parsed as rows of a model.
#[derive(Debug, Error)]
pub enum ParseError {
    /// JSON is UTF-8, and the body is not.
    #[error("the body is not UTF-8: invalid byte at offset {offset}")]
    NotUtf8 {
        /// The number of valid bytes before it.
        offset: usize,
    },
    /// The body is not JSON.
    #[error("the body is not JSON: {reason}")]
    NotJson {
        /// What is wrong, with the field and the remedy if they are clear.
        reason: String,
    },
    /// The body is JSON and far more than rows are: nested too deep, or with far too many fields.
    #[error("the body is too complex: {0}")]
    TooComplex(serde_json::Error),
    /// The rows do not fit the model's schema.
    #[error("the rows do not fit the model's schema: {} violations", .0.total())]
    Invalid(Violations),
}

impl ParseError {
    /// Converts an error of JSON's parser in this text: to [`ParseError::TooComplex`] for a limit, or else to
    /// [`ParseError::NotJson`], with the field and the remedy where both are clear.
    ///
    /// ```
    /// use onnward_rows::ParseError;
    ///
    /// let text = r#"{"plan": "full", "charges": NaN}"#;
    /// let error = serde_json::from_str::<serde_json::Value>(text).unwrap_err();
    /// let reason = ParseError::of_json(text, error).to_string();
    /// assert!(reason.contains("`charges` is NaN, which JSON does not have: send null for a missing value"));
    /// ```
    pub fn of_json(text: &str, error: serde_json::Error) -> Self {
        if error.is_data() {
            Self::TooComplex(error)
        } else {
            Self::NotJson { reason: explain_json_error(text, &error) }
        }
    }
}
