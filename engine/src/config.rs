//! What the engine is told: defaults, under a TOML file, under `ONNWARD_*` environment variables, under flags.
//!
//! The raw keys become these checked types in one place, [`Config::load`]; every other module is handed
//! plain data that has passed every check.

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
use onnward_http::lifecycle::ShutdownConfig;
use onnward_http::settings::{HttpConfig, LimitsConfig};
use onnward_http::tls::TlsConfig;
use onnward_onnx::ModelBounds;
use onnward_quality::drift::DriftConfig;
use onnward_records::capture::CaptureConfig;
use onnward_records::ground_truth::OutcomesConfig;
use onnward_records::traces::TracingConfig;
use onnward_repository::RepositoryConfig;
use onnward_runtime::backend::BackendChoice;
use onnward_serving::batcher::BatchingConfig;
use onnward_serving::watcher::WatchConfig;
use onnward_telemetry::logging::LogConfig;
use onnward_telemetry::metrics::MetricsConfig;

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
    /// The shared library of ONNX Runtime; without one it is searched for.
    pub onnxruntime_library: Option<PathBuf>,
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

/// Where fetched models are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheConfig {
    /// The folder; without one, the user's cache folder for an object store, and none for a local folder.
    pub folder: Option<PathBuf>,
    /// How large it may become.
    pub max_bytes: u64,
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

/// What the command line sets; each value overrides every other source.
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
    let figment = layers.fold(Figment::from(Layer::defaults()?), Figment::merge);
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
