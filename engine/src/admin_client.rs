//! The client of a running engine's health and admin routes, for hosts without a shell or curl.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use onnward_http::root_cause::root_cause;
use onnward_http::tls::TlsConfig;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Method, StatusCode, Url};
use serde::Deserialize;
use thiserror::Error;

use crate::config::Addresses;

/// An error of a request to an engine.
#[derive(Debug, Error)]
pub enum AdminClientError {
    /// The HTTP client cannot be created.
    #[error("cannot create an HTTP client: {0}")]
    Setup(#[source] io::Error),
    /// The engine requires client certificates.
    #[error(
        "the engine requires client certificates (tls.client_ca_file): set admin.listen = \"127.0.0.1:8001\" to reach it locally"
    )]
    NeedsCertificate,
    /// The admin routes are disabled.
    #[error(
        "the admin routes are disabled: set admin.listen = \"127.0.0.1:8001\" (ONNWARD_ADMIN__LISTEN) for the engine and this \
         command, or pass --url"
    )]
    NoAdminAddress,
    /// No header can hold the key.
    #[error("the key has invalid characters: the file must hold only the key")]
    NoKey,
    /// The engine does not answer.
    #[error("no response from an engine at {url}: {reason}")]
    Unreachable {
        /// The URL.
        url: String,
        /// The cause.
        reason: String,
    },
    /// The engine answers with an error.
    #[error("{url} responded with {status}: {reason}")]
    Rejected {
        /// The URL.
        url: String,
        /// The status of the response.
        status: u16,
        /// The detail in the response.
        reason: String,
    },
}

/// The human-readable part of a problem (RFC 9457).
#[derive(Deserialize)]
struct Problem {
    detail: String,
}

/// The route of readiness.
const HEALTH_PATH: &str = "/health/ready";
/// The route that reloads the repository.
const RELOAD_PATH: &str = "/admin/reload";

/// A request to an engine.
#[derive(Debug)]
pub struct AdminRequest {
    method: Method,
    url: String,
    /// Whether any certificate is accepted. That of the local engine is for its public name.
    skip_certificate_check: bool,
    key: Option<HeaderValue>,
}

/// An engine's response.
#[derive(Debug)]
pub struct AdminResponse {
    /// Whether the work was accepted and continues.
    pub accepted: bool,
    /// The body.
    pub text: String,
}

impl AdminRequest {
    /// Creates a readiness request for any engine. A URL without a path means its readiness route.
    pub fn health(url: String) -> Self {
        Self::new(Method::GET, url, HEALTH_PATH)
    }

    /// Creates a readiness request for the local engine with these addresses.
    ///
    /// # Errors
    /// [`AdminClientError::NeedsCertificate`].
    pub fn local_health(addresses: &Addresses) -> Result<Self, AdminClientError> {
        let Addresses { listen, admin_listen, tls } = addresses;
        let plain_admin = admin_listen.filter(|address| address.ip().is_loopback());
        let (scheme, address) = match (tls, plain_admin) {
            (None, _) => ("http", *listen),
            (Some(TlsConfig { client_ca_file: None, .. }), _) => ("https", *listen),
            (Some(_), Some(admin)) => ("http", admin),
            (Some(_), None) => return Err(AdminClientError::NeedsCertificate),
        };
        let url = format!("{scheme}://{}{HEALTH_PATH}", connectable(address));
        // The request holds no secret.
        Ok(Self { skip_certificate_check: true, ..Self::health(url) })
    }

    /// Creates a reload request for any engine. A URL without a path means its reload route.
    pub fn reload(url: String) -> Self {
        Self::new(Method::POST, url, RELOAD_PATH)
    }

    /// Creates a reload request for the local engine with these addresses.
    ///
    /// # Errors
    /// [`AdminClientError::NoAdminAddress`].
    pub fn local_reload(addresses: &Addresses) -> Result<Self, AdminClientError> {
        let admin = addresses.admin_listen.ok_or(AdminClientError::NoAdminAddress)?;
        let is_plain = addresses.tls.is_none() || admin.ip().is_loopback();
        let scheme = if is_plain { "http" } else { "https" };
        let url = format!("{scheme}://{}{RELOAD_PATH}", connectable(admin));
        Ok(Self { skip_certificate_check: true, ..Self::reload(url) })
    }

    /// Adds an administrator's key or token. The server's certificate is then verified, so that the key only reaches the
    /// engine.
    ///
    /// # Errors
    /// [`AdminClientError::NoKey`].
    pub fn with_key(self, key: &str) -> Result<Self, AdminClientError> {
        let key = HeaderValue::try_from(format!("Bearer {}", key.trim()));
        let mut key = key.map_err(|_| AdminClientError::NoKey)?;
        key.set_sensitive(true);
        Ok(Self { skip_certificate_check: false, key: Some(key), ..self })
    }

    fn new(method: Method, url: String, default_path: &str) -> Self {
        let url = with_default_path(url, default_path);
        Self { method, url, skip_certificate_check: false, key: None }
    }
}

/// Returns the URL, with the path if it has none: `GET /` succeeds whether or not the engine is ready. A text that is
/// not a URL is returned as it is, for the HTTP client to reject.
fn with_default_path(url: String, path: &str) -> String {
    match Url::parse(&url) {
        Ok(mut parsed) if parsed.path() == "/" => {
            parsed.set_path(path);
            parsed.into()
        }
        _ => url,
    }
}

/// Returns the address at which a local program reaches a listener: loopback instead of an unspecified address.
fn connectable(address: SocketAddr) -> SocketAddr {
    let host = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(host, address.port())
}

/// Sends the request and waits for the response, at most `timeout`.
///
/// # Errors
/// [`AdminClientError`] unless the response is a success.
pub fn send(request: AdminRequest, timeout: Duration) -> Result<AdminResponse, AdminClientError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(AdminClientError::Setup)?.block_on(send_async(request, timeout))
}

async fn send_async(request: AdminRequest, timeout: Duration) -> Result<AdminResponse, AdminClientError> {
    let AdminRequest { method, url, skip_certificate_check, key } = request;
    let unreachable = |error: reqwest::Error| AdminClientError::Unreachable {
        url: url.clone(),
        reason: root_cause(&error),
    };
    let client = reqwest::Client::builder().timeout(timeout).no_proxy();
    let client = client.danger_accept_invalid_certs(skip_certificate_check).build().map_err(unreachable)?;
    let builder = client.request(method, &url);
    let builder = match key {
        Some(key) => builder.header(AUTHORIZATION, key),
        None => builder,
    };
    let response = builder.send().await.map_err(unreachable)?;
    let status = response.status();
    let text = response.text().await.map_err(unreachable)?;
    if status.is_success() {
        return Ok(AdminResponse { accepted: status == StatusCode::ACCEPTED, text });
    }
    let reason = serde_json::from_str(&text).map_or_else(
        |_| "it is not an engine, or the path is wrong".to_owned(),
        |problem: Problem| problem.detail,
    );
    Err(AdminClientError::Rejected { url, status: status.as_u16(), reason })
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

    fn url(listen: &str, admin: Option<&str>, tls: Option<TlsConfig>) -> Result<String, AdminClientError> {
        AdminRequest::local_health(&addresses(listen, admin, tls)).map(|request| request.url)
    }

    #[test]
    fn an_unspecified_address_is_reached_on_loopback() {
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
    fn an_engine_that_needs_client_certificates_is_reached_at_its_loopback_admin_address() {
        let client_ca = || tls(Some("ca.pem"));
        let asked = url("0.0.0.0:443", Some("127.0.0.1:8001"), client_ca()).unwrap();
        assert_eq!(asked, "http://127.0.0.1:8001/health/ready");
        for admin in [None, Some("0.0.0.0:8001")] {
            assert!(url("0.0.0.0:443", admin, client_ca()).unwrap_err().to_string().contains("admin.listen"));
        }
    }

    #[test]
    fn a_reload_is_sent_to_the_admin_address() {
        let asked = |admin, tls| AdminRequest::local_reload(&addresses("0.0.0.0:443", admin, tls));
        let plain = asked(Some("127.0.0.1:8001"), tls(Some("ca.pem"))).unwrap();
        assert_eq!(plain.url, "http://127.0.0.1:8001/admin/reload");
        let encrypted = asked(Some("0.0.0.0:8001"), tls(None)).unwrap();
        assert_eq!(encrypted.url, "https://127.0.0.1:8001/admin/reload");
        assert!(asked(None, None).unwrap_err().to_string().contains("ONNWARD_ADMIN__LISTEN"));
    }

    #[test]
    fn a_url_without_a_path_means_the_route() {
        for (url, health, reload) in [
            ("http://h:8000", "http://h:8000/health/ready", "http://h:8000/admin/reload"),
            ("https://h/", "https://h/health/ready", "https://h/admin/reload"),
            ("http://h:8000/engine/ready", "http://h:8000/engine/ready", "http://h:8000/engine/ready"),
            ("no URL", "no URL", "no URL"),
        ] {
            assert_eq!(AdminRequest::health(url.to_owned()).url, health);
            assert_eq!(AdminRequest::reload(url.to_owned()).url, reload);
        }
    }

    #[test]
    fn a_key_is_never_printed_and_only_sent_to_a_verified_certificate() {
        let url = || "https://127.0.0.1:8001/admin/reload".to_owned();
        let request = AdminRequest { skip_certificate_check: true, ..AdminRequest::reload(url()) };
        let request = request.with_key("an-operators-key\n").unwrap();
        assert!(!request.skip_certificate_check);
        assert!(!format!("{request:?}").contains("an-operators-key"));
        assert!(matches!(AdminRequest::reload(url()).with_key("a\nb"), Err(AdminClientError::NoKey)));
    }
}
