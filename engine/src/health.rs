//! Asks an engine that runs whether it is ready: a health check for where there is neither a shell nor curl.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use serde::Deserialize;
use thiserror::Error;

use crate::cause::innermost;
use crate::config::{HealthConfig, TlsConfig};

/// Why an engine is not known to be ready.
#[derive(Debug, Error)]
pub enum HealthError {
    /// Nothing can be asked.
    #[error("nothing can be asked: {0}")]
    Setup(#[source] io::Error),
    /// A client without a certificate is not answered.
    #[error(
        "the engine answers only clients with a certificate (tls.client_ca_file): let it answer probes on an address of \
         this machine too, with admin.listen = \"127.0.0.1:8001\""
    )]
    NeedsCertificate,
    /// It does not answer.
    #[error("no engine answers at {url}: {reason}")]
    Unreachable {
        /// What was asked.
        url: String,
        /// What went wrong.
        reason: String,
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

/// What is asked, and whether a certificate of that machine is believed whatever it says.
#[derive(Debug, PartialEq, Eq)]
pub struct Question {
    url: String,
    /// The engine of this machine has the certificate of its public name; nothing secret is sent to it.
    any_certificate: bool,
}

impl Question {
    /// A question to any engine.
    pub fn to(url: String) -> Self {
        Self { url, any_certificate: false }
    }

    /// A question to the engine of this machine that has this configuration.
    ///
    /// # Errors
    /// [`HealthError::NeedsCertificate`].
    pub fn to_engine_here(config: &HealthConfig) -> Result<Self, HealthError> {
        let HealthConfig { listen, admin_listen, tls } = config;
        let plain_admin = admin_listen.filter(|address| address.ip().is_loopback());
        let (scheme, address) = match (tls, plain_admin) {
            (None, _) => ("http", *listen),
            (Some(TlsConfig { client_ca_file: None, .. }), _) => ("https", *listen),
            (Some(_), Some(admin)) => ("http", admin),
            (Some(_), None) => return Err(HealthError::NeedsCertificate),
        };
        let host = match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        let url = format!("{scheme}://{}/health/ready", SocketAddr::new(host, address.port()));
        Ok(Self { url, any_certificate: true })
    }
}

/// Asks, and gives up after `timeout`.
///
/// # Errors
/// [`HealthError`] unless the answer is a success.
pub fn ask(question: Question, timeout: Duration) -> Result<(), HealthError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(HealthError::Setup)?.block_on(answer(question, timeout))
}

async fn answer(Question { url, any_certificate }: Question, timeout: Duration) -> Result<(), HealthError> {
    let unreachable =
        |error: reqwest::Error| HealthError::Unreachable { url: url.clone(), reason: innermost(&error) };
    let client = reqwest::Client::builder().timeout(timeout).no_proxy();
    let client = client.danger_accept_invalid_certs(any_certificate).build().map_err(unreachable)?;
    let answer = client.get(&url).send().await.map_err(unreachable)?;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let text = answer.text().await.unwrap_or_default();
    let reason = serde_json::from_str(&text).map_or_else(
        |_| "it is not an engine, or not this path of it".to_owned(),
        |problem: Problem| problem.detail,
    );
    Err(HealthError::NotReady { url, status: status.as_u16(), reason })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TlsVersion;

    fn tls(client_ca_file: Option<&str>) -> Option<TlsConfig> {
        Some(TlsConfig {
            certificate_file: "certificate.pem".into(),
            private_key_file: "key.pem".into(),
            client_ca_file: client_ca_file.map(Into::into),
            min_version: TlsVersion::V1_2,
        })
    }

    fn url(listen: &str, admin: Option<&str>, tls: Option<TlsConfig>) -> Result<String, HealthError> {
        let admin_listen = admin.map(|admin| admin.parse().unwrap());
        let config = HealthConfig { listen: listen.parse().unwrap(), admin_listen, tls };
        Question::to_engine_here(&config).map(|question| question.url)
    }

    #[test]
    fn an_engine_that_listens_everywhere_is_asked_on_loopback() {
        for (listen, expected) in [
            ("0.0.0.0:8000", "http://127.0.0.1:8000/health/ready"),
            ("[::]:80", "http://[::1]:80/health/ready"),
            ("10.0.0.7:8080", "http://10.0.0.7:8080/health/ready"),
        ] {
            assert_eq!(url(listen, None, None).unwrap(), expected);
        }
        assert_eq!(url("0.0.0.0:443", None, tls(None)).unwrap(), "https://127.0.0.1:443/health/ready");
    }

    #[test]
    fn an_engine_that_wants_certificates_is_asked_where_it_wants_none() {
        let client_ca = || tls(Some("ca.pem"));
        let asked = url("0.0.0.0:443", Some("127.0.0.1:8001"), client_ca()).unwrap();
        assert_eq!(asked, "http://127.0.0.1:8001/health/ready");
        for admin in [None, Some("0.0.0.0:8001")] {
            assert!(url("0.0.0.0:443", admin, client_ca()).unwrap_err().to_string().contains("admin.listen"));
        }
    }
}
