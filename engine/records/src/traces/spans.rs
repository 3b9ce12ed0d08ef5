use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use onnward_serving::batcher::Timings;
use onnward_serving::registry::ServingModel;
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status};
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_sdk::trace::{IdGenerator, SpanData, SpanProcessor};

use super::{RequestTrace, Traces};

/// A request that was answered, or whose client disconnected.
#[derive(Debug)]
pub struct Answered<'a> {
    /// The time at which its head was received.
    pub start: Instant,
    /// Its duration.
    pub took: Duration,
    /// Its method, one of HTTP's own or `other`.
    pub method: &'static str,
    /// The pattern of its route, if it has one.
    pub route: Option<&'a str>,
    /// Its path, if it has a route. A client can invent any other path.
    pub path: Option<&'a str>,
    /// The answer's status; 499 if the client disconnected first.
    pub status: u16,
    /// The request's id.
    pub request_id: &'a str,
    /// The number of its rows.
    pub rows: Option<usize>,
    /// The version and times of scoring.
    pub scoring: Option<&'a Scoring>,
}

/// The version that scored a request's rows, and the times of its stages.
#[derive(Debug, Clone)]
pub struct Scoring {
    /// The version that scored.
    pub model: Arc<ServingModel>,
    /// The times.
    pub stages: Stages,
}

/// The start and end times of a prediction's stages.
#[derive(Debug, Clone, Copy)]
pub struct Stages {
    /// The time at which the body was complete. Its rows are encoded from here until they are submitted.
    pub read: Instant,
    /// The times from the queue to the model's last row.
    pub timings: Timings,
    /// The time at which writing the response began.
    pub answering: Instant,
    /// The time at which the response was written.
    pub answered: Instant,
}

impl Traces {
    /// Sends a request's spans, if it is sampled.
    pub fn end(&self, trace: &RequestTrace, answered: &Answered<'_>) {
        if !trace.span.is_sampled() {
            return;
        }
        // The wall clock may change during a request, but its spans must nest.
        let start_time = SystemTime::now() - answered.start.elapsed();
        let at = |instant: Instant| start_time + instant.saturating_duration_since(answered.start);
        if let Some(Scoring { model, stages }) = answered.scoring {
            let Stages { read, timings, answering, answered: written } = *stages;
            let of_model = || {
                vec![
                    KeyValue::new("onnward.model", model.name.clone()),
                    KeyValue::new("onnward.version", integer_value(model.version)),
                    KeyValue::new("onnward.backend", model.backend.name()),
                ]
            };
            let rows = || rows_of(answered.rows).into_iter().collect();
            let mut run = of_model();
            run.push(KeyValue::new("onnward.batch_rows", integer_value(timings.batch_rows as u64)));
            for (name, start, end, attributes) in [
                ("encode", read, timings.submitted, rows()),
                ("queue", timings.submitted, timings.taken, Vec::new()),
                ("assemble", timings.taken, timings.assembled, Vec::new()),
                ("run", timings.assembled, timings.scored, run),
                ("respond", answering, written, rows()),
            ] {
                self.processor.on_end(self.stage(trace, name, at(start), at(end), attributes));
            }
        }
        let mut span = span(trace.span.clone(), trace.parent, name(answered));
        span.parent_span_is_remote = trace.parent != SpanId::INVALID;
        span.span_kind = SpanKind::Server;
        (span.start_time, span.end_time) = (start_time, start_time + answered.took);
        span.attributes = attributes(answered);
        if answered.status >= 500 {
            span.status = Status::error("");
        }
        self.processor.on_end(span);
    }

    fn stage(
        &self,
        trace: &RequestTrace,
        name: &'static str,
        start: SystemTime,
        end: SystemTime,
        attributes: Vec<KeyValue>,
    ) -> SpanData {
        let parent = &trace.span;
        let (trace_id, flags) = (parent.trace_id(), parent.trace_flags());
        let context =
            SpanContext::new(trace_id, self.ids.new_span_id(), flags, false, parent.trace_state().clone());
        let mut span = span(context, parent.span_id(), name.to_owned());
        (span.start_time, span.end_time, span.attributes) = (start, end, attributes);
        span
    }
}

fn span(span_context: SpanContext, parent_span_id: SpanId, name: String) -> SpanData {
    SpanData {
        span_context,
        parent_span_id,
        parent_span_is_remote: false,
        span_kind: SpanKind::Internal,
        name: name.into(),
        start_time: SystemTime::UNIX_EPOCH,
        end_time: SystemTime::UNIX_EPOCH,
        attributes: Vec::new(),
        dropped_attributes_count: 0,
        events: Default::default(),
        links: Default::default(),
        status: Status::Unset,
        instrumentation_scope: InstrumentationScope::builder("onnward").build(),
    }
}

/// Returns the server span's name by OpenTelemetry's conventions for HTTP
/// (<https://opentelemetry.io/docs/specs/semconv/http/http-spans/>). Its cardinality is bounded.
fn name(answered: &Answered<'_>) -> String {
    let method = if answered.method == OTHER_METHOD { "HTTP" } else { answered.method };
    answered.route.map_or_else(|| method.to_owned(), |route| format!("{method} {route}"))
}

/// The name for methods that are not HTTP's own.
const OTHER_METHOD: &str = "other";

/// Returns the server span's attributes: those of the conventions and our own.
fn attributes(answered: &Answered<'_>) -> Vec<KeyValue> {
    let method = if answered.method == OTHER_METHOD { "_OTHER" } else { answered.method };
    let mut attributes = vec![
        KeyValue::new("http.request.method", method),
        KeyValue::new("url.scheme", "http"),
        KeyValue::new("http.response.status_code", i64::from(answered.status)),
        KeyValue::new("onnward.request_id", answered.request_id.to_owned()),
    ];
    if let Some(route) = answered.route {
        attributes.push(KeyValue::new("http.route", route.to_owned()));
    }
    if let Some(path) = answered.path {
        attributes.push(KeyValue::new("url.path", path.to_owned()));
    }
    attributes.extend(rows_of(answered.rows));
    if answered.status >= 500 {
        attributes.push(KeyValue::new("error.type", answered.status.to_string()));
    }
    if let Some(Scoring { model, .. }) = answered.scoring {
        attributes.extend([
            KeyValue::new("onnward.model", model.name.clone()),
            KeyValue::new("onnward.version", integer_value(model.version)),
            KeyValue::new("onnward.backend", model.backend.name()),
        ]);
    }
    attributes
}

fn rows_of(rows: Option<usize>) -> Option<KeyValue> {
    rows.map(|rows| KeyValue::new("onnward.rows", integer_value(rows as u64)))
}

/// Converts a number to OpenTelemetry's signed integer, saturating.
fn integer_value(number: u64) -> Value {
    Value::I64(i64::try_from(number).unwrap_or(i64::MAX))
}
