//! `[tracing]`: the export of traces.

use std::path::PathBuf;

use onnward_records::traces::TracingConfig;
use serde::Deserialize;

use super::error::Invalid;
use super::value::share;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawTracing {
    endpoint: Option<String>,
    sample: f64,
    headers_file: Option<PathBuf>,
}

impl RawTracing {
    /// Validates the keys. `None` without an endpoint.
    pub fn validate(self) -> Result<Option<TracingConfig>, Invalid> {
        let sample = share("tracing.sample", self.sample)?;
        let Some(endpoint) = self.endpoint.filter(|endpoint| !endpoint.trim().is_empty()) else {
            return Ok(None);
        };
        Ok(Some(TracingConfig { endpoint: traces_url(&endpoint)?, sample, headers_file: self.headers_file }))
    }
}

/// The path of a collector's traces endpoint in OTLP.
const TRACES: &str = "/v1/traces";

/// Returns the traces URL of a collector. Errors never repeat the value, which may hold a password.
fn traces_url(endpoint: &str) -> Result<String, Invalid> {
    let invalid = |problem: &str| Err(Invalid { key: "tracing.endpoint", problem: problem.to_owned() });
    let host = endpoint.strip_prefix("http://").or_else(|| endpoint.strip_prefix("https://"));
    match host {
        None => invalid("must be the URL of a collector, such as http://127.0.0.1:4318"),
        Some(host) if host.is_empty() || !host.bytes().all(|byte| byte.is_ascii_graphic()) => {
            invalid("must be the URL of a collector, such as http://127.0.0.1:4318")
        }
        Some(host) if host.contains('@') => {
            invalid("must not hold credentials: put them into the file that tracing.headers_file names")
        }
        Some(host) if host.contains(['?', '#']) => invalid("must end with its path"),
        Some(_) => {
            let endpoint = endpoint.trim_end_matches('/');
            let endpoint = endpoint.strip_suffix(TRACES).unwrap_or(endpoint);
            Ok(format!("{endpoint}{TRACES}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_path_for_traces_is_added() {
        for endpoint in
            ["http://c:4318", "http://c:4318/", "http://c:4318/v1/traces", "http://c:4318/v1/traces/"]
        {
            assert_eq!(traces_url(endpoint).unwrap(), "http://c:4318/v1/traces");
        }
        assert_eq!(traces_url("https://c.example/otlp").unwrap(), "https://c.example/otlp/v1/traces");
    }

    #[test]
    fn an_invalid_collector_url_is_rejected_and_not_repeated() {
        for endpoint in
            ["hidden", "grpc://hidden", "http://", "http://name:hidden@c", "https://c/?key=hidden"]
        {
            let Invalid { key, problem } = traces_url(endpoint).unwrap_err();
            assert!(key == "tracing.endpoint" && !problem.contains("hidden"), "{endpoint}: {problem}");
        }
    }
}
