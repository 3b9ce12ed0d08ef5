//! Asks an engine that runs whether it is ready, or to look at its repository: for where there is neither a shell nor curl.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use onnward_http::root_cause::root_cause;
use onnward_http::tls::TlsConfig;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use thiserror::Error;

use crate::config::Addresses;

/// Why an engine has not done what it was asked.
#[derive(Debug, Error)]
pub enum RemoteError {
    /// Nothing can be asked.
    #[error("nothing can be asked: {0}")]
    Setup(#[source] io::Error),
    /// A client without a certificate is not answered.
    #[error(
        "the engine answers only clients with a certificate (tls.client_ca_file): let it answer on an address of this machine \
         too, with admin.listen = \"127.0.0.1:8001\""
    )]
    NeedsCertificate,
    /// Nobody knows where it could be asked.
    #[error(
        "the engine answers administrators nowhere: set admin.listen = \"127.0.0.1:8001\" (ONNWARD_ADMIN__LISTEN) for it and for \
         this command, or say --url"
    )]
    NoAdminAddress,
    /// No header can hold the key.
    #[error("the key has characters that no key has: the file must hold the key alone")]
    NoKey,
    /// It does not answer.
    #[error("no engine answers at {url}: {reason}")]
    Unreachable {
        /// What was asked.
        url: String,
        /// What went wrong.
        reason: String,
    },
    /// It answers that it does not, or is not ready.
    #[error("{url} answers {status}: {reason}")]
    Refused {
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

/// What is asked, of whom.
#[derive(Debug)]
pub struct Question {
    method: Method,
    url: String,
    /// Whether a certificate of that machine is believed whatever it says: the engine here has that of its public name.
    any_certificate: bool,
    key: Option<HeaderValue>,
}

/// What an engine has answered.
#[derive(Debug)]
pub struct Reply {
    /// Whether it is still at it.
    pub goes_on: bool,
    /// The body.
    pub text: String,
}

impl Question {
    /// Whether any engine is ready.
    pub fn health(url: String) -> Self {
        Self { method: Method::GET, url, any_certificate: false, key: None }
    }

    /// Whether the engine of this machine is ready that has these addresses.
    ///
    /// # Errors
    /// [`RemoteError::NeedsCertificate`].
    pub fn health_here(addresses: &Addresses) -> Result<Self, RemoteError> {
        let Addresses { listen, admin_listen, tls } = addresses;
        let plain_admin = admin_listen.filter(|address| address.ip().is_loopback());
        let (scheme, address) = match (tls, plain_admin) {
            (None, _) => ("http", *listen),
            (Some(TlsConfig { client_ca_file: None, .. }), _) => ("https", *listen),
            (Some(_), Some(admin)) => ("http", admin),
            (Some(_), None) => return Err(RemoteError::NeedsCertificate),
        };
        let url = format!("{scheme}://{}/health/ready", from_here(address));
        // Nothing secret is sent to it.
        Ok(Self { any_certificate: true, ..Self::health(url) })
    }

    /// That any engine look at its repository.
    pub fn reload(url: String) -> Self {
        Self { method: Method::POST, ..Self::health(url) }
    }

    /// That the engine of this machine look at its repository that has these addresses.
    ///
    /// # Errors
    /// [`RemoteError::NoAdminAddress`].
    pub fn reload_here(addresses: &Addresses) -> Result<Self, RemoteError> {
        let admin = addresses.admin_listen.ok_or(RemoteError::NoAdminAddress)?;
        let is_plain = addresses.tls.is_none() || admin.ip().is_loopback();
        let scheme = if is_plain { "http" } else { "https" };
        let url = format!("{scheme}://{}/admin/reload", from_here(admin));
        Ok(Self { any_certificate: true, ..Self::reload(url) })
    }

    /// The same with the key, or token, of an administrator: for nobody who only claims to be the engine.
    ///
    /// # Errors
    /// [`RemoteError::NoKey`].
    pub fn with_key(self, key: &str) -> Result<Self, RemoteError> {
        let key = HeaderValue::try_from(format!("Bearer {}", key.trim()));
        let mut key = key.map_err(|_| RemoteError::NoKey)?;
        key.set_sensitive(true);
        Ok(Self { any_certificate: false, key: Some(key), ..self })
    }
}

/// Where a program on the same machine finds what listens at this address.
fn from_here(address: SocketAddr) -> SocketAddr {
    let host = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(host, address.port())
}

/// Asks, and gives up after `timeout`.
///
/// # Errors
/// [`RemoteError`] unless the answer is a success.
pub fn ask(question: Question, timeout: Duration) -> Result<Reply, RemoteError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(RemoteError::Setup)?.block_on(answer(question, timeout))
}

async fn answer(question: Question, timeout: Duration) -> Result<Reply, RemoteError> {
    let Question { method, url, any_certificate, key } = question;
    let unreachable =
        |error: reqwest::Error| RemoteError::Unreachable { url: url.clone(), reason: root_cause(&error) };
    let client = reqwest::Client::builder().timeout(timeout).no_proxy();
    let client = client.danger_accept_invalid_certs(any_certificate).build().map_err(unreachable)?;
    let request = client.request(method, &url);
    let request = match key {
        Some(key) => request.header(AUTHORIZATION, key),
        None => request,
    };
    let answer = request.send().await.map_err(unreachable)?;
    let status = answer.status();
    let text = answer.text().await.map_err(unreachable)?;
    if status.is_success() {
        return Ok(Reply { goes_on: status == StatusCode::ACCEPTED, text });
    }
    let reason = serde_json::from_str(&text).map_or_else(
        |_| "it is not an engine, or not this path of it".to_owned(),
        |problem: Problem| problem.detail,
    );
    Err(RemoteError::Refused { url, status: status.as_u16(), reason })
}

#[cfg(test)]
mod tests {
    use super::*;
    use onnward_http::tls::TlsVersion;

    fn tls(client_ca_file: Option<&str>) -> Option<TlsConfig> {
        Some(TlsConfig {
            certificate_file: "certificate.pem".into(),
            private_key_file: "key.pem".into(),
            client_ca_file: client_ca_file.map(Into::into),
            min_version: TlsVersion::V1_2,
        })
    }

    fn addresses(listen: &str, admin: Option<&str>, tls: Option<TlsConfig>) -> Addresses {
        let admin_listen = admin.map(|admin| admin.parse().unwrap());
        Addresses { listen: listen.parse().unwrap(), admin_listen, tls }
    }

    fn url(listen: &str, admin: Option<&str>, tls: Option<TlsConfig>) -> Result<String, RemoteError> {
        Question::health_here(&addresses(listen, admin, tls)).map(|question| question.url)
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

    #[test]
    fn a_look_at_the_repository_is_asked_for_where_administrators_are_answered() {
        let asked = |admin, tls| Question::reload_here(&addresses("0.0.0.0:443", admin, tls));
        let plain = asked(Some("127.0.0.1:8001"), tls(Some("ca.pem"))).unwrap();
        assert_eq!(plain.url, "http://127.0.0.1:8001/admin/reload");
        let encrypted = asked(Some("0.0.0.0:8001"), tls(None)).unwrap();
        assert_eq!(encrypted.url, "https://127.0.0.1:8001/admin/reload");
        assert!(asked(None, None).unwrap_err().to_string().contains("ONNWARD_ADMIN__LISTEN"));
    }

    #[test]
    fn a_key_is_printed_nowhere_and_sent_to_no_certificate_that_is_not_the_engines() {
        let url = || "https://127.0.0.1:8001/admin/reload".to_owned();
        let question = Question { any_certificate: true, ..Question::reload(url()) };
        let question = question.with_key("an-operators-key\n").unwrap();
        assert!(!question.any_certificate);
        assert!(!format!("{question:?}").contains("an-operators-key"));
        assert!(matches!(Question::reload(url()).with_key("a\nb"), Err(RemoteError::NoKey)));
    }
}
