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
mod open_telemetry;
mod outcomes;
mod raw;
mod tls;
mod tracing;
mod units;
mod value;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

pub use auth::AuthConfig;
pub use error::ConfigError;
use figment::Figment;
use figment::value::{Dict, Value};
use layer::Layer;
pub use models::ModelsConfig;
use onnward_http::lifecycle::ShutdownConfig;
use onnward_http::settings::{AccessLogConfig, HttpConfig, LimitsConfig};
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
use open_telemetry::OpenTelemetry;

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
    /// The maximum number of threads that run batches of all models.
    pub batch_threads: NonZeroUsize,
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
    /// What the sources say that is not done, in sentences.
    pub warnings: Vec<String>,
    /// The values of all keys, for comparisons.
    pub values: KeyValues,
}

/// The values of all keys. They may be secret, so they are never shown.
#[derive(Clone, Default, PartialEq)]
pub struct KeyValues(BTreeMap<String, String>);

impl fmt::Debug for KeyValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyValues")
    }
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
        let environment: Vec<_> = environment.into_iter().collect();
        let variables = environment.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let OpenTelemetry { layers: standard, disabled_by, mut warnings } = OpenTelemetry::read(variables);
        let own = layers(flags, environment.iter().cloned())?;
        let figment = merge(standard.into_iter().chain(own))?;
        let mut config = extract(&figment, raw::RawConfig::validate)?;
        if let Some(variable) = disabled_by.filter(|_| config.tracing.is_some()) {
            config.tracing = None;
            warnings.push(format!("no traces are sent: {variable} switches them off"));
        }
        let values = figment.extract::<Dict>().unwrap_or_default();
        config.values = KeyValues(flatten("", values).into_iter().collect());
        Ok(Self { warnings, ..config })
    }

    /// Returns the keys that have other values in another configuration, sorted.
    ///
    /// ```
    /// use onnward_engine::config::{Config, Flags};
    ///
    /// let flags = Flags { repository: Some("model-repository".to_owned()), ..Flags::default() };
    /// let with = |level: &str| Config::load(&flags, [("ONNWARD_LOG__LEVEL".to_owned(), level.to_owned())]);
    /// let (info, debug) = (with("info")?, with("debug")?);
    /// assert_eq!(info.changed_keys(&debug), ["log.level"]);
    /// assert_eq!(info.reloaded(&debug).changed_keys(&debug), Vec::<String>::new());
    /// # Ok::<(), onnward_engine::config::ConfigError>(())
    /// ```
    pub fn changed_keys(&self, other: &Self) -> Vec<String> {
        let (KeyValues(values), KeyValues(others)) = (&self.values, &other.values);
        let keys = values.keys().chain(others.keys());
        let mut changed: Vec<String> =
            keys.filter(|key| values.get(*key) != others.get(*key)).cloned().collect();
        changed.sort_unstable();
        changed.dedup();
        changed
    }

    /// Returns this configuration with the values of `new` for the keys that a running engine can change.
    pub fn reloaded(&self, new: &Self) -> Self {
        let access_log = AccessLogConfig { values: self.http.access_log.values, ..new.http.access_log };
        let KeyValues(values) = &new.values;
        let is_reloadable = |key: &str| keys::find(key).is_some_and(|key| key.is_reloadable);
        let kept = self.values.0.iter().filter(|(key, _)| !is_reloadable(key));
        let changed = values.iter().filter(|(key, _)| is_reloadable(key));
        let values = kept.chain(changed).map(|(key, value)| (key.clone(), value.clone())).collect();
        Self {
            default_model: new.default_model.clone(),
            required_models: new.required_models.clone(),
            required_alias: new.required_alias,
            loaded_versions: new.loaded_versions,
            watch: new.watch,
            models: ModelsConfig { names: new.models.names.clone(), ..self.models.clone() },
            log: LogConfig { level: new.log.level, ..self.log },
            http: HttpConfig { access_log, ..self.http.clone() },
            values: KeyValues(values),
            ..self.clone()
        }
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
        extract(&merge(layers(flags, environment)?)?, |raw| raw.listen_addresses())
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
        extract(&merge(layers(&Flags::default(), library)?)?, |raw| Ok(raw.onnxruntime_library()))
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

/// Merges layers over the defaults. Later ones override earlier ones.
fn merge(layers: impl Iterator<Item = Layer>) -> Result<Figment, ConfigError> {
    Ok(layers.fold(Figment::from(Layer::defaults()?), Figment::merge))
}

fn extract<T>(
    figment: &Figment,
    validate: impl FnOnce(raw::RawConfig) -> Result<T, error::Invalid>,
) -> Result<T, ConfigError> {
    let raw = figment.extract().map_err(|error| ConfigError::from_figment(error, figment))?;
    validate(raw).map_err(|invalid| invalid.with_source(figment))
}

/// Returns every value of a table with its full key.
fn flatten(table: &str, values: Dict) -> Vec<(String, String)> {
    let with_key = |(name, value): (String, Value)| {
        let key = keys::full_name(table, &name);
        match value {
            Value::Dict(_, values) => flatten(&key, values),
            value => vec![(key, format!("{value:?}"))],
        }
    };
    values.into_iter().flat_map(with_key).collect()
}

fn read_file(path: &Path) -> Result<Layer, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| ConfigError::Unreadable { path: path.to_owned(), error: error.to_string() })?;
    let layer = Layer::file(path, &text)?;
    // A pipe, such as `<(…)` of a shell, has no folder that its writer knows.
    let folder = path.parent().filter(|folder| path.is_file() && !folder.as_os_str().is_empty());
    Ok(match folder {
        Some(folder) => layer.relative_to(folder),
        None => layer,
    })
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
