//! Reads a request's body within the limits of type, size and time, and decompresses it.

use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderName};
use http_body_util::BodyExt;
use hyper::body::Frame;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};

use crate::admission::large_bodies::{BodyPermits, LARGE_BODY_BYTES, ParsePermit};
use crate::compression::Coding;
use crate::compression::requests::decompress;
use crate::problem::ApiError;
use crate::server::UploadEvicted;
use crate::state::{Admission, extend_reservation};

/// The header with which a client shortens its request's timeout.
pub const REQUEST_TIMEOUT: HeaderName = HeaderName::from_static("x-request-timeout-ms");

/// Returns the request's timeout: the configured one, or less if the client requests it.
pub fn request_timeout(headers: &HeaderMap, configured: Duration) -> Result<Duration, ApiError> {
    let Some(value) = headers.get(REQUEST_TIMEOUT) else { return Ok(configured) };
    let ms = value.to_str().ok().and_then(|text| parse_integer(text.trim())).filter(|ms| *ms > 0);
    ms.map(|ms| configured.min(Duration::from_millis(ms))).ok_or(ApiError::BadTimeout)
}

/// Parses an unsigned integer, saturating at 64 bits.
fn parse_integer(text: &str) -> Option<u64> {
    let is_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_digits.then(|| text.parse().unwrap_or(u64::MAX))
}

/// Checks that the body is declared as JSON. A body without a type counts as JSON, as RFC 9110, section 8.3,
/// allows.
pub fn check_type(headers: &HeaderMap) -> Result<(), ApiError> {
    let Some(value) = headers.get(CONTENT_TYPE) else { return Ok(()) };
    if value == "application/json" {
        return Ok(());
    }
    let essence = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    let essence = essence.trim().to_ascii_lowercase();
    // The suffix of a type that builds on JSON follows its name (RFC 6838, section 4.2.8).
    let name = essence.strip_prefix("application/").and_then(|subtype| subtype.strip_suffix("+json"));
    let is_suffixed = name.is_some_and(|name| !name.is_empty());
    if essence == "application/json" || is_suffixed { Ok(()) } else { Err(ApiError::NotJsonType) }
}

/// The bytes reserved before reading. The declared length reserves nothing, because clients could declare
/// much and send nothing.
const INITIAL_RESERVATION_BYTES: usize = 8 * 1024;
/// The factor by which a reservation grows when a body exceeds it.
const RESERVATION_GROWTH: usize = 4;
/// The largest declared size of a small body.
pub const SMALL_BODY_BYTES: usize = 64 * 1024;

/// The memory reserved for a body that is being read.
struct MemoryReservation<'a> {
    admission: &'a Admission,
    /// The maximum size of the body: the declared one, or else the limit.
    max_bytes: usize,
    bytes: usize,
    memory: OwnedSemaphorePermit,
    /// The size from which the body needs a parse permit; `None` once it has had one.
    parse_permit_from: Option<usize>,
    parse_permit: Option<ParsePermit>,
}

impl<'a> MemoryReservation<'a> {
    /// Reserves memory for the first bytes, if the budget allows.
    fn begin(admission: &'a Admission, body: &Body) -> Result<Self, ApiError> {
        let announced = body.size_hint().exact().map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        let limit = admission.max_body_bytes;
        if announced.is_some_and(|bytes| bytes > limit) {
            return Err(ApiError::BodyTooLarge { limit });
        }
        let is_large = announced.is_some_and(|bytes| bytes >= LARGE_BODY_BYTES);
        // Without a permit the body could not be parsed, and reading it would slow down other requests.
        if is_large && !admission.large_body_limiter.has_capacity() {
            return Err(ApiError::BodiesFull);
        }
        let is_small = announced.is_some_and(|bytes| bytes <= SMALL_BODY_BYTES);
        let max_bytes = announced.unwrap_or(limit);
        let bytes = max_bytes.min(INITIAL_RESERVATION_BYTES);
        let memory = admission.reserve_memory(bytes, is_small)?;
        // A permit is taken for received bytes, not for declared ones.
        let parse_permit_from = Some(if is_large { SMALL_BODY_BYTES } else { LARGE_BODY_BYTES });
        Ok(Self { admission, max_bytes, bytes, memory, parse_permit_from, parse_permit: None })
    }

    /// Extends the reservation to the bytes received so far.
    fn grow(&mut self, received: usize) -> Result<(), ApiError> {
        if received > self.max_bytes {
            return Err(ApiError::BodyTooLarge { limit: self.max_bytes });
        }
        if received > self.bytes {
            let bytes = self.bytes.saturating_mul(RESERVATION_GROWTH).min(self.max_bytes).max(received);
            extend_reservation(&mut self.memory, bytes - self.bytes)?;
            self.bytes = bytes;
        }
        if self.parse_permit_from.is_some_and(|bytes| received >= bytes) {
            self.parse_permit_from = None;
            self.parse_permit = Some(self.admission.large_body_limiter.acquire()?);
        }
        Ok(())
    }

    /// Reads the next frame. Releases the parse permit if the frame is late.
    async fn next_frame(&mut self, body: &mut Body) -> Option<Result<Frame<Bytes>, axum::Error>> {
        if let Some(permit) = &self.parse_permit {
            if let Ok(frame) = timeout_at(permit.upload_deadline, body.frame()).await {
                return frame;
            }
            self.parse_permit = None;
        }
        body.frame().await
    }
}

/// A body that has been read, with its permits.
pub struct ReadBody {
    pub bytes: Bytes,
    pub permits: BodyPermits,
}

/// Reads the whole body, at most `max_body_bytes`, until `deadline`, and decompresses it if it has a coding. The
/// connection drains what is left of a rejected body.
pub async fn read(
    admission: &Admission,
    headers: &HeaderMap,
    mut body: Body,
    timeout: Duration,
    deadline: Instant,
) -> Result<ReadBody, ApiError> {
    let coding = Coding::of_request(headers)?;
    let reservation = MemoryReservation::begin(admission, &body)?;
    let read = timeout_at(deadline, collect(&mut body, reservation)).await;
    let read = read.unwrap_or(Err(ApiError::BodyTimedOut { after: timeout }))?;
    let Some(coding) = coding else { return check_plain(read) };
    // The connection no longer waits for the body.
    drop(body);
    let content = timeout_at(deadline, decompress(admission, coding, read)).await;
    check_plain(content.unwrap_or(Err(ApiError::TimedOut { after: timeout }))?)
}

/// Checks that a body is not compressed, where its head does not say so.
fn check_plain(body: ReadBody) -> Result<ReadBody, ApiError> {
    match Coding::of_bytes(&body.bytes) {
        None => Ok(body),
        Some(coding) => Err(ApiError::UndeclaredCoding { coding: coding.name() }),
    }
}

/// Returns the body as text, because JSON is UTF-8.
pub fn text(bytes: &[u8]) -> Result<&str, ApiError> {
    std::str::from_utf8(bytes).map_err(|error| ApiError::NotUtf8 { offset: error.valid_up_to() })
}

/// Returns the error of a body that does not arrive whole.
fn to_api_error(error: axum::Error) -> ApiError {
    if error.into_inner().is::<UploadEvicted>() { ApiError::UploadEvicted } else { ApiError::BodyBroken }
}

/// Collects the body's frames.
async fn collect(body: &mut Body, mut reservation: MemoryReservation<'_>) -> Result<ReadBody, ApiError> {
    let mut bytes = Bytes::new();
    let mut joined = Vec::new();
    let mut received = 0usize;
    while let Some(frame) = reservation.next_frame(body).await {
        let Ok(data) = frame.map_err(to_api_error)?.into_data() else { continue };
        received = received.saturating_add(data.len());
        reservation.grow(received)?;
        if bytes.is_empty() && joined.is_empty() {
            // Most bodies arrive in one frame, which is not copied.
            bytes = data;
        } else {
            joined.reserve(reservation.bytes.saturating_sub(joined.len()));
            joined.extend_from_slice(&std::mem::take(&mut bytes));
            joined.extend_from_slice(&data);
        }
    }
    let bytes = if joined.is_empty() { bytes } else { joined.into() };
    if bytes.is_empty() {
        return Err(ApiError::BodyEmpty);
    }
    let permits = BodyPermits { memory: reservation.memory, parse: reservation.parse_permit };
    Ok(ReadBody { bytes, permits })
}
