use std::fmt;

use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::IdGenerator;

use super::Traces;

/// A request's place in a trace: its own span, under its caller's.
#[derive(Debug, Clone)]
pub struct RequestTrace {
    /// The request's own span.
    pub(super) span: SpanContext,
    /// The caller's span, if it sent one.
    pub(super) parent: SpanId,
}

/// Headers, read by name.
struct Headers<'a>(&'a dyn Fn(&str) -> Option<&'a str>);

impl Extractor for Headers<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        (self.0)(name)
    }

    fn keys(&self) -> Vec<&str> {
        Vec::new()
    }
}

impl Traces {
    /// Continues the trace of the request's headers (W3C Trace Context, `traceparent` and `tracestate`) with
    /// its decision. Without them, starts a trace and draws whether it is sampled.
    pub fn begin<'a>(&self, header: &'a dyn Fn(&str) -> Option<&'a str>) -> RequestTrace {
        let span_id = self.ids.new_span_id();
        if header(TRACEPARENT).is_some() {
            let context =
                TraceContextPropagator::new().extract_with_context(&Context::new(), &Headers(header));
            let parent = context.span().span_context().clone();
            if parent.is_valid() {
                let (trace_id, flags) = (parent.trace_id(), parent.trace_flags());
                let span = SpanContext::new(trace_id, span_id, flags, false, parent.trace_state().clone());
                return RequestTrace { span, parent: parent.span_id() };
            }
        }
        let trace_id = self.ids.new_trace_id();
        let flags = if self.sampler.samples() { TraceFlags::SAMPLED } else { TraceFlags::NOT_SAMPLED };
        let span = SpanContext::new(trace_id, span_id, flags, false, Default::default());
        RequestTrace { span, parent: SpanId::INVALID }
    }
}

/// The header of a trace id and a span id.
const TRACEPARENT: &str = "traceparent";

impl RequestTrace {
    /// Returns the trace's id, in hexadecimal.
    pub fn trace_id(&self) -> impl fmt::Display + use<> {
        self.span.trace_id()
    }

    /// Returns the id of the request's span, in hexadecimal.
    pub fn span_id(&self) -> impl fmt::Display + use<> {
        self.span.span_id()
    }

    /// Formats the response's `traceparent` header.
    pub fn traceparent(&self) -> String {
        format!("00-{}-{}-{:02x}", self.trace_id(), self.span_id(), self.span.trace_flags())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traces::TracingConfig;
    use onnward_telemetry::share::Share;

    fn traces(sample: f64) -> Traces {
        onnward_repository::prepare_tls();
        let endpoint = "http://127.0.0.1:9/v1/traces".to_owned();
        Traces::start(&TracingConfig { endpoint, sample: Share::of(sample), headers_file: None }).unwrap()
    }

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const CALLER: &str = "00f067aa0ba902b7";

    #[test]
    fn a_callers_trace_goes_on_as_the_caller_decided() {
        for (sample, flags, is_sampled) in [(0.0, "01", true), (1.0, "00", false)] {
            let sent = format!("00-{TRACE}-{CALLER}-{flags}");
            let header = |name: &str| match name {
                "traceparent" => Some(sent.as_str()),
                "tracestate" => Some("vendor=value"),
                _ => None,
            };
            let trace = traces(sample).begin(&header);
            assert_eq!(trace.trace_id().to_string(), TRACE);
            assert_eq!((trace.parent.to_string(), trace.span.is_sampled()), (CALLER.to_owned(), is_sampled));
            assert_ne!(trace.span_id().to_string(), CALLER);
            assert_eq!(trace.span.trace_state().header(), "vendor=value");
            assert_eq!(trace.traceparent(), format!("00-{TRACE}-{}-{flags}", trace.span_id()));
        }
    }

    #[test]
    fn without_a_caller_that_can_be_understood_a_trace_begins() {
        let traces = traces(1.0);
        for sent in [
            None,
            Some("rubbish"),
            Some("00-00000000000000000000000000000000-00f067aa0ba902b7-01"),
            Some("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01"),
            Some("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
            Some("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01"),
        ] {
            let trace = traces.begin(&|name| sent.filter(|_| name == "traceparent"));
            assert_eq!(trace.parent, SpanId::INVALID, "{sent:?}");
            assert!(
                trace.span.is_valid() && trace.span.is_sampled() && trace.trace_id().to_string() != TRACE
            );
        }
    }

    #[test]
    fn a_share_of_the_traces_that_begin_here_is_sampled() {
        let traces = traces(0.25);
        let sampled = (0..4000).filter(|_| traces.begin(&|_| None).span.is_sampled()).count();
        // Four standard deviations.
        assert!((890..=1110).contains(&sampled), "{sampled}");
    }
}
