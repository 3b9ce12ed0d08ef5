//! What every request passes: it gets an id, its errors get their body, and it leaves one line and its metrics.

use std::any::Any;
use std::sync::Arc;
use std::time::Instant;

use axum::body::HttpBody;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::CONNECTION;
use axum::http::{HeaderName, HeaderValue, Method, Version};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tower_http::request_id::{MakeRequestId, MakeRequestUuid};

use crate::http::problem::{self, ApiError};
use crate::http::state::HttpState;
use crate::shutdown::Phase;

/// The header of a request's id.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const LONGEST_REQUEST_ID: usize = 128;

/// How many rows a request held: an extension of its response, for the access line.
#[derive(Debug, Clone, Copy)]
pub struct RowCount(pub usize);

/// Follows a request from its head to its answer.
pub async fn observe(
    State(state): State<HttpState>,
    matched: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let instance = request.uri().path().to_owned();
    let request_id = request_id(&request);
    let lifecycle = Arc::clone(&state.lifecycle);
    let closes = request.version() <= Version::HTTP_11;
    let mut record = Record::start(state, request.method(), matched, request_id.clone());
    let response = next.run(request).await;
    // An id is made of visible ASCII only.
    let id = request_id.to_str().unwrap_or_default();
    let mut response = problem::finish(response, &instance, id);
    record.answered(&response);
    response.headers_mut().insert(REQUEST_ID, request_id);
    if closes && lifecycle.phase() != Phase::Running {
        // The client goes elsewhere with its next request, instead of losing it when the connection is closed.
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// What a panic in a handler is answered with: nothing of what it said.
pub fn answer_panic(panic: Box<dyn Any + Send>) -> Response {
    let reason = match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (_, Some(text)) => text.clone(),
        _ => "panic".to_owned(),
    };
    ApiError::Failed { reason }.into_response()
}

/// The client's own id where it is short and visible ASCII without quotes, else a new one.
fn request_id(request: &Request) -> HeaderValue {
    let plain = |byte: &u8| byte.is_ascii_graphic() && !b"\"\\<>".contains(byte);
    let given = request.headers().get(REQUEST_ID);
    let kept = given.filter(|id| {
        let bytes = id.as_bytes();
        !bytes.is_empty() && bytes.len() <= LONGEST_REQUEST_ID && bytes.iter().all(plain)
    });
    let made = || MakeRequestUuid.make_request_id(request).map(|id| id.into_header_value());
    kept.cloned().or_else(made).unwrap_or(HeaderValue::from_static("unknown"))
}

/// The line and the metrics of one request. Dropped without an answer, it says that the client left: 499, as nginx
/// writes it.
struct Record {
    state: HttpState,
    start: Instant,
    method: &'static str,
    route: Option<MatchedPath>,
    request_id: HeaderValue,
    outcome: Outcome,
}

struct Outcome {
    status: u16,
    rows: Option<usize>,
    bytes: Option<u64>,
}

const CLIENT_LEFT: u16 = 499;

impl Record {
    fn start(state: HttpState, method: &Method, route: Option<MatchedPath>, request_id: HeaderValue) -> Self {
        state.metrics.request_started();
        let outcome = Outcome { status: CLIENT_LEFT, rows: None, bytes: None };
        Self { state, start: Instant::now(), method: known_method(method), route, request_id, outcome }
    }

    fn answered(&mut self, response: &Response) {
        self.outcome = Outcome {
            status: response.status().as_u16(),
            rows: response.extensions().get::<RowCount>().map(|count| count.0),
            bytes: response.body().size_hint().exact(),
        };
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let Self { method, outcome: Outcome { status, rows, bytes }, .. } = *self;
        let took = self.start.elapsed();
        // Unmatched paths share one label: a scanner must not make series without end.
        let route = self.route.as_ref().map_or("unmatched", MatchedPath::as_str);
        self.state.metrics.request_ended(route, method, &status.to_string(), took);
        let request_id = self.request_id.to_str().unwrap_or_default();
        let ms = took.as_micros() as f64 / 1000.0;
        tracing::info!(method, route, status, ms, rows, bytes, request_id, "request");
    }
}

/// HTTP's own methods by name; clients may make up others.
fn known_method(method: &Method) -> &'static str {
    const KNOWN: [(Method, &str); 7] = [
        (Method::GET, "GET"),
        (Method::POST, "POST"),
        (Method::HEAD, "HEAD"),
        (Method::OPTIONS, "OPTIONS"),
        (Method::PUT, "PUT"),
        (Method::DELETE, "DELETE"),
        (Method::PATCH, "PATCH"),
    ];
    KNOWN.iter().find(|(known, _)| known == method).map_or("other", |(_, name)| name)
}
