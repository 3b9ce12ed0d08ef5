//! Requirements of a proof or a measurement, each with what was found.

use std::fmt;

use serde::Serialize;

/// One requirement of a proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Requirement {
    /// What is required, as a sentence.
    pub required: String,
    /// What was found.
    pub found: String,
    /// Whether that is enough.
    pub met: bool,
}

impl Requirement {
    /// Something of which there must be none.
    pub fn none_of(what: &str, found: u64) -> Self {
        Self { required: format!("no {what}"), found: found.to_string(), met: found == 0 }
    }

    /// A figure that must not be above a limit.
    pub fn at_most(what: &str, found: f64, limit: f64, unit: &str) -> Self {
        let required = format!("{what} at most {limit}{unit}");
        // What cannot be computed, as a ratio to nothing, is not enough.
        Self { required, found: format!("{found:.2}{unit}"), met: found <= limit }
    }

    /// A figure that must not be below a limit.
    pub fn at_least(what: &str, found: f64, limit: f64, unit: &str) -> Self {
        let required = format!("{what} at least {limit}{unit}");
        Self { required, found: format!("{found:.2}{unit}"), met: found >= limit }
    }
}

/// Returns whether all requirements are met.
pub fn are_met(requirements: &[Requirement]) -> bool {
    requirements.iter().all(|requirement| requirement.met)
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { required, found, met } = self;
        write!(f, "  {}  {required}: {found}", if *met { "met   " } else { "MISSED" })
    }
}
