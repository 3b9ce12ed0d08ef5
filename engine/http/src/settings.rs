//! What bounds requests and connections, and what requests leave in the log.

use std::num::NonZero;
use std::time::Duration;

use ipnet::IpNet;
use onnward_telemetry::share::Share;
use serde::Deserialize;

/// What bounds a request, and what it leaves in the log.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpConfig {
    /// The largest body read, in bytes.
    pub max_body_bytes: usize,
    /// How many rows one request may hold.
    pub max_request_rows: usize,
    /// How long a request may take from its head to its answer.
    pub request_timeout: Duration,
    /// The origins whose pages may call the engine; empty: none. `*` stands for every origin.
    pub cors_origins: Vec<String>,
    /// How much an error tells whoever made the request.
    pub errors: ErrorDetail,
    /// Which requests leave a line in the log, and what it holds.
    pub access_log: AccessLogConfig,
}

/// How much an error tells whoever made the request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ErrorDetail {
    /// All that helps: the fields that are wrong, what was expected of them, which models there are.
    #[default]
    Full,
    /// What kind of error it is: no field of a schema, no model's name, nothing of what is inside.
    Terse,
}

/// What one client may take from the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitsConfig {
    /// How many connections there may be; without it, as many as the process may have open.
    pub max_connections: Option<usize>,
    /// How many requests may be answered at once, beside those of probes.
    pub max_requests: usize,
    /// How many fields the head of a request may have.
    pub max_headers: usize,
    /// How many bytes the head of a request may have.
    pub max_header_bytes: usize,
    /// How many requests may be under way on one HTTP/2 connection.
    pub max_streams: u32,
    /// How often each address may ask; `None`: as often as it likes.
    pub address_rate: Option<Rate>,
    /// How often the holder of each key or token may ask; `None`: as often as they like.
    pub key_rate: Option<Rate>,
    /// Who is believed when they say for whom they ask.
    pub trusted_proxies: Vec<IpNet>,
}

/// A token bucket: so many requests at once, and then so many a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many tokens are added in a second.
    pub per_second: NonZero<u32>,
    /// How many tokens the bucket holds.
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

/// Which requests leave a line, and what it holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AccessLogConfig {
    /// The share of requests that leave one.
    pub sample: Share,
    /// From which duration on a request leaves one in any case.
    pub slow: Duration,
    /// Whether what requests hold is written too, at level debug. For development alone.
    pub values: bool,
}

impl Default for AccessLogConfig {
    fn default() -> Self {
        Self { sample: Share::ALL, slow: Duration::from_secs(1), values: false }
    }
}
