//! What SIGHUP does: the configuration is read again, what can change while the engine runs does, and the model
//! repository is polled.

use std::sync::Arc;
use std::time::Duration;

use onnward_http::HttpState;
use onnward_serving::registry::Registry;
use onnward_serving::reload::Reloader;
use onnward_serving::watcher::WatcherContext;
use onnward_telemetry::logging::LogFilter;
use onnward_telemetry::metrics::Metrics;
use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::watch_settings;
use crate::config::{Config, ConfigError, keys};

/// The time in which the configuration must be read.
const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// The parts of a running engine that follow a changed configuration.
pub struct RunningParts {
    /// The log's filter; `None` if the log is not the engine's.
    pub log: Option<LogFilter>,
    pub registry: Arc<Registry>,
    pub context: Arc<WatcherContext>,
    pub http: HttpState,
    pub metrics: Arc<Metrics>,
    pub reloader: Reloader,
}

impl RunningParts {
    /// Follows the configuration from now on: each time that it is `notified`, `load` reads it again.
    pub async fn follow(
        self,
        mut running: Config,
        load: impl Fn() -> Result<Config, ConfigError> + Send + Sync + 'static,
        notified: Arc<Notify>,
    ) {
        let load = Arc::new(load);
        loop {
            notified.notified().await;
            // A file may be a pipe, or on a network that does not answer.
            let load = Arc::clone(&load);
            let reading = timeout(READ_TIMEOUT, spawn_blocking(move || load())).await;
            match reading {
                Ok(Ok(loaded)) => running = self.hang_up(running, loaded).await,
                Ok(Err(_)) | Err(_) => tracing::error!(
                    signal = "SIGHUP",
                    "the configuration cannot be read in time, so nothing is changed: is its file a pipe?"
                ),
            }
        }
    }

    /// Follows a configuration that was read again, as far as a running engine can. Returns what is in effect then.
    /// Keys and certificates are read again by themselves.
    async fn hang_up(&self, running: Config, loaded: Result<Config, ConfigError>) -> Config {
        let running = match loaded {
            Ok(new) => self.apply(running, &new),
            Err(error) => {
                tracing::error!(
                    signal = "SIGHUP",
                    %error,
                    "the configuration is not valid any more, so nothing is changed, and a restart would fail"
                );
                running
            }
        };
        // The watcher logs failures.
        let _ = self.reloader.reload().await;
        running
    }

    fn apply(&self, running: Config, new: &Config) -> Config {
        let changed = running.changed_keys(new);
        if changed.is_empty() {
            tracing::info!(signal = "SIGHUP", "the configuration has not changed");
            return running;
        }
        let is_reloadable = |key: &String| keys::find(key).is_some_and(|key| key.is_reloadable);
        let (applied, remaining): (Vec<_>, Vec<_>) = changed.into_iter().partition(is_reloadable);
        let running = running.reloaded(new);
        if let Some(log) = &self.log {
            log.set_level(running.log.level);
        }
        self.registry.select(running.default_model.clone(), running.required_models.clone());
        self.context.settings.store(Arc::new(watch_settings(&running)));
        self.http.apply_access_log(running.http.access_log);
        self.metrics.configuration(&running.digest());
        for warning in &new.warnings {
            tracing::warn!(problem = warning, "the configuration");
        }
        let join = |keys: &[String]| Some(keys.join(", ")).filter(|keys| !keys.is_empty());
        let (applied, needs_restart) = (join(&applied), join(&remaining));
        if needs_restart.is_none() {
            tracing::info!(signal = "SIGHUP", applied, "the changed configuration is applied");
        } else {
            tracing::warn!(
                signal = "SIGHUP",
                applied,
                needs_restart,
                "the configuration has changed, and some of it needs a restart of the engine"
            );
        }
        running
    }
}
