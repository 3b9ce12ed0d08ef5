//! A request's body, under its limits: type, size and time.

use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE, EXPECT};
use axum::http::{HeaderMap, HeaderName};
use http_body_util::BodyExt;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};

use crate::http::problem::ApiError;
use crate::http::state::HttpState;

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
    if value == "application/json" {
        return Ok(());
    }
    let essence = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    let essence = essence.trim().to_ascii_lowercase();
    let suffixed = essence.starts_with("application/") && essence.ends_with("+json");
    if essence == "application/json" || suffixed { Ok(()) } else { Err(ApiError::NotJsonType) }
}

/// What a body of unannounced length is charged until it turns out to be longer.
const UNANNOUNCED_BYTES: usize = 64 * 1024;

/// How many bytes a body is charged before it is read: what it announces, at most the limit.
fn first_charge(body: &Body, limit: usize) -> usize {
    let announced = body.size_hint().exact().and_then(|bytes| usize::try_from(bytes).ok());
    announced.unwrap_or(UNANNOUNCED_BYTES).min(limit)
}

/// A body that has been read, and what it is charged for as long as it is held.
pub struct WholeBody {
    pub bytes: Bytes,
    pub charged: OwnedSemaphorePermit,
}

/// Reads the whole body, at most `max_body_bytes`, until `deadline`.
pub async fn read(
    state: &HttpState,
    headers: &HeaderMap,
    body: Body,
    timeout: Duration,
    deadline: Instant,
) -> Result<WholeBody, ApiError> {
    let limit = state.config.max_body_bytes;
    let too_large = || ApiError::BodyTooLarge { limit };
    let announced = body.size_hint().exact().map_or(0, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
    if announced > limit && (headers.contains_key(EXPECT) || announced > limit.saturating_mul(DISCARDED)) {
        return Err(too_large());
    }
    let Ok(charged) = state.charge_body(first_charge(&body, limit)) else {
        if !headers.contains_key(EXPECT) {
            // Whatever becomes of it: the answer is the same.
            let _ = timeout_at(deadline, discard(body, limit.saturating_mul(DISCARDED))).await;
        }
        return Err(ApiError::BodiesFull);
    };
    let whole = timeout_at(deadline, collect(state, body, charged, limit)).await;
    match whole.map_err(|_| ApiError::BodyTimedOut { after: timeout })?? {
        Some(whole) if whole.bytes.is_empty() => Err(ApiError::BodyEmpty),
        Some(whole) => Ok(whole),
        None => Err(too_large()),
    }
}

/// The text of a body, which JSON is.
pub fn text(bytes: &[u8]) -> Result<&str, ApiError> {
    std::str::from_utf8(bytes).map_err(|error| ApiError::NotUtf8 { offset: error.valid_up_to() })
}

/// How many times the limit is read and thrown away before a body that is too large is cut off: most clients send
/// everything before they read the answer, and see a broken connection instead of it when nobody takes it.
const DISCARDED: usize = 4;

/// Reads so many bytes and throws them away.
async fn discard(mut body: Body, mut left: usize) {
    while let Some(Ok(frame)) = body.frame().await {
        let Some(still) = left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) else { return };
        left = still;
    }
}

/// The body, which has been charged for at first; `None` if it has more than `limit` bytes.
async fn collect(
    state: &HttpState,
    mut body: Body,
    mut charged: OwnedSemaphorePermit,
    limit: usize,
) -> Result<Option<WholeBody>, ApiError> {
    let first = first_charge(&body, limit);
    let mut bytes = Bytes::new();
    let mut joined = Vec::new();
    let mut seen = 0usize;
    let mut is_charged_in_full = false;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| ApiError::BodyBroken)?.into_data() else { continue };
        seen = seen.saturating_add(data.len());
        if seen > first && !is_charged_in_full {
            charged.merge(state.charge_body(limit - first)?);
            is_charged_in_full = true;
        }
        if seen > limit {
            drop((bytes, joined));
            discard(body, limit.saturating_mul(DISCARDED).saturating_sub(seen)).await;
            return Ok(None);
        }
        if bytes.is_empty() && joined.is_empty() {
            // Most bodies come in one piece, which is not copied.
            bytes = data;
        } else {
            if joined.is_empty() {
                joined.reserve_exact(first.max(seen));
                joined.extend_from_slice(&std::mem::take(&mut bytes));
            }
            joined.extend_from_slice(&data);
        }
    }
    let bytes = if joined.is_empty() { bytes } else { joined.into() };
    Ok(Some(WholeBody { bytes, charged }))
}
