//! A request's body, under its limits: type, size and time.

use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE, EXPECT};
use axum::http::{HeaderMap, HeaderName};
use http_body_util::BodyExt;
use tokio::time::{Instant, timeout_at};

use crate::http::problem::ApiError;

/// The header with which a client shortens its request's time.
pub const REQUEST_TIMEOUT: HeaderName = HeaderName::from_static("x-request-timeout-ms");

/// How long the request may take: the configured time, or less where the client asks for less.
pub fn request_timeout(headers: &HeaderMap, configured: Duration) -> Result<Duration, ApiError> {
    let Some(value) = headers.get(REQUEST_TIMEOUT) else { return Ok(configured) };
    let ms = value.to_str().ok().and_then(|text| text.trim().parse().ok()).filter(|ms| *ms > 0);
    ms.map(|ms| configured.min(Duration::from_millis(ms))).ok_or(ApiError::BadTimeout)
}

/// Whether the body says that it is JSON and not compressed. One without a type is taken for JSON, as RFC 9110, section
/// 8.3, allows.
pub fn check_type(headers: &HeaderMap) -> Result<(), ApiError> {
    if headers
        .get(CONTENT_ENCODING)
        .is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
    {
        return Err(ApiError::Compressed);
    }
    let Some(value) = headers.get(CONTENT_TYPE) else { return Ok(()) };
    let essence = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    let essence = essence.trim().to_ascii_lowercase();
    let suffixed = essence.starts_with("application/") && essence.ends_with("+json");
    if essence == "application/json" || suffixed { Ok(()) } else { Err(ApiError::NotJsonType) }
}

/// Reads the whole body, at most `limit` bytes, until `deadline`.
pub async fn read(
    headers: &HeaderMap,
    body: Body,
    limit: usize,
    timeout: Duration,
    deadline: Instant,
) -> Result<Vec<u8>, ApiError> {
    let too_large = || ApiError::BodyTooLarge { limit };
    let announced = body.size_hint().exact().map_or(0, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
    if announced > limit && (headers.contains_key(EXPECT) || announced > limit.saturating_mul(DISCARDED)) {
        return Err(too_large());
    }
    let whole = timeout_at(deadline, collect(body, announced.min(limit), limit)).await;
    match whole.map_err(|_| ApiError::BodyTimedOut { after: timeout })?? {
        Some(bytes) if bytes.is_empty() => Err(ApiError::BodyEmpty),
        Some(bytes) => Ok(bytes),
        None => Err(too_large()),
    }
}

/// How many times the limit is read and thrown away before a body that is too large is cut off: most clients send
/// everything before they read the answer, and see a broken connection instead of it when nobody takes it.
const DISCARDED: usize = 4;

/// The body's bytes; `None` if there are more than `limit`.
async fn collect(mut body: Body, announced: usize, limit: usize) -> Result<Option<Vec<u8>>, ApiError> {
    let mut bytes = Vec::with_capacity(announced);
    let mut seen = 0usize;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| ApiError::BodyBroken)?.into_data() else { continue };
        seen = seen.saturating_add(data.len());
        if seen <= limit {
            bytes.extend_from_slice(&data);
        } else if seen > limit.saturating_mul(DISCARDED) {
            return Ok(None);
        } else {
            bytes = Vec::new();
        }
    }
    Ok((seen <= limit).then_some(bytes))
}
