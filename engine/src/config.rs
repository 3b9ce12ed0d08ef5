//! Configuration: defaults, overridden by a TOML file, `ONNWARD_*` environment variables, and flags.
//!
//! [`Config::load`] is the only place that validates the raw keys. All other modules receive validated, plain data.

mod auth;
mod capture;
mod drift;
mod error;
pub mod keys;
mod layer;
mod limits;
mod log;
mod metrics;
mod models;
mod outcomes;
mod raw;
mod tls;
mod tracing;
mod value;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

pub use auth::AuthConfig;
pub use error::ConfigError;
use figment::Figment;
use layer::Layer;
pub use models::ModelsConfig;
use onnward_http::lifecycle::ShutdownConfig;
use onnward_http::settings::{HttpConfig, LimitsConfig};
use onnward_http::tls::TlsConfig;
use onnward_quality::drift::DriftConfig;
use onnward_records::capture::CaptureConfig;
use onnward_records::ground_truth::OutcomesConfig;
use onnward_records::traces::TracingConfig;
use onnward_repository::RepositoryConfig;
use onnward_runtime::backend::BackendChoice;
use onnward_schemas::sha256_hex;
use onnward_serving::batcher::BatchingConfig;
use onnward_serving::watcher::WatchConfig;
use onnward_telemetry::logging::LogConfig;
use onnward_telemetry::metrics::MetricsConfig;

/// The environment variable that sets `onnxruntime.library`.
pub const ONNXRUNTIME_LIBRARY_VARIABLE: &str = "ONNWARD_ONNXRUNTIME__LIBRARY";

/// The validated configuration of `serve`.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The address to listen on.
    pub listen: SocketAddr,
    /// The model repository.
    pub repository: RepositoryConfig,
    /// The alias whose version is served unless the model is pinned.
    pub alias: String,
    /// Whether a model is served only if a pin or the alias names a version.
    pub required_alias: bool,
    /// The runtime that scores.
    pub backend: BackendChoice,
    /// The model that answers `POST /predict`; without one, the first by name.
    pub default_model: Option<String>,
    /// The models without which the engine is not ready.
    pub required_models: Vec<String>,
    /// The maximum number of loaded versions per model.
    pub loaded_versions: usize,
    /// The polling of the repository.
    pub watch: WatchConfig,
    /// The cache of fetched models.
    pub cache: CacheConfig,
    /// The limits of models.
    pub models: ModelsConfig,
    /// The files of the public keys, one of which must have signed each version. If empty, signatures are not required.
    pub public_keys: Vec<PathBuf>,
    /// The shared library of ONNX Runtime; by default it is searched for.
    pub onnxruntime_library: Option<PathBuf>,
    /// The batching of requests.
    pub batching: BatchingConfig,
    /// The HTTP routes.
    pub http: HttpConfig,
    /// TLS; `None` means plain HTTP.
    pub tls: Option<TlsConfig>,
    /// The limits of connections, requests and clients.
    pub limits: LimitsConfig,
    /// Authentication and authorization.
    pub auth: AuthConfig,
    /// The address of the admin routes; `None` disables them.
    pub admin_listen: Option<SocketAddr>,
    /// The file of the audit log; without one, audit records are only in the log.
    pub audit_file: Option<PathBuf>,
    /// The store of predictions and their outcomes.
    pub outcomes: OutcomesConfig,
    /// The phases of the shutdown.
    pub shutdown: ShutdownConfig,
    /// The metrics.
    pub metrics: MetricsConfig,
    /// The log.
    pub log: LogConfig,
    /// Capture; `None` disables it.
    pub capture: Option<CaptureConfig>,
    /// Drift detection; `None` disables it.
    pub drift: Option<DriftConfig>,
    /// Trace export; `None` disables it.
    pub tracing: Option<TracingConfig>,
}

/// The cache of fetched models.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheConfig {
    /// The folder; without one, the user's cache folder for an object store, and none for a local folder.
    pub folder: Option<PathBuf>,
    /// The maximum size.
    pub max_bytes: u64,
}

/// The engine's addresses and TLS settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addresses {
    /// The public address.
    pub listen: SocketAddr,
    /// The address of the admin routes.
    pub admin_listen: Option<SocketAddr>,
    /// TLS; `None` means plain HTTP.
    pub tls: Option<TlsConfig>,
}

/// The command-line flags. They override all other sources.
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
    /// Loads the configuration. Later sources override earlier ones: the defaults, the file that the flags
    /// name, the `ONNWARD_*` variables in `environment`, the flags.
    ///
    /// # Errors
    /// [`ConfigError`], which names the key, the source of its value and what is valid.
    ///
    /// ```
    /// use onnward_engine::config::{Config, Flags};
    ///
    /// let flags = Flags { repository: Some("model-repository".to_owned()), ..Flags::default() };
    /// let variable = |name: &str, value: &str| [(name.to_owned(), value.to_owned())];
    ///
    /// let config = Config::load(&flags, variable("ONNWARD_BATCHING__WORKERS", "2"))?;
    /// assert_eq!((config.alias.as_str(), config.batching.workers), ("champion", 2));
    ///
    /// let refused = Config::load(&flags, variable("ONNWARD_BATCHING__WORKERS", "many")).unwrap_err();
    /// assert!(refused.to_string().starts_with("`batching.workers` (environment variable"));
    /// # Ok::<(), onnward_engine::config::ConfigError>(())
    /// ```
    pub fn load(
        flags: &Flags,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        from_layers(layers(flags, environment)?, raw::RawConfig::validate)
    }

    /// Returns the beginning of a digest of all settings but secrets: engines with the same have the same settings.
    pub fn digest(&self) -> String {
        const CHARS: usize = 12;
        let mut digest = sha256_hex(format!("{self:?}").as_bytes());
        digest.truncate(CHARS);
        digest
    }

    /// Loads only the engine's addresses from the same sources as [`Config::load`], ignoring other missing
    /// keys.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn load_addresses(
        flags: &Flags,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Addresses, ConfigError> {
        from_layers(layers(flags, environment)?, |raw| raw.listen_addresses())
    }

    /// Loads only `onnxruntime.library`, from [`ONNXRUNTIME_LIBRARY_VARIABLE`] in `environment`. All other
    /// variables are ignored: they are meant for `serve`, or for another program.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn load_onnxruntime_library(
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Option<PathBuf>, ConfigError> {
        let library = environment.into_iter().filter(|(name, _)| name == ONNXRUNTIME_LIBRARY_VARIABLE);
        from_layers(layers(&Flags::default(), library)?, |raw| Ok(raw.onnxruntime_library()))
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
    validate: impl FnOnce(raw::RawConfig) -> Result<T, error::Invalid>,
) -> Result<T, ConfigError> {
    let figment = layers.fold(Figment::from(Layer::defaults()?), Figment::merge);
    let raw = figment.extract().map_err(|error| ConfigError::from_figment(error, &figment))?;
    validate(raw).map_err(|invalid| invalid.with_source(&figment))
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
