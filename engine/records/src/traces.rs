//! Traces of requests, sent to a collector by OTLP over HTTP. Only this module uses OpenTelemetry.
//!
//! A request leaves ids and times. Its spans are made after it was answered, and only if it is sampled. So an
//! unsampled request costs only its ids. A separate thread sends the spans from a bounded queue: a collector
//! that is slow or down costs spans, never time.

mod context;
mod exporter;
mod spans;

use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;
use std::{fs, io};

use onnward_telemetry::share::{Sampler, Share};
use opentelemetry::KeyValue;
use opentelemetry_otlp::ExporterBuildError;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::EnvResourceDetector;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, RandomIdGenerator, SpanProcessor};
use thiserror::Error;

pub use self::context::RequestTrace;
use self::exporter::Exporter;
pub use self::spans::{Answered, Scoring, Stages};

/// The settings of traces.
#[derive(Debug, Clone, PartialEq)]
pub struct TracingConfig {
    /// The collector's URL for OTLP over HTTP, with `/v1/traces`.
    pub endpoint: String,
    /// The share of requests that are traced, among those without a decision of their caller.
    pub sample: Share,
    /// A file of lines `name: value`, sent as headers, for example to authenticate at the collector.
    pub headers_file: Option<PathBuf>,
}

/// The reason why traces cannot be sent.
#[derive(Debug, Error)]
pub enum TracesError {
    /// The file of headers cannot be read.
    #[error("tracing.headers_file {path} cannot be read: {error}")]
    Unreadable {
        /// The file.
        path: String,
        /// The cause.
        error: io::Error,
    },
    /// A line of the file is not a header. The message does not quote it, because it may be secret.
    #[error("tracing.headers_file {path}, line {line}: write each header as `name: value`")]
    NoHeader {
        /// The file.
        path: String,
        /// The line, counted from 1.
        line: usize,
    },
    /// The variables of OpenTelemetry contradict it, or TLS is unavailable.
    #[error("traces cannot be sent: {0}")]
    Exporter(#[from] ExporterBuildError),
    /// The thread or the sockets cannot be created.
    #[error("traces cannot be sent: {0}")]
    System(#[from] io::Error),
}

/// The exporter of request traces.
/// ```
/// use onnward_records::traces::{Traces, TracingConfig};
/// use onnward_telemetry::share::Share;
///
/// # onnward_repository::prepare_tls();
/// let endpoint = "http://127.0.0.1:4318/v1/traces".to_owned();
/// let traces = Traces::start(&TracingConfig { endpoint, sample: Share::of(0.01), headers_file: None })?;
///
/// // The caller's trace goes on, with the caller's decision.
/// let sent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// let trace = traces.begin(&|name| (name == "traceparent").then_some(sent));
/// assert_eq!(trace.trace_id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
/// assert!(trace.traceparent().ends_with("-01"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Traces {
    sampler: Sampler,
    ids: RandomIdGenerator,
    processor: BatchSpanProcessor,
}

/// The most spans that wait to be sent. A prediction has six.
const QUEUE_SPANS: usize = 16 * 1024;
const BATCH_SPANS: usize = 512;
const SEND_INTERVAL: Duration = Duration::from_secs(1);

impl Traces {
    /// Starts the exporting thread. TLS must be installed already.
    ///
    /// # Errors
    /// [`TracesError`].
    pub fn start(config: &TracingConfig) -> Result<Self, TracesError> {
        let headers = config.headers_file.as_deref().map(read_headers).transpose()?.unwrap_or_default();
        let exporter = Exporter::new(&config.endpoint, headers)?;
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(QUEUE_SPANS)
            .with_max_export_batch_size(BATCH_SPANS)
            .with_scheduled_delay(SEND_INTERVAL)
            .build();
        let mut processor = BatchSpanProcessor::new(exporter, batches);
        processor.set_resource(&resource());
        tracing::info!(endpoint = config.endpoint, "traces are sent");
        Ok(Self { sampler: Sampler::new(config.sample), ids: RandomIdGenerator::default(), processor })
    }

    /// Exports pending spans, for at most `within`.
    pub fn finish(&self, within: Duration) {
        // The exporter has logged failures.
        let _ = self.processor.shutdown_with_timeout(within);
    }
}

/// Builds the resource of the spans. `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` override our values.
fn resource() -> Resource {
    let name = std::env::var("OTEL_SERVICE_NAME").ok().filter(|name| !name.is_empty());
    let instance = format!("{:032x}", rand::random::<u128>());
    let own = [
        KeyValue::new("service.name", "onnward"),
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("service.instance.id", instance),
    ];
    let resource =
        Resource::builder().with_attributes(own).with_detector(Box::new(EnvResourceDetector::new()));
    match name {
        Some(name) => resource.with_service_name(name).build(),
        None => resource.build(),
    }
}

/// Reads headers from a file of lines `name: value`, ignoring blank lines and comments (`#`).
fn read_headers(path: &Path) -> Result<Vec<(String, String)>, TracesError> {
    let shown = path.display().to_string();
    let text =
        fs::read_to_string(path).map_err(|error| TracesError::Unreadable { path: shown.clone(), error })?;
    let lines = text.lines().enumerate();
    let lines = lines.filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    lines
        .map(|(index, line)| {
            let header = line.split_once(':').map(|(name, value)| (name.trim(), value.trim()));
            let is_name = |name: &str| {
                !name.is_empty()
                    && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
            };
            let is_value = |value: &str| value.bytes().all(|byte| (b' '..=b'~').contains(&byte));
            match header {
                Some((name, value)) if is_name(name) && is_value(value) => {
                    Ok((name.to_owned(), value.to_owned()))
                }
                _ => Err(TracesError::NoHeader { path: shown.clone(), line: index + 1 }),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn headers_are_read_from_a_file_and_a_mistake_is_told_by_its_line_alone() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("headers");
        fs::write(&path, "# the collector's\nauthorization: Bearer a:b\n\nx-scope:1\n").unwrap();
        let headers = read_headers(&path).unwrap();
        let expected = [("authorization", "Bearer a:b"), ("x-scope", "1")];
        assert_eq!(headers, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        fs::write(&path, "x: 1\nhidden").unwrap();
        let message = read_headers(&path).unwrap_err().to_string();
        assert!(message.contains("line 2") && !message.contains("hidden"), "{message}");
    }
}
