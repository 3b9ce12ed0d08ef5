use std::path::PathBuf;

use onnward_telemetry::metrics::MetricsConfig;
use serde::Deserialize;

use super::error::Invalid;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawMetrics {
    enabled: bool,
    risk_bands: Vec<f32>,
    certificates: Vec<PathBuf>,
}

/// The maximum number of edges. A dashboard with more bands is hard to read.
const MAX_EDGES: usize = 4;

impl RawMetrics {
    pub fn validate(self) -> Result<MetricsConfig, Invalid> {
        let Self { enabled, risk_bands, certificates } = self;
        let is_inside = risk_bands.iter().all(|edge| *edge > 0.0 && *edge < 1.0);
        let ascends = risk_bands.iter().zip(risk_bands.iter().skip(1)).all(|(lower, upper)| lower < upper);
        if risk_bands.is_empty() || risk_bands.len() > MAX_EDGES || !is_inside || !ascends {
            let problem = format!(
                "is {risk_bands:?}, but must list one to {MAX_EDGES} probabilities between 0 and 1, ascending, such as \
                 [0.3, 0.6]"
            );
            return Err(Invalid { key: "metrics.risk_bands", problem });
        }
        Ok(MetricsConfig { enabled, risk_bands, certificates })
    }
}
