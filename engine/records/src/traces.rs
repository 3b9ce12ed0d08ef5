//! Traces of requests, sent to a collector by OTLP over HTTP; OpenTelemetry is known here only.
//!
//! What a request leaves are ids and times. Its spans are made of them when it has been answered, and only if it is
//! sampled, so one that is not costs nothing but its ids. A thread of its own sends them, from a bounded queue: a collector
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

/// Where traces are sent.
#[derive(Debug, Clone, PartialEq)]
pub struct TracingConfig {
    /// The URL that takes traces by OTLP over HTTP: the collector's, with `/v1/traces`.
    pub endpoint: String,
    /// The share of the requests that are traced, of those that come without a decision of their caller's.
    pub sample: Share,
    /// A file of lines `name: value`, sent as headers: what the collector knows its senders by.
    pub headers_file: Option<PathBuf>,
}

/// Why traces cannot be sent.
#[derive(Debug, Error)]
pub enum TracesError {
    /// The file of headers cannot be read.
    #[error("tracing.headers_file {path} cannot be read: {error}")]
    Unreadable {
        /// The file.
        path: String,
        /// What the system says.
        error: io::Error,
    },
    /// A line of the file of headers is none; what it says may be secret.
    #[error("tracing.headers_file {path}, line {line}: write each header as `name: value`")]
    NoHeader {
        /// The file.
        path: String,
        /// The line, counted from 1.
        line: usize,
    },
    /// The variables that OpenTelemetry reads contradict it, or there is no TLS.
    #[error("traces cannot be sent: {0}")]
    Exporter(#[from] ExporterBuildError),
    /// The system gives no thread or no sockets.
    #[error("traces cannot be sent: {0}")]
    System(#[from] io::Error),
}

/// Takes what requests leave and sends it.
#[derive(Debug)]
pub struct Traces {
    sampler: Sampler,
    ids: RandomIdGenerator,
    processor: BatchSpanProcessor,
}

/// How many spans may wait to be sent; a prediction has six.
const QUEUE_SPANS: usize = 16 * 1024;
const BATCH_SPANS: usize = 512;
const SEND_INTERVAL: Duration = Duration::from_secs(1);

impl Traces {
    /// Starts the thread that sends. TLS must have been made ready.
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
        Ok(Self {
            sampler: Sampler::new(config.sample),
            ids: RandomIdGenerator::default(),
            processor,
        })
    }

    /// Sends what is waiting, for so long at most.
    pub fn finish(&self, within: Duration) {
        // What failed has been told by the exporter.
        let _ = self.processor.shutdown_with_timeout(within);
    }
}

/// What the spans are of. `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` stand over our own names.
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

/// Returns the headers in a file of lines `name: value`; blank lines and those that begin with `#` are none.
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
