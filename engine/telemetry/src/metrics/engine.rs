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

/// The gauges of the engine as a whole.
#[derive(Debug)]
pub struct EngineGauges {
    ready: IntGauge,
    missing_models: IntGauge,
    default_missing: IntGauge,
    poll_seconds: Gauge,
    config: IntGaugeVec,
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
