//! A request's body, under its limits: type, size and time.

use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE, EXPECT};
use axum::http::{HeaderMap, HeaderName};
use http_body_util::BodyExt;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};

use crate::http::large::LARGE_BODY_BYTES;
use crate::http::problem::ApiError;
use crate::http::state::HttpState;

/// The header with which a client shortens its request's time.
pub const REQUEST_TIMEOUT: HeaderName = HeaderName::from_static("x-request-timeout-ms");

/// How long the request may take: the configured time, or less where the client asks for less.
pub fn request_timeout(headers: &HeaderMap, configured: Duration) -> Result<Duration, ApiError> {
    let Some(value) = headers.get(REQUEST_TIMEOUT) else { return Ok(configured) };
    let ms = value.to_str().ok().and_then(|text| whole(text.trim())).filter(|ms| *ms > 0);
    ms.map(|ms| configured.min(Duration::from_millis(ms))).ok_or(ApiError::BadTimeout)
}

/// A whole number; one of more than 64 bits is as large as any other that only shortens what is shorter.
fn whole(text: &str) -> Option<u64> {
    let is_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_digits.then(|| text.parse().unwrap_or(u64::MAX))
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

/// How many bytes a body is charged before it is read. What it announces costs nothing: whoever announces much and sends nothing would
/// keep out the others.
const FIRST_CHARGE_BYTES: usize = 8 * 1024;
/// How many times as much it is charged whenever more has come than that.
const CHARGE_GROWTH: usize = 4;
/// What announces at most this is small.
const SMALL_BODY_BYTES: usize = 64 * 1024;

/// What is held of a body, and what it may come to.
struct Charge<'a> {
    state: &'a HttpState,
    is_small: bool,
    /// How many bytes it has at most: what it announces, or else the limit.
    most: usize,
    bytes: usize,
    permit: OwnedSemaphorePermit,
}

impl<'a> Charge<'a> {
    /// Charges for the first bytes, if there is room for the body.
    fn begin(state: &'a HttpState, body: &Body) -> Result<Self, ApiError> {
        let announced = body.size_hint().exact().and_then(|bytes| usize::try_from(bytes).ok());
        // What nobody could parse is not kept: reading it into memory for that takes the time of those that are served.
        if announced.is_some_and(|bytes| bytes >= LARGE_BODY_BYTES) && !state.large_bodies.have_room() {
            return Err(ApiError::BodiesFull);
        }
        let is_small = announced.is_some_and(|bytes| bytes <= SMALL_BODY_BYTES);
        let limit = state.config.max_body_bytes;
        let most = announced.unwrap_or(limit).min(limit);
        let bytes = most.min(FIRST_CHARGE_BYTES);
        Ok(Self { state, is_small, most, bytes, permit: state.charge_body(bytes, is_small)? })
    }

    /// Charges for more, if this many bytes have come.
    fn grow(&mut self, seen: usize) -> Result<(), ApiError> {
        if seen > self.bytes {
            let bytes = self.bytes.saturating_mul(CHARGE_GROWTH).min(self.most).max(seen);
            self.permit.merge(self.state.charge_body(bytes - self.bytes, self.is_small)?);
            self.bytes = bytes;
        }
        Ok(())
    }
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
    let Ok(charge) = Charge::begin(state, &body) else {
        if !headers.contains_key(EXPECT) {
            // Whatever becomes of it: the answer is the same.
            let _ = timeout_at(deadline, discard(body, limit.saturating_mul(DISCARDED))).await;
        }
        return Err(ApiError::BodiesFull);
    };
    let whole = timeout_at(deadline, collect(body, charge, limit)).await;
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
    mut body: Body,
    mut charge: Charge<'_>,
    limit: usize,
) -> Result<Option<WholeBody>, ApiError> {
    let mut bytes = Bytes::new();
    let mut joined = Vec::new();
    let mut seen = 0usize;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| ApiError::BodyBroken)?.into_data() else { continue };
        seen = seen.saturating_add(data.len());
        let charged = if seen > limit { Ok(()) } else { charge.grow(seen) };
        if seen > limit || charged.is_err() {
            drop((bytes, joined, charge));
            discard(body, limit.saturating_mul(DISCARDED).saturating_sub(seen)).await;
            return charged.map(|()| None);
        }
        if bytes.is_empty() && joined.is_empty() {
            // Most bodies come in one piece, which is not copied.
            bytes = data;
        } else {
            joined.reserve(charge.bytes.saturating_sub(joined.len()));
            joined.extend_from_slice(&std::mem::take(&mut bytes));
            joined.extend_from_slice(&data);
        }
    }
    let bytes = if joined.is_empty() { bytes } else { joined.into() };
    Ok(Some(WholeBody { bytes, charged: charge.permit }))
}
