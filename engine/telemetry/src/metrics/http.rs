use std::sync::OnceLock;
use std::time::Duration;

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, Registry};

use super::{Metrics, counters, gauge, histograms};

/// The HTTP metrics.
#[derive(Debug)]
pub struct HttpMetrics {
    requests: IntCounterVec,
    duration: HistogramVec,
    request_bytes: HistogramVec,
    response_bytes: HistogramVec,
    in_flight: IntGauge,
}

/// Seconds; a prediction of one row takes well under a millisecond.
const REQUEST_SECONDS: [f64; 18] = [
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0, 30.0,
];
/// From a row without much in it to the largest body that is taken by default.
const BODY_BYTES: [f64; 9] =
    [128.0, 512.0, 2048.0, 8192.0, 32_768.0, 131_072.0, 524_288.0, 2_097_152.0, 8_388_608.0];

impl HttpMetrics {
    pub fn new(r: &Registry) -> prometheus::Result<Self> {
        let route = &["route"];
        let bytes = |name: &str, help: &str| histograms(r, name, help, route, &BODY_BYTES);
        Ok(Self {
            requests: counters(
                r,
                "onnward_http_requests_total",
                "Requests answered, by route and status; 499 if the client disconnected first.",
                &["route", "method", "status"],
            )?,
            duration: histograms(
                r,
                "onnward_http_request_duration_seconds",
                "Time from a request's head to its response.",
                route,
                &REQUEST_SECONDS,
            )?,
            request_bytes: bytes(
                "onnward_http_request_body_bytes",
                "Size of a request body: the bytes read, or its Content-Length if it was not read.",
            )?,
            response_bytes: bytes("onnward_http_response_body_bytes", "Size of a response body.")?,
            in_flight: gauge(r, "onnward_http_requests_in_flight", "Requests in flight.")?,
        })
    }
}

impl Metrics {
    /// Returns the metrics of one route, with their labels resolved once. `route` is its pattern, never text
    /// from a client.
    pub fn route(&self, route: &str) -> RouteMetrics {
        let HttpMetrics { requests, duration, request_bytes, response_bytes, in_flight } = &self.http;
        let series = || RouteSeries {
            requests: requests.clone(),
            answered: OnceLock::new(),
            duration: duration.with_label_values(&[route]),
            request_bytes: request_bytes.with_label_values(&[route]),
            response_bytes: response_bytes.with_label_values(&[route]),
            in_flight: in_flight.clone(),
        };
        RouteMetrics { route: route.to_owned(), series: self.counts_requests.then(series) }
    }
}

/// The metrics of one route.
#[derive(Debug)]
pub struct RouteMetrics {
    route: String,
    /// `None` if requests are not counted.
    series: Option<RouteSeries>,
}

#[derive(Debug)]
struct RouteSeries {
    requests: IntCounterVec,
    /// Those of the method that was answered with 200 first: on most routes there is no other.
    answered: OnceLock<(&'static str, IntCounter)>,
    duration: Histogram,
    request_bytes: Histogram,
    response_bytes: Histogram,
    in_flight: IntGauge,
}

/// The end of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestEnd {
    /// One of HTTP's own methods, never one that a client invents.
    pub method: &'static str,
    /// The answer's status; 499 if the client disconnected.
    pub status: u16,
    /// From its head to its answer.
    pub took: Duration,
    /// The size of its body, where that is known.
    pub request_bytes: Option<u64>,
    /// The size of the answer's body, where that is known.
    pub response_bytes: Option<u64>,
}

const OK: u16 = 200;

impl RouteMetrics {
    /// Returns the route's pattern.
    pub fn route(&self) -> &str {
        &self.route
    }

    /// Counts a request as in flight.
    pub fn started(&self) {
        if let Some(series) = &self.series {
            series.in_flight.inc();
        }
    }

    /// Records a request that was answered or whose client disconnected.
    pub fn ended(&self, end: RequestEnd) {
        let Some(series) = &self.series else { return };
        series.in_flight.dec();
        series.count(&self.route, end.method, end.status);
        series.duration.observe(end.took.as_secs_f64());
        for (histogram, bytes) in
            [(&series.request_bytes, end.request_bytes), (&series.response_bytes, end.response_bytes)]
        {
            if let Some(bytes) = bytes {
                histogram.observe(bytes as f64);
            }
        }
    }
}

impl RouteSeries {
    fn count(&self, route: &str, method: &'static str, status: u16) {
        let resolve =
            || self.requests.with_label_values(&[route, method, itoa::Buffer::new().format(status)]);
        if status == OK {
            let (known, counter) = self.answered.get_or_init(|| (method, resolve()));
            if *known == method {
                return counter.inc();
            }
        }
        resolve().inc();
    }
}
