use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::{CommandError, print};
use crate::admin_client::{self, AdminRequest, AdminResponse};
use crate::cli::Output;

/// An engine's listing of its models.
#[derive(Deserialize)]
struct Listing {
    models: Vec<Served>,
    failed: Vec<Failed>,
}

#[derive(Deserialize)]
struct Served {
    name: String,
    version: u64,
    backend: String,
}

#[derive(Deserialize)]
struct Failed {
    name: String,
    reason: String,
}

/// Makes a running engine reload its repository and prints its models.
///
/// # Errors
/// [`CommandError`] unless the engine has accepted the reload.
pub fn reload(request: AdminRequest, timeout: Duration, output: Output) -> Result<(), CommandError> {
    onnward_repository::prepare_tls();
    let AdminResponse { accepted, text } = admin_client::send(request, timeout)?;
    let json: Value = serde_json::from_str(&text).map_err(CommandError::NotAnEngine)?;
    let listing = Listing::deserialize(&json).map_err(CommandError::NotAnEngine)?;
    print(output, &json, &Lines { listing: &listing, accepted })
}

/// The human-readable listing, one line per model.
struct Lines<'a> {
    listing: &'a Listing,
    accepted: bool,
}

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Listing { models, failed } = self.listing;
        for Served { name, version, backend } in models {
            writeln!(f, "{name} version {version} on {backend}")?;
        }
        for Failed { name, reason } in failed {
            writeln!(f, "{name}: {reason}")?;
        }
        if models.is_empty() && failed.is_empty() {
            writeln!(f, "no models")?;
        }
        if self.accepted {
            writeln!(f, "loading continues")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_model_has_a_line_that_says_what_is_served_or_why_nothing_is() {
        let lines = |json: &str, accepted| {
            let listing: Listing = serde_json::from_str(json).unwrap();
            Lines { listing: &listing, accepted }.to_string()
        };
        let served = r#"{"name": "churn", "version": 2, "backend": "tract", "default": true}"#;
        let failed = r#"{"name": "credit", "version": 1, "reason": "it is cut short"}"#;
        let both = format!(r#"{{"loading": false, "models": [{served}], "failed": [{failed}]}}"#);
        assert_eq!(lines(&both, false), "churn version 2 on tract\ncredit: it is cut short\n");
        let none = r#"{"models": [], "failed": []}"#;
        assert_eq!(lines(none, true), "no models\nloading continues\n");
    }
}
