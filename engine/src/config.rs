//! What the engine is told: defaults, under a TOML file, under `ONNWARD_*` environment variables, under flags.
//!
//! The raw keys become these checked types in one place, [`Config::load`]; every other module is handed
//! plain data that has passed every check.

mod auth;
mod capture;
mod drift;
mod error;
mod layer;
mod limits;
mod log;
mod metrics;
mod models;
mod outcomes;
mod raw;
mod share;
mod tls;
mod tracing;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use figment::Figment;
use onnward_onnx::ModelBounds;
use onnward_repository::RepositoryConfig;

pub use self::tracing::TracingConfig;
pub use auth::{AuthConfig, Protected};
pub use capture::{CaptureConfig, CaptureRules};
pub use drift::DriftConfig;
pub use error::ConfigError;
use layer::Layer;
pub use limits::{LimitsConfig, Rate};
pub use log::{AccessLogConfig, LogConfig, LogFormat, LogLevel};
pub use metrics::MetricsConfig;
pub use outcomes::OutcomesConfig;
pub use raw::{BackendChoice, ErrorDetail};
pub use share::Share;
pub use tls::{TlsConfig, TlsVersion};

/// The checked configuration of `serve`.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The address to listen on.
    pub listen: SocketAddr,
    /// The model repository.
    pub repository: RepositoryConfig,
    /// The alias whose version is served where the model is not pinned.
    pub alias: String,
    /// The runtime that scores.
    pub backend: BackendChoice,
    /// The model that answers `POST /predict`; without one, the first by name.
    pub default_model: Option<String>,
    /// The models without which the engine is not ready.
    pub required_models: Vec<String>,
    /// How many versions of a model stay loaded.
    pub loaded_versions: usize,
    /// How often the repository is looked at.
    pub watch: WatchConfig,
    /// Where fetched models are kept.
    pub cache: CacheConfig,
    /// How large a model file and what is in it may be.
    pub models: ModelBounds,
    /// The files of the public keys of which one must have signed a version; empty: none need have.
    pub public_keys: Vec<PathBuf>,
    /// ONNX Runtime.
    pub onnxruntime: OnnxRuntimeConfig,
    /// The batching of requests.
    pub batching: BatchingConfig,
    /// The HTTP side.
    pub http: HttpConfig,
    /// The certificate with which the engine speaks TLS; `None`: it speaks plain HTTP.
    pub tls: Option<TlsConfig>,
    /// What one client may take from the others.
    pub limits: LimitsConfig,
    /// Who may call.
    pub auth: AuthConfig,
    /// The address of the admin routes; `None`: there are none.
    pub admin_listen: Option<SocketAddr>,
    /// The file of the audit log; without one it is in the log alone.
    pub audit_file: Option<PathBuf>,
    /// What is kept of predictions.
    pub outcomes: OutcomesConfig,
    /// How the engine stops.
    pub shutdown: ShutdownConfig,
    /// What is counted.
    pub metrics: MetricsConfig,
    /// The log.
    pub log: LogConfig,
    /// What is captured of predictions; `None`: nothing.
    pub capture: Option<CaptureConfig>,
    /// The comparison of live rows with the training rows; `None`: there is none.
    pub drift: Option<DriftConfig>,
    /// Where traces are sent; `None`: nowhere.
    pub tracing: Option<TracingConfig>,
}

/// How often the repository is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatchConfig {
    /// From one look to the next, give or take a fifth.
    pub interval: Duration,
    /// The longest wait after looks that failed.
    pub max_backoff: Duration,
}

/// Where fetched models are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheConfig {
    /// The folder; without one, the user's cache folder for an object store, and none for a local folder.
    pub folder: Option<PathBuf>,
    /// How large it may become.
    pub max_bytes: u64,
}

/// Where ONNX Runtime is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnnxRuntimeConfig {
    /// The shared library; without one, the system's search path is tried.
    pub library: Option<PathBuf>,
}

/// How requests become batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchingConfig {
    /// How many worker threads score, each with its own session; at least 1.
    pub workers: usize,
    /// How many rows a batch holds at most; without it, as many as pay, which is measured for each model.
    pub max_batch_rows: Option<usize>,
    /// How many rows may wait; more are refused.
    pub max_queue_rows: usize,
    /// How long a batch that is not full waits for more rows; zero does not wait.
    pub max_queue_delay: Duration,
}

/// What bounds a request, and what it leaves in the log.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpConfig {
    /// The largest body read, in bytes.
    pub max_body_bytes: usize,
    /// How many rows one request may hold.
    pub max_request_rows: usize,
    /// How long a request may take from its head to its answer.
    pub request_timeout: Duration,
    /// The origins whose pages may call the engine; empty: none. `*` stands for every origin.
    pub cors_origins: Vec<String>,
    /// How much an error tells whoever made the request.
    pub errors: ErrorDetail,
    /// Which requests leave a line in the log, and what it holds.
    pub access_log: AccessLogConfig,
}

/// Where the engine answers, and how it is spoken to there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addresses {
    /// Everybody's address.
    pub listen: SocketAddr,
    /// The address of the admin routes.
    pub admin_listen: Option<SocketAddr>,
    /// How the engine speaks TLS.
    pub tls: Option<TlsConfig>,
}

/// How the engine stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShutdownConfig {
    /// How long connections are still accepted after readiness has turned, so that balancers notice.
    pub grace: Duration,
    /// How long requests in flight may then take to end.
    pub drain_timeout: Duration,
}

/// What the command line sets; each value stands over every other source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flags {
    /// `--config`.
    pub config: Option<PathBuf>,
    /// `--repository`.
    pub repository: Option<String>,
    /// `--alias`.
    pub alias: Option<String>,
    /// `--listen`.
    pub listen: Option<String>,
    /// `--admin-listen`.
    pub admin_listen: Option<String>,
    /// `--backend`.
    pub backend: Option<BackendChoice>,
}

impl Config {
    /// Reads the configuration from its sources, each standing over the one before: defaults, the file that the flags
    /// name, the `ONNWARD_*` variables among `environment`, the flags.
    ///
    /// # Errors
    /// [`ConfigError`], which names the key, where its value came from and what is valid.
    pub fn load(
        flags: &Flags,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        from_layers(layers(flags, environment)?, raw::RawConfig::check)
    }

    /// The part of what [`Config::load`] reads from the same sources that says where the engine answers: what else is missing does
    /// not matter.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn load_addresses(
        flags: &Flags,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Addresses, ConfigError> {
        from_layers(layers(flags, environment)?, |raw| raw.where_it_answers())
    }
}

fn layers(
    flags: &Flags,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<impl Iterator<Item = Layer>, ConfigError> {
    let file = flags.config.as_deref().map(read_file).transpose()?;
    let variables = environment.into_iter().filter_map(|(name, value)| Layer::variable(&name, &value));
    Ok(file.into_iter().chain(variables).chain(flag_layers(flags)))
}

fn from_layers<T>(
    layers: impl Iterator<Item = Layer>,
    check: impl FnOnce(raw::RawConfig) -> Result<T, error::Invalid>,
) -> Result<T, ConfigError> {
    let figment = layers.fold(Figment::new(), Figment::merge);
    let raw = figment.extract().map_err(|error| ConfigError::from_figment(error, &figment))?;
    check(raw).map_err(|invalid| invalid.locate(&figment))
}

fn read_file(path: &Path) -> Result<Layer, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| ConfigError::Unreadable { path: path.to_owned(), error: error.to_string() })?;
    Layer::file(path, &text)
}

fn flag_layers(flags: &Flags) -> impl Iterator<Item = Layer> {
    let backend = flags.backend.map(|backend| backend.name().to_owned());
    let flags = [
        ("repository", flags.repository.clone()),
        ("alias", flags.alias.clone()),
        ("listen", flags.listen.clone()),
        ("admin.listen", flags.admin_listen.clone()),
        ("backend", backend),
    ];
    flags.into_iter().filter_map(|(key, value)| Some(Layer::flag(key, value?)))
}

#[cfg(test)]
mod tests;
