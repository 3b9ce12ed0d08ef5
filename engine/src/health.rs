//! Asks an engine that runs whether it is ready: a health check for where there is neither a shell nor curl.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use serde::Deserialize;
use thiserror::Error;

/// Why an engine is not known to be ready.
#[derive(Debug, Error)]
pub enum HealthError {
    /// It does not answer.
    #[error("no engine answers at {url}: {source}")]
    Unreachable {
        /// What was asked.
        url: String,
        /// What went wrong.
        source: Box<ureq::Error>,
    },
    /// It answers that it is not ready.
    #[error("{url} answers {status}: {reason}")]
    NotReady {
        /// What was asked.
        url: String,
        /// The status of the answer.
        status: u16,
        /// What it says.
        reason: String,
    },
}

/// The part of a problem (RFC 9457) that is for people.
#[derive(Deserialize)]
struct Problem {
    detail: String,
}

/// Where an engine of this machine that listens on `listen` says whether it is ready.
pub fn ready_url(listen: SocketAddr) -> String {
    let host = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    format!("http://{}/health/ready", SocketAddr::new(host, listen.port()))
}

/// Asks `url`, and gives up after `timeout`.
///
/// # Errors
/// [`HealthError`] unless the answer is a success.
pub fn ask(url: &str, timeout: Duration) -> Result<(), HealthError> {
    let agent = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(timeout));
    let agent: ureq::Agent = agent.build().into();
    let unreachable = |source| HealthError::Unreachable { url: url.to_owned(), source: Box::new(source) };
    let mut answer = agent.get(url).call().map_err(unreachable)?;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let text = answer.body_mut().read_to_string().unwrap_or_default();
    let reason = serde_json::from_str(&text).map_or_else(
        |_| "it is not an engine, or not this path of it".to_owned(),
        |problem: Problem| problem.detail,
    );
    Err(HealthError::NotReady { url: url.to_owned(), status: status.as_u16(), reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_that_listens_everywhere_is_asked_on_loopback() {
        for (listen, url) in [
            ("0.0.0.0:8000", "http://127.0.0.1:8000/health/ready"),
            ("[::]:80", "http://[::1]:80/health/ready"),
            ("10.0.0.7:8080", "http://10.0.0.7:8080/health/ready"),
        ] {
            assert_eq!(ready_url(listen.parse().unwrap()), url);
        }
    }
}
