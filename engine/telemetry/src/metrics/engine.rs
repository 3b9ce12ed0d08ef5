use std::time::Duration;

use prometheus::{Gauge, IntGauge, IntGaugeVec, Registry};

use super::{Metrics, float_gauge, gauge, gauges, to_i64};

/// The state of the engine at a scrape.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EngineState {
    /// Whether it is ready for requests.
    pub is_ready: bool,
    /// The number of required models that are not served.
    pub missing_models: usize,
    /// Whether a default model is configured that is not served.
    pub is_default_missing: bool,
}

/// How full the cache of model files is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheState {
    /// The number of model files.
    pub artifacts: usize,
    /// Their size in bytes.
    pub bytes: u64,
    /// The maximum size in bytes.
    pub max_bytes: u64,
}

/// The gauges of the engine as a whole.
#[derive(Debug)]
pub struct EngineGauges {
    ready: IntGauge,
    missing_models: IntGauge,
    default_missing: IntGauge,
    poll_seconds: Gauge,
    config: IntGaugeVec,
    cache_files: IntGauge,
    cache_bytes: IntGauge,
    cache_max_bytes: IntGauge,
}

impl EngineGauges {
    pub fn new(r: &Registry) -> prometheus::Result<Self> {
        Ok(Self {
            ready: gauge(r, "onnward_ready", "Whether the engine is ready for requests: 0 or 1.")?,
            missing_models: gauge(
                r,
                "onnward_required_models_missing",
                "Required models that are not served.",
            )?,
            default_missing: gauge(
                r,
                "onnward_default_model_missing",
                "Whether the configured default model is not served: 0 or 1.",
            )?,
            poll_seconds: float_gauge(
                r,
                "onnward_repository_poll_seconds",
                "Duration of the last successful read of the model repository.",
            )?,
            config: gauges(
                r,
                "onnward_config_info",
                "Digest of the configuration, without secrets; the value is always 1.",
                &["digest"],
            )?,
            cache_files: gauge(r, "onnward_cache_files", "Model files in the cache.")?,
            cache_bytes: gauge(r, "onnward_cache_bytes", "Size of the model files in the cache.")?,
            cache_max_bytes: gauge(
                r,
                "onnward_cache_max_bytes",
                "Maximum size of the cache (cache.max_bytes); 0 for an engine without a cache.",
            )?,
        })
    }
}

impl Metrics {
    /// Sets the state of the engine.
    pub fn engine(&self, state: EngineState) {
        let EngineGauges { ready, missing_models, default_missing, .. } = &self.engine;
        ready.set(state.is_ready.into());
        missing_models.set(to_i64(state.missing_models));
        default_missing.set(state.is_default_missing.into());
    }

    /// Sets how full the cache of model files is.
    pub fn cache(&self, state: CacheState) {
        let EngineGauges { cache_files, cache_bytes, cache_max_bytes, .. } = &self.engine;
        cache_files.set(to_i64(state.artifacts));
        cache_bytes.set(i64::try_from(state.bytes).unwrap_or(i64::MAX));
        cache_max_bytes.set(i64::try_from(state.max_bytes).unwrap_or(i64::MAX));
    }

    /// Records the duration of a read of the model repository.
    pub fn repository_polled(&self, took: Duration) {
        self.engine.poll_seconds.set(took.as_secs_f64());
    }

    /// Sets the digest of the configuration.
    pub fn configuration(&self, digest: &str) {
        self.engine.config.reset();
        self.engine.config.with_label_values(&[digest]).set(1);
    }
}
