//! What every request passes: it gets an id, its errors get their body, and it leaves one line and its metrics.

use std::any::Any;
use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::body::HttpBody;
use axum::extract::{MatchedPath, Request};
use axum::http::header::CONNECTION;
use axum::http::{HeaderName, HeaderValue, Method, Uri, Version};
use axum::response::{IntoResponse, Response};
use axum::routing::Route;
use onnward_records::traces::{Answered, RequestTrace, Scoring};
use onnward_telemetry::logging::ACCESS;
use onnward_telemetry::metrics::{RequestEnd, RouteMetrics};
use pin_project_lite::pin_project;
use tower::{Layer, Service, layer::layer_fn};
use tracing::field::display;

use crate::auth::Caller;
use crate::lifecycle::Phase;
use crate::problem::{self, ApiError};
use crate::request_id::{REQUEST_ID, RequestId};
use crate::security::harden;
use crate::settings::AccessLogConfig;
use crate::state::HttpState;

/// What a handler tells of its request, for its line, its metrics and its trace: an extension of its response.
#[derive(Debug, Clone)]
pub struct Handled {
    /// How many rows it held.
    pub rows: usize,
    /// How many bytes its body had.
    pub bytes: u64,
    /// What scored them.
    pub scoring: Option<Scoring>,
}

/// The layer that follows a request from its head to its answer, and tells handlers its id if they ask for it.
pub fn observe(state: HttpState, tells_ids: bool) -> impl Layer<Route, Service = Observed> + Clone {
    layer_fn(move |inner| Observed { inner, state: state.clone(), tells_ids, route: Arc::default() })
}

/// A route whose requests are followed.
#[derive(Clone)]
pub struct Observed {
    inner: Route,
    state: HttpState,
    tells_ids: bool,
    /// The route's metrics, from its first request on. Each route has a layer of its own.
    route: Arc<OnceLock<RouteMetrics>>,
}

impl Service<Request> for Observed {
    type Response = Response;
    type Error = Infallible;
    type Future = Observing<<Route as Service<Request>>::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<Request>::poll_ready(&mut self.inner, context)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let record = Record::start(self, &request);
        if self.tells_ids {
            request.extensions_mut().insert(record.id.clone());
        }
        let refusal = (!record.has_room).then_some(ApiError::Busy);
        Observing { answering: self.inner.call(request), refusal, record }
    }
}

pin_project! {
    /// An answer that is being made.
    pub struct Observing<F> {
        #[pin]
        answering: F,
        refusal: Option<ApiError>,
        record: Record,
    }
}

impl<F: Future<Output = Result<Response, Infallible>>> Future for Observing<F> {
    type Output = Result<Response, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Some(error) = this.refusal.take() {
            return Poll::Ready(Ok(this.record.finish(error.into_response())));
        }
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
    route: Arc<OnceLock<RouteMetrics>>,
    id: RequestId,
    trace: Option<RequestTrace>,
    /// Whether the connection can be closed after this answer: HTTP/2 has its own way to say so.
    closes: bool,
    /// Whether it counts among those that are being answered.
    is_counted: bool,
    /// Whether there was room for it among them.
    has_room: bool,
    outcome: Outcome,
}

struct Outcome {
    status: u16,
    handled: Option<Handled>,
    /// Who sent it, where that is asked.
    caller: Option<Arc<Caller>>,
    /// The size of the request's body, where it is announced or was read.
    request_bytes: Option<u64>,
    /// The size of the answer's body, where it is known before it is sent.
    bytes: Option<u64>,
}

const CLIENT_LEFT: u16 = 499;
/// What a path without a route counts as.
const UNMATCHED: &str = "unmatched";
/// What asks again and again, and is of no interest in a trace or, while all is well, in the log.
const PROBES: [&str; 4] = ["/health", "/health/live", "/health/ready", "/metrics"];
/// The header of a request's place in a trace (W3C Trace Context).
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

impl Record {
    fn start(route: &Observed, request: &Request) -> Self {
        let Observed { state, route, .. } = route;
        let resolve = || {
            // Unmatched paths share one label: a scanner must not make series without end.
            let path = request.extensions().get::<MatchedPath>();
            state.metrics.route(path.map_or(UNMATCHED, MatchedPath::as_str))
        };
        let metrics = route.get_or_init(resolve);
        metrics.started();
        let header = |name: &str| request.headers().get(name)?.to_str().ok();
        let is_probe = PROBES.contains(&metrics.route());
        let is_counted = !is_probe && state.begins();
        let traces = state.traces.as_ref().filter(|_| !is_probe);
        let trace = traces.map(|traces| traces.begin(&header));
        Self {
            state: state.clone(),
            start: Instant::now(),
            method: known_method(request.method()),
            uri: request.uri().clone(),
            route: Arc::clone(route),
            id: RequestId::of(request.headers()),
            trace,
            closes: request.version() <= Version::HTTP_11,
            is_counted,
            has_room: is_probe || is_counted,
            outcome: Outcome {
                status: CLIENT_LEFT,
                handled: None,
                caller: None,
                request_bytes: request.body().size_hint().exact(),
                bytes: None,
            },
        }
    }

    /// Gives an answer what every answer has.
    fn finish(&mut self, response: Response) -> Response {
        let errors = self.state.config.errors;
        let mut response = problem::finish(response, self.uri.path(), self.id.as_str(), errors);
        let handled = response.extensions_mut().remove::<Handled>();
        self.outcome = Outcome {
            status: response.status().as_u16(),
            request_bytes: handled.as_ref().map(|of| of.bytes).or(self.outcome.request_bytes),
            handled,
            caller: response.extensions_mut().remove(),
            bytes: response.body().size_hint().exact(),
        };
        response.headers_mut().insert(REQUEST_ID, self.id.header());
        harden(response.headers_mut(), self.state.over_tls);
        let traceparent = self.trace.as_ref().map(|trace| HeaderValue::try_from(trace.traceparent()));
        if let Some(Ok(traceparent)) = traceparent {
            response.headers_mut().insert(TRACEPARENT, traceparent);
        }
        if self.closes && self.state.lifecycle.phase() != Phase::Running {
            // The client goes elsewhere with its next request, instead of losing it when the connection is closed.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// Whether the request is among those that are written down; whatever failed or was slow is.
    fn leaves_line(&self, status: u16, took: Duration) -> bool {
        let AccessLogConfig { slow, .. } = self.state.config.access_log;
        // Probes that succeed would be most of an idle engine's log.
        let is_dull =
            || status < 400 && self.route.get().is_some_and(|metrics| PROBES.contains(&metrics.route()));
        status >= 500 || took >= slow || (!is_dull() && self.state.access_sampler.samples())
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if self.is_counted {
            self.state.answered();
        }
        let Outcome { status, request_bytes, bytes, .. } = self.outcome;
        let (method, took) = (self.method, self.start.elapsed());
        let Some(metrics) = self.route.get() else { return };
        metrics.ended(RequestEnd { method, status, took, request_bytes, response_bytes: bytes });
        let (route, request_id) = (metrics.route(), self.id.as_str());
        let rows = self.outcome.handled.as_ref().map(|handled| handled.rows);
        let scoring = self.outcome.handled.as_ref().and_then(|handled| handled.scoring.as_ref());
        if self.leaves_line(status, took) {
            let ms = took.as_nanos() as f64 / 1e6;
            let caller = self.outcome.caller.as_ref().map(|caller| caller.name.as_str());
            let model = scoring.map(|of| of.model.name.as_str());
            let version = scoring.map(|of| of.model.version);
            let trace_id = self.trace.as_ref().map(|trace| display(trace.trace_id()));
            let span_id = self.trace.as_ref().map(|trace| display(trace.span_id()));
            tracing::info!(
                target: ACCESS,
                method, route, status, ms, rows, bytes, request_id, caller, model, version, trace_id, span_id, "request"
            );
        }
        if let (Some(traces), Some(trace)) = (&self.state.traces, &self.trace) {
            let route = Some(route).filter(|route| *route != UNMATCHED);
            let path = route.map(|_| self.uri.path());
            let start = self.start;
            let answered = Answered { start, took, method, route, path, status, request_id, rows, scoring };
            traces.end(trace, &answered);
        }
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
