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

/// What keeps or sends something of requests beyond their answer, each where it is configured.
pub struct Records {
    /// Captures a share of the predictions.
    pub capture: Option<Arc<Capture>>,
    /// Keeps predictions for their outcomes.
    pub outcomes: Option<Arc<GroundTruthStore>>,
    /// Sends traces.
    pub traces: Option<Arc<Traces>>,
}

/// How long the end waits for what is still to be written elsewhere.
const LAST_WRITES: Duration = Duration::from_secs(3);

impl Records {
    /// Starts what is configured.
    ///
    /// # Errors
    /// [`AppError`]: a place cannot be written, or a collector not be spoken to.
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

    /// Writes and sends what is left, for a while; where the end is forced, only what is written at once.
    pub async fn finish(self, ending: Ending) {
        let Self { capture, outcomes, traces } = self;
        if ending != Ending::Forced {
            let capturing = spawn_blocking(move || capture.map(|capture| capture.finish(LAST_WRITES)));
            let tracing = spawn_blocking(move || traces.map(|traces| traces.finish(LAST_WRITES)));
            // They can only fail if they panic, which the log has told.
            let _ = tokio::join!(capturing, tracing);
        }
        if let Some(outcomes) = outcomes {
            outcomes.stop();
        }
    }
}
