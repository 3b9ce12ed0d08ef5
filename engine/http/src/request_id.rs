//! The id of a request, which links its response to its log lines.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use uuid::fmt::Hyphenated;
use uuid::{Builder, Uuid};

/// The header of a request's id.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const MAX_LENGTH: usize = 128;

/// A request's id: visible ASCII.
#[derive(Debug, Clone)]
pub enum RequestId {
    /// The client's id.
    Given(HeaderValue),
    /// A random UUID (RFC 9562, version 4).
    Made([u8; Hyphenated::LENGTH]),
}

impl RequestId {
    /// Returns the client's id if it has at most 128 bytes of visible ASCII without `"`, `\`, `<` and `>`;
    /// otherwise a new one.
    pub fn from_headers(headers: &HeaderMap) -> Self {
        let plain = |byte: &u8| byte.is_ascii_graphic() && !b"\"\\<>".contains(byte);
        let given = headers.get(REQUEST_ID).filter(|id| {
            let bytes = id.as_bytes();
            !bytes.is_empty() && bytes.len() <= MAX_LENGTH && bytes.iter().all(plain)
        });
        given.map_or_else(Self::generate, |id| Self::Given(id.clone()))
    }

    fn generate() -> Self {
        // The thread-local generator, which rarely needs a system call for randomness.
        let uuid: Uuid = Builder::from_random_bytes(rand::random()).into_uuid();
        let mut text = [0; Hyphenated::LENGTH];
        uuid.hyphenated().encode_lower(&mut text);
        Self::Made(text)
    }

    /// Returns the id as text.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Given(id) => id.to_str().unwrap_or_default(),
            Self::Made(text) => std::str::from_utf8(text).unwrap_or_default(),
        }
    }

    /// Returns the id as a header's value.
    pub fn header(&self) -> HeaderValue {
        match self {
            Self::Given(id) => id.clone(),
            Self::Made(text) => HeaderValue::from_bytes(text).unwrap_or(HeaderValue::from_static("unknown")),
        }
    }
}
