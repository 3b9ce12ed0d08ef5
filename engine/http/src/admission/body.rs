//! A request's body, under its limits: type, size and time.

use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE, EXPECT};
use axum::http::{HeaderMap, HeaderName};
use http_body_util::BodyExt;
use hyper::body::Frame;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};

use crate::admission::large_bodies::{LARGE_BODY_BYTES, Place};
use crate::problem::ApiError;
use crate::state::HttpState;

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
    /// From how many bytes on it needs a place among the large ones; `None`: it has had one.
    place_from: Option<usize>,
    place: Option<Place>,
}

impl<'a> Charge<'a> {
    /// Charges for the first bytes, if there is room for the body.
    fn begin(state: &'a HttpState, body: &Body) -> Result<Self, ApiError> {
        let announced = body.size_hint().exact().map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        let limit = state.config.max_body_bytes;
        if announced.is_some_and(|bytes| bytes > limit) {
            return Err(ApiError::BodyTooLarge { limit });
        }
        let is_large = announced.is_some_and(|bytes| bytes >= LARGE_BODY_BYTES);
        // What nobody could parse is not kept: reading it into memory for that takes the time of those that are served.
        if is_large && !state.large_bodies.have_room() {
            return Err(ApiError::BodiesFull);
        }
        let is_small = announced.is_some_and(|bytes| bytes <= SMALL_BODY_BYTES);
        let most = announced.unwrap_or(limit);
        let bytes = most.min(FIRST_CHARGE_BYTES);
        let permit = state.charge_body(bytes, is_small)?;
        // A place is for what comes, not for what is announced.
        let place_from = Some(if is_large { SMALL_BODY_BYTES } else { LARGE_BODY_BYTES });
        Ok(Self { state, is_small, most, bytes, permit, place_from, place: None })
    }

    /// Charges for more, if this many bytes have come and may.
    fn grow(&mut self, seen: usize) -> Result<(), ApiError> {
        if seen > self.most {
            return Err(ApiError::BodyTooLarge { limit: self.most });
        }
        if seen > self.bytes {
            let bytes = self.bytes.saturating_mul(CHARGE_GROWTH).min(self.most).max(seen);
            self.permit.merge(self.state.charge_body(bytes - self.bytes, self.is_small)?);
            self.bytes = bytes;
        }
        if self.place_from.is_some_and(|bytes| seen >= bytes) {
            self.place_from = None;
            self.place = Some(self.state.large_bodies.place()?);
        }
        Ok(())
    }

    /// The body's next piece. If it does not come in time, the place is given to others.
    async fn next_piece(&mut self, body: &mut Body) -> Option<Result<Frame<Bytes>, axum::Error>> {
        if let Some(place) = &self.place {
            if let Ok(piece) = timeout_at(place.kept_until, body.frame()).await {
                return piece;
            }
            self.place = None;
        }
        body.frame().await
    }
}

/// A body that has been read, and what it takes for as long as it is held.
pub struct WholeBody {
    pub bytes: Bytes,
    pub charged: OwnedSemaphorePermit,
    /// Its place among the large bodies, if it is one and came fast enough.
    pub place: Option<Place>,
}

/// How many times the largest body is read and thrown away of one that is refused.
const THROWN_AWAY: usize = 4;

/// Reads the whole body, at most `max_body_bytes`, until `deadline`. Who is refused need not have sent all of it.
pub async fn read(
    state: &HttpState,
    headers: &HeaderMap,
    mut body: Body,
    timeout: Duration,
    deadline: Instant,
) -> Result<WholeBody, ApiError> {
    let charge = Charge::begin(state, &body);
    let asks_first = charge.is_err() && headers.contains_key(EXPECT);
    let whole = match charge {
        Ok(charge) => timeout_at(deadline, collect(&mut body, charge))
            .await
            .unwrap_or(Err(ApiError::BodyTimedOut { after: timeout })),
        Err(refusal) => Err(refusal),
    };
    if whole.as_ref().is_err_and(ApiError::leaves_body) && !asks_first {
        let most_bytes = state.config.max_body_bytes.saturating_mul(THROWN_AWAY);
        state.unread_bodies.throw_away(body, most_bytes, deadline);
    }
    whole
}

/// The text of a body, which JSON is.
pub fn text(bytes: &[u8]) -> Result<&str, ApiError> {
    std::str::from_utf8(bytes).map_err(|error| ApiError::NotUtf8 { offset: error.valid_up_to() })
}

/// The body, which has been charged for at first.
async fn collect(body: &mut Body, mut charge: Charge<'_>) -> Result<WholeBody, ApiError> {
    let mut bytes = Bytes::new();
    let mut joined = Vec::new();
    let mut seen = 0usize;
    while let Some(piece) = charge.next_piece(body).await {
        let Ok(data) = piece.map_err(|_| ApiError::BodyBroken)?.into_data() else { continue };
        seen = seen.saturating_add(data.len());
        charge.grow(seen)?;
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
    if bytes.is_empty() {
        return Err(ApiError::BodyEmpty);
    }
    Ok(WholeBody { bytes, charged: charge.permit, place: charge.place })
}
