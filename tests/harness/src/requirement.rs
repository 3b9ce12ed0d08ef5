//! Requirements of a proof or a measurement, each with what was found.

use std::fmt;

use serde::Serialize;

/// One requirement, and whether it is met.
///
/// ```
/// use onnward_harness::requirement::Requirement;
///
/// let requirement = Requirement::at_most("p99", 12.0, 100.0, " ms");
/// assert!(requirement.met);
/// assert_eq!(requirement.to_string(), "  met     p99 at most 100 ms: 12.00 ms");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Requirement {
    /// The requirement, as a sentence.
    pub required: String,
    /// The finding.
    pub found: String,
    /// Whether the requirement is met.
    pub met: bool,
}

impl Requirement {
    /// Requires a count to be 0.
    pub fn none_of(what: &str, found: u64) -> Self {
        Self { required: format!("no {what}"), found: found.to_string(), met: found == 0 }
    }

    /// Requires a figure not to exceed a limit.
    pub fn at_most(what: &str, found: f64, limit: f64, unit: &str) -> Self {
        let required = format!("{what} at most {limit}{unit}");
        // A figure that cannot be computed, such as 0 / 0, misses the requirement.
        Self { required, found: format!("{found:.2}{unit}"), met: found <= limit }
    }

    /// Requires a figure not to be below a limit.
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
