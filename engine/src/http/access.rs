//! What every request passes: it gets an id, its errors get their body, and it leaves one line and its metrics.

use std::any::Any;
use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use axum::body::HttpBody;
use axum::extract::{MatchedPath, Request};
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, Method, Uri, Version};
use axum::response::{IntoResponse, Response};
use axum::routing::Route;
use pin_project_lite::pin_project;
use tower::{Layer, Service, layer::layer_fn};

use crate::http::problem::{self, ApiError};
use crate::http::request_id::{REQUEST_ID, RequestId};
use crate::http::state::HttpState;
use crate::shutdown::Phase;

/// How many rows a request held: an extension of its response, for the access line.
#[derive(Debug, Clone, Copy)]
pub struct RowCount(pub usize);

/// The layer that follows a request from its head to its answer.
pub fn observe(state: HttpState) -> impl Layer<Route, Service = Observed> + Clone {
    layer_fn(move |inner| Observed { inner, state: state.clone() })
}

/// A route whose requests are followed.
#[derive(Clone)]
pub struct Observed {
    inner: Route,
    state: HttpState,
}

impl Service<Request> for Observed {
    type Response = Response;
    type Error = Infallible;
    type Future = Observing<<Route as Service<Request>>::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<Request>::poll_ready(&mut self.inner, context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let record = Record::start(self.state.clone(), &request);
        Observing { answering: self.inner.call(request), record }
    }
}

pin_project! {
    /// An answer that is being made.
    pub struct Observing<F> {
        #[pin]
        answering: F,
        record: Record,
    }
}

impl<F: Future<Output = Result<Response, Infallible>>> Future for Observing<F> {
    type Output = Result<Response, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        // A panic is this request's alone, and it is answered.
        let response = match catch_unwind(AssertUnwindSafe(|| this.answering.poll(context))) {
            Ok(polled) => match ready!(polled) {
                Ok(response) => response,
                Err(never) => match never {},
            },
            Err(panic) => answer_panic(panic.as_ref()),
        };
        Poll::Ready(Ok(this.record.finish(response)))
    }
}

/// What a panic in a handler is answered with: nothing of what it said.
fn answer_panic(panic: &(dyn Any + Send)) -> Response {
    let reason = match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (_, Some(text)) => text.clone(),
        _ => "panic".to_owned(),
    };
    ApiError::Failed { reason }.into_response()
}

/// The line and the metrics of one request. Dropped without an answer, it says that the client left: 499, as nginx
/// writes it.
struct Record {
    state: HttpState,
    start: Instant,
    method: &'static str,
    uri: Uri,
    route: Option<MatchedPath>,
    id: RequestId,
    /// Whether the connection can be closed after this answer: HTTP/2 has its own way to say so.
    closes: bool,
    outcome: Outcome,
}

struct Outcome {
    status: u16,
    rows: Option<usize>,
    bytes: Option<u64>,
}

const CLIENT_LEFT: u16 = 499;

impl Record {
    fn start(state: HttpState, request: &Request) -> Self {
        state.metrics.request_started();
        Self {
            state,
            start: Instant::now(),
            method: known_method(request.method()),
            uri: request.uri().clone(),
            route: request.extensions().get::<MatchedPath>().cloned(),
            id: RequestId::of(request.headers()),
            closes: request.version() <= Version::HTTP_11,
            outcome: Outcome { status: CLIENT_LEFT, rows: None, bytes: None },
        }
    }

    /// Gives an answer what every answer has.
    fn finish(&mut self, response: Response) -> Response {
        let mut response = problem::finish(response, self.uri.path(), self.id.as_str());
        self.outcome = Outcome {
            status: response.status().as_u16(),
            rows: response.extensions().get::<RowCount>().map(|count| count.0),
            bytes: response.body().size_hint().exact(),
        };
        response.headers_mut().insert(REQUEST_ID, self.id.header());
        if self.closes && self.state.lifecycle.phase() != Phase::Running {
            // The client goes elsewhere with its next request, instead of losing it when the connection is closed.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let Self { method, outcome: Outcome { status, rows, bytes }, .. } = *self;
        let took = self.start.elapsed();
        // Unmatched paths share one label: a scanner must not make series without end.
        let route = self.route.as_ref().map_or("unmatched", MatchedPath::as_str);
        self.state.metrics.request_ended(route, method, status, took);
        let ms = took.as_micros() as f64 / 1000.0;
        tracing::info!(method, route, status, ms, rows, bytes, request_id = self.id.as_str(), "request");
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
