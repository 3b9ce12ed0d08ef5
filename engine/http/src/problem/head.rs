//! The reasons why a request's head is rejected before its fields are looked at.

use std::time::Duration;

use axum::http::StatusCode;
use thiserror::Error;

/// The reason why a head cannot be read. Its `Display` is the `detail` of the problem document.
#[derive(Debug, Clone, Error)]
pub enum HeadError {
    #[error("The request's head is not valid HTTP: {0}.")]
    Malformed(&'static str),
    #[error("The request's head has more than {limit} bytes; send fewer or shorter header fields.")]
    TooLarge { limit: usize },
    #[error("The request's head has more than {limit} header fields; send fewer.")]
    TooManyFields { limit: usize },
    #[error("The request's target has more than {limit} bytes; send a shorter one.")]
    TargetTooLong { limit: usize },
    #[error("The request's version of HTTP is not supported; use HTTP/1.1 or HTTP/2.")]
    UnknownVersion,
    #[error("The request's head did not arrive within {} s; send it at once.", .after.as_secs())]
    Late { after: Duration },
    #[error("Of transfer codings only `transfer-encoding: chunked` is supported.")]
    UnknownTransferCoding,
    #[error("This port takes only connections with TLS; use `https://` instead of `http://`.")]
    NotTls,
}

impl HeadError {
    /// Returns the problem's stable name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed-head",
            Self::TooLarge { .. } => "head-too-large",
            Self::TooManyFields { .. } => "too-many-headers",
            Self::TargetTooLong { .. } => "target-too-long",
            Self::UnknownVersion => "unknown-http-version",
            Self::Late { .. } => "head-timed-out",
            Self::UnknownTransferCoding => "unknown-transfer-coding",
            Self::NotTls => "not-tls",
        }
    }

    pub fn status(&self) -> StatusCode {
        match self {
            Self::Malformed(_) | Self::NotTls => StatusCode::BAD_REQUEST,
            Self::TooLarge { .. } | Self::TooManyFields { .. } => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::TargetTooLong { .. } => StatusCode::URI_TOO_LONG,
            Self::UnknownVersion => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::Late { .. } => StatusCode::REQUEST_TIMEOUT,
            Self::UnknownTransferCoding => StatusCode::NOT_IMPLEMENTED,
        }
    }
}
