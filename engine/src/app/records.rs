use std::sync::Arc;
use std::time::Duration;

use onnward_http::lifecycle::Ending;
use onnward_records::capture::Capture;
use onnward_records::ground_truth::GroundTruthStore;
use onnward_records::traces::Traces;
use onnward_serving::registry::Registry;
use onnward_telemetry::metrics::Metrics;
use tokio::task::spawn_blocking;

use super::AppError;
use crate::config::Config;

/// The configured parts that store or send data about requests beyond the response.
pub struct Records {
    /// Captures a share of the predictions.
    pub capture: Option<Arc<Capture>>,
    /// Stores predictions until their outcomes arrive.
    pub outcomes: Option<Arc<GroundTruthStore>>,
    /// Sends traces.
    pub traces: Option<Arc<Traces>>,
}

/// The time that the shutdown waits for pending writes.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(3);

impl Records {
    /// Starts the configured parts.
    ///
    /// # Errors
    /// [`AppError`] if a destination cannot be written or a collector cannot be used.
    pub fn start(
        config: &Config,
        registry: &Arc<Registry>,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, AppError> {
        let capture = config.capture.clone();
        let capture = capture.map(|config| Capture::start(config, Arc::clone(registry), Arc::clone(metrics)));
        Ok(Self {
            capture: capture.transpose()?.map(Arc::new),
            outcomes: GroundTruthStore::start(&config.outcomes, Arc::clone(metrics))?.map(Arc::new),
            traces: config.tracing.as_ref().map(Traces::start).transpose()?.map(Arc::new),
        })
    }

    /// Flushes what is pending within a time limit. A forced shutdown flushes only what can be written
    /// immediately.
    pub async fn finish(self, ending: Ending) {
        let Self { capture, outcomes, traces } = self;
        if ending != Ending::Forced {
            let capturing = spawn_blocking(move || capture.map(|capture| capture.finish(SHUTDOWN_TIMEOUT)));
            let tracing = spawn_blocking(move || traces.map(|traces| traces.finish(SHUTDOWN_TIMEOUT)));
            // They can only fail by a panic, which is logged.
            let _ = tokio::join!(capturing, tracing);
        }
        if let Some(outcomes) = outcomes {
            outcomes.stop();
        }
    }
}
