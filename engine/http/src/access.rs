//! The layer that every request passes through: assigns an id, writes error bodies, compresses large responses,
//! logs one line and records metrics.

use std::any::Any;
use std::convert::Infallible;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::body::{Body, HttpBody};
use axum::extract::{MatchedPath, Request};
use axum::http::header::CONNECTION;
use axum::http::{HeaderName, HeaderValue, Method, Uri, Version};
use axum::response::{IntoResponse, Response};
use axum::routing::Route;
use http_body_util::BodyExt;
use onnward_records::traces::{Answered, RequestTrace, Scoring};
use onnward_schemas::layout::is_model_name;
use onnward_telemetry::logging::ACCESS;
use onnward_telemetry::metrics::{RequestEnd, RouteMetrics};
use pin_project_lite::pin_project;
use tower::{Layer, Service, layer::layer_fn};
use tracing::field::display;

use crate::access_lines::RequestLine;
use crate::admission::head;
use crate::auth::Caller;
use crate::compression::responses::{is_worthwhile, set_vary};
use crate::compression::{AcceptedCodings, Coding};
use crate::lifecycle::Phase;
use crate::problem::{self, ApiError};
use crate::request_id::{REQUEST_ID, RequestId};
use crate::security::set_security_headers;
use crate::settings::AllowedHosts;
use crate::state::Observation;

/// The figures of a request for its log line, metrics and trace. The handler adds them to its response as an
/// extension.
#[derive(Debug, Clone)]
pub struct RequestStats {
    /// The number of rows.
    pub rows: usize,
    /// The size of the request's body in bytes.
    pub bytes: u64,
    /// The model that scored the rows, with the timings of the stages.
    pub scoring: Option<Scoring>,
}

/// Creates the layer that observes each request. Handlers receive the request's id if `exposes_request_id` is
/// set.
pub fn access_layer(
    state: &Arc<Observation>,
    hosts: &AllowedHosts,
    exposes_request_id: bool,
) -> impl Layer<Route, Service = AccessLayer> + Clone + use<> {
    let (state, hosts) = (Arc::clone(state), Arc::new(hosts.clone()));
    layer_fn(move |inner| AccessLayer {
        inner,
        state: Arc::clone(&state),
        hosts: Arc::clone(&hosts),
        exposes_request_id,
        route: Arc::default(),
    })
}

/// A route with an access log, metrics and traces.
#[derive(Clone)]
pub struct AccessLayer {
    inner: Route,
    state: Arc<Observation>,
    hosts: Arc<AllowedHosts>,
    exposes_request_id: bool,
    /// The route's metrics, set by its first request. Each route has its own layer.
    route: Arc<OnceLock<RouteMetrics>>,
}

impl Service<Request> for AccessLayer {
    type Response = Response;
    type Error = Infallible;
    type Future = AccessFuture<<Route as Service<Request>>::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<Request>::poll_ready(&mut self.inner, context)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let record = AccessRecord::start(self, &request);
        if self.exposes_request_id {
            request.extensions_mut().insert(record.id.clone());
        }
        let rejection = if record.is_admitted {
            head::check(&request, &self.hosts, &self.state.config.cors_origins, self.state.head_limits).err()
        } else {
            Some(ApiError::Busy)
        };
        AccessFuture { answering: self.inner.call(request), rejection, compressing: None, record }
    }
}

pin_project! {
    /// The future of a response.
    pub struct AccessFuture<F> {
        #[pin]
        answering: F,
        rejection: Option<ApiError>,
        compressing: Option<Compressing>,
        record: AccessRecord,
    }
}

/// The compression of a response.
type Compressing = Pin<Box<dyn Future<Output = Response> + Send>>;

impl<F: Future<Output = Result<Response, Infallible>>> Future for AccessFuture<F> {
    type Output = Result<Response, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Some(compressing) = this.compressing {
            let response = ready!(compressing.as_mut().poll(context));
            return this.record.send(response);
        }
        if let Some(error) = this.rejection.take() {
            let response = this.record.finish(error.into_response());
            return this.record.send(response);
        }
        // A panic fails this request only, with a 500.
        let response = match catch_unwind(AssertUnwindSafe(|| this.answering.poll(context))) {
            Ok(polled) => match ready!(polled) {
                Ok(response) => response,
                Err(never) => match never {},
            },
            Err(panic) => panic_response(panic.as_ref()),
        };
        let response = this.record.reserve(response);
        let mut response = this.record.finish(response);
        let Some(coding) = this.record.coding(&mut response) else { return this.record.send(response) };
        let compressor = this.record.state.compressor.clone();
        let compressing = this.compressing.insert(Box::pin(compressor.compress(response, coding)));
        let response = ready!(compressing.as_mut().poll(context));
        this.record.send(response)
    }
}

/// Builds the response to a panic, without its message.
fn panic_response(panic: &(dyn Any + Send)) -> Response {
    let reason = match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (_, Some(text)) => text.clone(),
        _ => "panic".to_owned(),
    };
    ApiError::Failed { reason }.into_response()
}

/// The log line and the metrics of one request. If it is dropped before the response, the client has
/// disconnected: status 499, as in nginx.
struct AccessRecord {
    state: Arc<Observation>,
    start: Instant,
    /// The client's address.
    client: Option<IpAddr>,
    method: &'static str,
    uri: Uri,
    route: Arc<OnceLock<RouteMetrics>>,
    id: RequestId,
    trace: Option<RequestTrace>,
    /// The codings that the response may have.
    codings: Option<AcceptedCodings>,
    version: Version,
    /// Whether it is counted as a request in flight.
    is_counted: bool,
    /// Whether it is within the limit of requests in flight, or a probe.
    is_admitted: bool,
    outcome: RequestOutcome,
}

struct RequestOutcome {
    status: u16,
    handled: Option<RequestStats>,
    /// The authenticated caller, if the route requires one.
    caller: Option<Arc<Caller>>,
    /// The size of the request's body, if it was declared or read.
    request_bytes: Option<u64>,
    /// The size of the response's body, if it is known before sending.
    bytes: Option<u64>,
}

/// The route that scores with the default model.
const DEFAULT_MODEL_ROUTE: &str = "/predict";
/// The beginning of the routes that name a model.
const MODELS: &str = "/models/";
const HEAD: &str = "HEAD";
const CLIENT_CLOSED_REQUEST: u16 = 499;
/// The label of a path without a route.
const UNMATCHED: &str = "unmatched";
/// The routes of probes and scrapes. They are never traced, and logged only if they fail or are slow.
const PROBES: [&str; 4] = ["/health", "/health/live", "/health/ready", "/metrics"];
/// The header of a request's trace context (W3C Trace Context).
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

impl AccessRecord {
    fn start(route: &AccessLayer, request: &Request) -> Self {
        let AccessLayer { state, route, .. } = route;
        let resolve = || {
            // Unmatched paths share one label, so that a scanner cannot create unlimited time series.
            let path = request.extensions().get::<MatchedPath>();
            state.metrics.route(path.map_or(UNMATCHED, MatchedPath::as_str))
        };
        let metrics = route.get_or_init(resolve);
        metrics.started();
        let header = |name: &str| request.headers().get(name)?.to_str().ok();
        let is_probe = PROBES.contains(&metrics.route());
        let is_counted = !is_probe && state.admission.try_begin_request();
        let traces = state.traces.as_ref().filter(|_| !is_probe);
        let trace = traces.map(|traces| traces.begin(&header));
        Self {
            state: Arc::clone(state),
            start: Instant::now(),
            client: state.client_address(request),
            method: method_label(request.method()),
            uri: request.uri().clone(),
            route: Arc::clone(route),
            id: RequestId::from_headers(request.headers()),
            trace,
            codings: AcceptedCodings::of(request.headers()),
            version: request.version(),
            is_counted,
            is_admitted: is_probe || is_counted,
            outcome: RequestOutcome {
                status: CLIENT_CLOSED_REQUEST,
                handled: None,
                caller: None,
                request_bytes: request.body().size_hint().exact(),
                bytes: None,
            },
        }
    }

    /// Adds the headers common to all responses.
    fn finish(&mut self, response: Response) -> Response {
        let errors = self.state.config.errors;
        let mut response = problem::finish(response, self.uri.path(), self.id.as_str(), errors);
        let handled = response.extensions_mut().remove::<RequestStats>();
        self.outcome = RequestOutcome {
            status: response.status().as_u16(),
            request_bytes: handled.as_ref().map(|of| of.bytes).or(self.outcome.request_bytes),
            handled,
            caller: response.extensions_mut().remove(),
            bytes: None,
        };
        response.headers_mut().insert(REQUEST_ID, self.id.header());
        set_security_headers(response.headers_mut(), self.state.uses_tls);
        let traceparent = self.trace.as_ref().map(|trace| HeaderValue::try_from(trace.traceparent()));
        if let Some(Ok(traceparent)) = traceparent {
            response.headers_mut().insert(TRACEPARENT, traceparent);
        }
        // HTTP/2 has its own mechanism.
        if self.version <= Version::HTTP_11 && self.state.lifecycle.phase() != Phase::Running {
            // The client sends its next request to another instance, instead of losing it when this
            // connection closes.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// Reserves memory for the response until its client has taken it. Without memory, it is rejected instead.
    fn reserve(&self, mut response: Response) -> Response {
        if !self.is_counted {
            return response;
        }
        match self.state.admission.reserve_response(&mut response, self.version) {
            Ok(()) => response,
            Err(error) => error.into_response(),
        }
    }

    /// Returns the coding with which to compress the response.
    fn coding(&self, response: &mut Response) -> Option<Coding> {
        if !is_worthwhile(response) {
            return None;
        }
        set_vary(response);
        let coding = self.codings.as_ref()?.preferred()?;
        if self.method == HEAD {
            // The length of the compressed body is not known without compressing it, and that of the plain one
            // must not be declared (RFC 9110, section 8.6). A mapped body has no length. It is removed later.
            let body = std::mem::take(response.body_mut());
            *response.body_mut() = Body::new(body.map_frame(|frame| frame));
            return None;
        }
        Some(coding)
    }

    /// Notes the size of the response as it is sent, and returns it.
    fn send(&mut self, response: Response) -> Poll<Result<Response, Infallible>> {
        self.outcome.bytes = response.body().size_hint().exact();
        Poll::Ready(Ok(response))
    }

    /// Returns whether to log the request, and the number of lines that were left out before it.
    fn line(&self, status: u16, took: Duration) -> Option<u64> {
        // Successful probes would fill an idle engine's log.
        let is_dull =
            || status < 400 && self.route.get().is_some_and(|metrics| PROBES.contains(&metrics.route()));
        self.state.access_lines.next(&RequestLine { status, took, ended: self.start + took }, is_dull)
    }

    /// Returns the name of the model that the request was for, if it was for one.
    fn model(&self, route: &str) -> Option<String> {
        if route == DEFAULT_MODEL_ROUTE {
            return self.state.registry.default_model().map(|model| model.name.clone());
        }
        let name = self.uri.path().strip_prefix(MODELS).filter(|_| route.starts_with(MODELS))?;
        let name = name.split('/').next()?;
        // The path may hold anything, and is not repeated.
        is_model_name(name).then(|| name.to_owned())
    }
}

impl Drop for AccessRecord {
    fn drop(&mut self) {
        if self.is_counted {
            self.state.admission.end_request();
        }
        let RequestOutcome { status, request_bytes, bytes, .. } = self.outcome;
        let (method, took) = (self.method, self.start.elapsed());
        let Some(metrics) = self.route.get() else { return };
        metrics.ended(RequestEnd { method, status, took, request_bytes, response_bytes: bytes });
        let (route, request_id) = (metrics.route(), self.id.as_str());
        let rows = self.outcome.handled.as_ref().map(|handled| handled.rows);
        let scoring = self.outcome.handled.as_ref().and_then(|handled| handled.scoring.as_ref());
        if let Some(left_out) = self.line(status, took) {
            let ms = took.as_nanos() as f64 / 1e6;
            let caller = self.outcome.caller.as_ref().map(|caller| caller.name.as_str());
            let model = scoring.map(|of| of.model.name.clone()).or_else(|| self.model(route));
            let left_out = Some(left_out).filter(|lines| *lines > 0);
            let client = self.client.map(display);
            let version = scoring.map(|of| of.model.version);
            let trace_id = self.trace.as_ref().map(|trace| display(trace.trace_id()));
            let span_id = self.trace.as_ref().map(|trace| display(trace.span_id()));
            tracing::info!(
                target: ACCESS,
                method, route, status, ms, rows, bytes, request_id, caller, model, version, client, trace_id,
                span_id, left_out, "request"
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

/// Returns the method's name, or "other" for one that HTTP does not define, which bounds the label's
/// cardinality.
fn method_label(method: &Method) -> &'static str {
    const KNOWN: [(Method, &str); 7] = [
        (Method::GET, "GET"),
        (Method::POST, "POST"),
        (Method::HEAD, HEAD),
        (Method::OPTIONS, "OPTIONS"),
        (Method::PUT, "PUT"),
        (Method::DELETE, "DELETE"),
        (Method::PATCH, "PATCH"),
    ];
    KNOWN.iter().find(|(known, _)| known == method).map_or("other", |(_, name)| name)
}
