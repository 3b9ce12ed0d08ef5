//! The limits of requests and connections, and the settings of the access log.

use std::num::NonZero;
use std::time::Duration;

use ipnet::IpNet;
use onnward_telemetry::share::Share;
use serde::Deserialize;

use crate::admission::head::split_port;

/// The limits of a request, and the settings of its errors and its log line.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpConfig {
    /// The maximum size of a request's body in bytes.
    pub max_body_bytes: usize,
    /// The maximum number of rows in a request.
    pub max_request_rows: usize,
    /// The request timeout, from the request's head to its response.
    pub request_timeout: Duration,
    /// The allowed CORS origins. Empty allows none, and `*` allows all.
    pub cors_origins: Vec<String>,
    /// The hosts under which the public routes are served.
    pub allowed_hosts: AllowedHosts,
    /// The hosts under which the admin routes are served.
    pub admin_allowed_hosts: AllowedHosts,
    /// The level of detail of error responses.
    pub errors: ErrorDetail,
    /// The settings of the access log.
    pub access_log: AccessLogConfig,
}

/// The hosts that a request may be for, by its `Host` header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AllowedHosts {
    /// All hosts.
    Any,
    /// `localhost` and the loopback addresses: names that no page of another site can have.
    Loopback,
    /// These: `api.example.org`, `*.example.org`, or `api.example.org:8443` for one port.
    Listed(Vec<String>),
}

impl AllowedHosts {
    /// Returns whether a text may stand in [`AllowedHosts::Listed`].
    ///
    /// ```
    /// use onnward_http::settings::AllowedHosts;
    ///
    /// assert!(["api.example.org", "*.example.org", "[::1]:8443"].into_iter().all(AllowedHosts::is_pattern));
    /// assert!(!["", "https://example.org", "a*.org", "a/b"].into_iter().any(AllowedHosts::is_pattern));
    /// ```
    pub fn is_pattern(text: &str) -> bool {
        let host = text.strip_prefix("*.").unwrap_or(text);
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
        split_port(host).is_some_and(|(name, _)| name.bytes().all(is_plain))
    }
}

/// The level of detail of error responses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ErrorDetail {
    /// Everything that helps the client: the invalid fields, the expected values and the available models.
    #[default]
    Full,
    /// Only the kind of error, without names of fields or models and without internals.
    Terse,
}

/// The limits of connections, requests and clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitsConfig {
    /// The maximum number of connections. `None` derives it from the process's limit of open files.
    pub max_connections: Option<usize>,
    /// The maximum number of requests in flight, not counting probes and scrapes.
    pub max_requests: usize,
    /// The maximum number of header fields in a request.
    pub max_headers: usize,
    /// The maximum size of a request's head in bytes.
    pub max_header_bytes: usize,
    /// The maximum number of requests in flight on one HTTP/2 connection.
    pub max_streams: u32,
    /// The rate limit of each address. `None` is unlimited.
    pub address_rate: Option<Rate>,
    /// The rate limit of each API key or token, by the caller's name. `None` is unlimited.
    pub key_rate: Option<Rate>,
    /// The networks of the proxies whose `X-Forwarded-For` header is trusted.
    pub trusted_proxies: Vec<IpNet>,
}

/// The size of a token bucket. Each request takes one token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// The number of tokens added per second.
    pub per_second: NonZero<u32>,
    /// The capacity of the bucket.
    pub burst: NonZero<u32>,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            max_connections: None,
            max_requests: 16_384,
            max_headers: 64,
            max_header_bytes: 32 * 1024,
            max_streams: 128,
            address_rate: None,
            key_rate: None,
            trusted_proxies: Vec::new(),
        }
    }
}

/// The settings of the access log.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AccessLogConfig {
    /// The sampling rate of logged requests.
    pub sample: Share,
    /// The duration from which a request is always logged.
    pub slow: Duration,
    /// The maximum number of lines a second, not counting those of slow requests and of the engine's failures; 0
    /// means no limit.
    pub max_per_second: u64,
    /// Whether request bodies are logged too, at level debug. For development only.
    pub values: bool,
}

impl Default for AccessLogConfig {
    fn default() -> Self {
        Self { sample: Share::ALL, slow: Duration::from_secs(1), max_per_second: 100, values: false }
    }
}
