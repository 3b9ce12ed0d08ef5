use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry_otlp::{Protocol, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use tokio::runtime::Runtime;

use super::TracesError;

/// An exporter that logs once when the collector fails, and once when it recovers.
#[derive(Debug)]
pub struct Exporter {
    otlp: opentelemetry_otlp::SpanExporter,
    /// The runtime of the HTTP client. The processor exports on a thread of its own.
    runtime: Runtime,
    is_failing: AtomicBool,
}

/// The variables of OpenTelemetry that set the timeout.
const TIMEOUT_VARIABLES: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"];
/// The timeout of an export without them.
const TIMEOUT: Duration = Duration::from_secs(5);

impl Exporter {
    /// Creates an exporter to this URL with these headers.
    pub fn new(endpoint: &str, headers: Vec<(String, String)>) -> Result<Self, TracesError> {
        let mut builder = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(endpoint)
            .with_headers(headers.into_iter().collect::<HashMap<_, _>>());
        // The builder reads these variables itself, unless it is given a timeout.
        if TIMEOUT_VARIABLES.into_iter().all(|name| std::env::var_os(name).is_none()) {
            builder = builder.with_timeout(TIMEOUT);
        }
        let otlp = builder.build()?;
        let runtime: io::Result<Runtime> = tokio::runtime::Builder::new_current_thread().enable_all().build();
        Ok(Self { otlp, runtime: runtime?, is_failing: AtomicBool::new(false) })
    }
}

impl SpanExporter for Exporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        // The processor exports on a thread that does nothing else.
        let result = self.runtime.block_on(self.otlp.export(batch));
        let was_failing = self.is_failing.swap(result.is_err(), Ordering::Relaxed);
        match &result {
            Err(error) if !was_failing => {
                tracing::warn!(%error, "the collector rejects traces; they are dropped until it recovers");
            }
            Ok(()) if was_failing => tracing::info!("the collector accepts traces again"),
            _ => {}
        }
        result
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.otlp.set_resource(resource);
    }
}
