//! All metrics. Only this module uses the Prometheus crate.
//!
//! Labels are closed sets or model names, so clients cannot grow the number of series.

mod allocator;
mod business;
mod capture;
mod certificates;
mod connections;
mod drift;
mod engine;
mod http;
mod inference;
mod models;
mod outcomes;
mod process;
mod versions;

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use prometheus::{
    Counter, CounterVec, Encoder, Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec,
    IntGauge, IntGaugeVec, Opts, Registry, TEXT_FORMAT, TextEncoder,
    core::{Collector, MetricVec, MetricVecBuilder},
};
use thiserror::Error;

use self::allocator::AllocatorMetrics;
pub use self::business::BusinessMetrics;
use self::business::BusinessVecs;
pub use self::capture::CaptureLoss;
use self::capture::CaptureMetrics;
use self::certificates::CertificateMetrics;
use self::connections::ConnectionVecs;
pub use self::connections::{ConnectionEnd, ConnectionMetrics};
pub use self::drift::{VersionDrift, render_drift};
use self::engine::EngineGauges;
pub use self::engine::{CacheState, EngineState};
use self::http::HttpMetrics;
pub use self::http::{RequestEnd, RouteMetrics};
use self::inference::InferenceVecs;
pub use self::inference::{InferenceMetrics, RejectReason, Stage};
use self::models::ModelGauges;
pub use self::models::{ModelState, QueueState};
use self::outcomes::OutcomeMetrics;
pub use self::outcomes::Unstored;
use self::process::ProcessMetrics;
use self::versions::VersionMetrics;
pub use self::versions::{LoadedVersion, Role, SwapOutcome};
use crate::logging::lost_lines;

/// The settings of the metrics.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricsConfig {
    /// Whether requests, predictions and their stages are counted. The process and the models' states always
    /// are.
    pub enabled: bool,
    /// The probabilities at which a band of risk begins, ascending; one to four, which make two to five
    /// bands.
    pub risk_bands: Vec<f32>,
    /// The PEM files whose first certificate has its expiry watched.
    pub certificates: Vec<PathBuf>,
}

impl Default for MetricsConfig {
    fn default() -> Self {
        Self { enabled: true, risk_bands: vec![0.3, 0.6], certificates: Vec::new() }
    }
}

/// Two metrics have one name, or Prometheus rejects a name: a bug of this module.
#[derive(Debug, Error)]
#[error("the metrics cannot be registered: {0}")]
pub struct MetricsError(#[from] prometheus::Error);

/// The metrics of one process.
/// ```
/// use onnward_telemetry::metrics::{CaptureLoss, Metrics};
///
/// let metrics = Metrics::new()?;
/// metrics.captured("churn", 3);
/// metrics.capture_lost("churn", CaptureLoss::NoRoom, 1);
/// let text = String::from_utf8(metrics.render(&[])?)?;
/// assert!(text.contains(r#"onnward_capture_lost_total{model="churn",reason="no_room"} 1"#));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    counts_requests: bool,
    /// The models that have been requested.
    used: Arc<Mutex<BTreeSet<String>>>,
    risk_bands: Vec<f32>,
    http: HttpMetrics,
    connections: ConnectionVecs,
    inference: InferenceVecs,
    business: BusinessVecs,
    versions: VersionMetrics,
    capture: CaptureMetrics,
    log_lines_lost: IntCounter,
    outcomes: OutcomeMetrics,
    models: ModelGauges,
    engine: EngineGauges,
    process: Option<ProcessMetrics>,
    allocator: AllocatorMetrics,
    certificates: CertificateMetrics,
    /// Held while a scrape reads values and renders them, so that there is one at a time.
    scraping: Mutex<()>,
}

/// Series that are created when they are used first.
type LazySeries<T> = LazyLock<T, Box<dyn FnOnce() -> T + Send>>;

impl Metrics {
    /// Returns series of a model that its first request creates. Those of its later versions are created at once, so
    /// that no request waits for that after a swap.
    fn lazy_series<T: 'static>(
        &self,
        model: &str,
        create: impl FnOnce() -> T + Send + 'static,
    ) -> LazySeries<T> {
        let is_used = self.used.lock().unwrap_or_else(PoisonError::into_inner).contains(model);
        let (used, model) = (Arc::clone(&self.used), model.to_owned());
        let series: LazySeries<T> = LazyLock::new(Box::new(move || {
            used.lock().unwrap_or_else(PoisonError::into_inner).insert(model);
            create()
        }));
        if is_used {
            LazyLock::force(&series);
        }
        series
    }

    /// Registers every metric, as configured by default.
    ///
    /// # Errors
    /// [`MetricsError`] if two metrics have one name.
    pub fn new() -> Result<Self, MetricsError> {
        Self::configured(&MetricsConfig::default())
    }

    /// Registers every metric.
    ///
    /// # Errors
    /// [`MetricsError`] if two metrics have one name.
    pub fn configured(config: &MetricsConfig) -> Result<Self, MetricsError> {
        let registry = Registry::new();
        let r = &registry;
        let labels = ["version", "os", "arch"];
        let build = gauges(r, "onnward_build_info", "Version and platform; the value is always 1.", &labels)?;
        let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
        build.with_label_values(&[env!("CARGO_PKG_VERSION"), os, arch]).set(1);
        Ok(Self {
            counts_requests: config.enabled,
            used: Arc::default(),
            risk_bands: config.risk_bands.clone(),
            http: HttpMetrics::new(r)?,
            connections: ConnectionVecs::new(r)?,
            inference: InferenceVecs::new(r)?,
            business: BusinessVecs::new(r)?,
            versions: VersionMetrics::new(r)?,
            capture: CaptureMetrics::new(r)?,
            log_lines_lost: counter(
                r,
                "onnward_log_lines_lost_total",
                "Log lines lost because standard error was read too slowly.",
            )?,
            outcomes: OutcomeMetrics::new(r)?,
            models: ModelGauges::new(r)?,
            engine: EngineGauges::new(r)?,
            process: ProcessMetrics::new(r)?,
            allocator: AllocatorMetrics::new(r)?,
            certificates: CertificateMetrics::new(r, &config.certificates)?,
            scraping: Mutex::default(),
            registry,
        })
    }

    /// Renders all metrics in the Prometheus text format, version 0.0.4, with the models' present state. It
    /// reads files, so call it where blocking is allowed.
    ///
    /// # Errors
    /// [`MetricsError`] if a metric cannot be written down.
    pub fn render(&self, models: &[ModelState]) -> Result<Vec<u8>, MetricsError> {
        let _one = self.scraping.lock().unwrap_or_else(PoisonError::into_inner);
        self.versions.set_repository_age();
        self.log_lines_lost.inc_by(lost_lines().saturating_sub(self.log_lines_lost.get()));
        self.models.set(models);
        if let Some(process) = &self.process {
            process.read();
        }
        self.allocator.read();
        self.certificates.read();
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }

    /// Returns the media type of [`Metrics::render`].
    pub fn content_type() -> &'static str {
        TEXT_FORMAT
    }
}

fn registered<C: Collector + Clone + 'static>(registry: &Registry, metric: C) -> prometheus::Result<C> {
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

fn counters(r: &Registry, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntCounterVec> {
    registered(r, IntCounterVec::new(Opts::new(name, help), labels)?)
}

fn float_counters(r: &Registry, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<CounterVec> {
    registered(r, CounterVec::new(Opts::new(name, help), labels)?)
}

fn counter(r: &Registry, name: &str, help: &str) -> prometheus::Result<IntCounter> {
    registered(r, IntCounter::new(name, help)?)
}

fn float_counter(r: &Registry, name: &str, help: &str) -> prometheus::Result<Counter> {
    registered(r, Counter::new(name, help)?)
}

fn float_gauge(r: &Registry, name: &str, help: &str) -> prometheus::Result<Gauge> {
    registered(r, Gauge::new(name, help)?)
}

fn float_gauges(r: &Registry, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<GaugeVec> {
    registered(r, GaugeVec::new(Opts::new(name, help), labels)?)
}

fn gauge(r: &Registry, name: &str, help: &str) -> prometheus::Result<IntGauge> {
    registered(r, IntGauge::new(name, help)?)
}

fn gauges(r: &Registry, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntGaugeVec> {
    registered(r, IntGaugeVec::new(Opts::new(name, help), labels)?)
}

fn histograms(
    r: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
    buckets: &[f64],
) -> prometheus::Result<HistogramVec> {
    registered(r, HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), labels)?)
}

/// Converts a count to a gauge value, saturating.
fn to_i64(count: impl TryInto<i64>) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}

/// Ends every series of a version of a model.
fn remove_series<T: MetricVecBuilder>(vec: &MetricVec<T>, model: &str, version: &str) {
    for family in vec.collect() {
        for metric in family.get_metric() {
            let labels: HashMap<&str, &str> =
                metric.get_label().iter().map(|label| (label.name(), label.value())).collect();
            if labels.get("model") == Some(&model) && labels.get("version") == Some(&version) {
                // An error means that the series has ended meanwhile.
                let _ = vec.remove(&labels);
            }
        }
    }
}
