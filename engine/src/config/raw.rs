//! The keys as they are deserialized. [`RawConfig::validate`] converts them into the configuration.

use std::net::{SocketAddr, ToSocketAddrs};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::thread::available_parallelism;

use onnward_http::lifecycle::ShutdownConfig;
use onnward_http::settings::{AccessLogConfig, AllowedHosts, ErrorDetail, HttpConfig};
use onnward_repository::{RepositoryConfig, S3Config};
use onnward_runtime::backend::BackendChoice;
use onnward_schemas::layout::is_model_name;
use onnward_serving::batcher::BatchingConfig;
use onnward_serving::watcher::WatchConfig;
use serde::Deserialize;

use super::auth::{AuthConfig, RawAuth};
use super::capture::RawCapture;
use super::drift::RawDrift;
use super::error::Invalid;
use super::limits::RawLimits;
use super::log::RawLog;
use super::metrics::RawMetrics;
use super::models::RawModels;
use super::outcomes::RawOutcomes;
use super::tls::RawTls;
use super::tracing::RawTracing;
use super::value::{count, duration, within};
use super::{Addresses, CacheConfig, Config, KeyValues};

/// The number of threads that run batches, for each core.
const THREADS_PER_CORE: usize = 4;
/// Their least number: so many models may be slow at once without delaying others.
const MIN_THREADS: usize = 32;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawConfig {
    listen: String,
    repository: Option<String>,
    alias: String,
    required_alias: bool,
    s3: S3Config,
    backend: BackendChoice,
    default_model: Option<String>,
    required_models: Vec<String>,
    loaded_versions: u64,
    watch: RawWatch,
    store: RawStore,
    cache: RawCache,
    models: RawModels,
    signing: RawSigning,
    onnxruntime: RawOnnxRuntime,
    batching: RawBatching,
    http: RawHttp,
    tls: RawTls,
    limits: RawLimits,
    auth: RawAuth,
    admin: RawAdmin,
    outcomes: RawOutcomes,
    shutdown: RawShutdown,
    metrics: RawMetrics,
    log: RawLog,
    capture: RawCapture,
    drift: RawDrift,
    tracing: RawTracing,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawWatch {
    interval_ms: u64,
    max_backoff_ms: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStore {
    timeout_ms: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCache {
    folder: Option<PathBuf>,
    max_bytes: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSigning {
    public_keys: Vec<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawOnnxRuntime {
    library: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawBatching {
    workers: u64,
    threads: u64,
    max_batch_rows: Option<u64>,
    max_queue_rows: u64,
    max_queue_delay_ms: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawHttp {
    max_body_bytes: u64,
    max_request_rows: u64,
    request_timeout_ms: u64,
    cors_origins: Vec<String>,
    allowed_hosts: Vec<String>,
    errors: ErrorDetail,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAdmin {
    listen: Option<String>,
    audit_file: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawShutdown {
    grace_ms: u64,
    drain_timeout_ms: u64,
}

impl RawConfig {
    /// Returns the engine's addresses.
    pub fn listen_addresses(&self) -> Result<Addresses, Invalid> {
        let (listen, admin_listen) = self.addresses()?;
        Ok(Addresses { listen, admin_listen, tls: self.tls.clone().validate()? })
    }

    /// Returns the shared library of ONNX Runtime, if set.
    pub fn onnxruntime_library(self) -> Option<PathBuf> {
        self.onnxruntime.library
    }

    /// Parses the public address and the admin address, if set.
    fn addresses(&self) -> Result<(SocketAddr, Option<SocketAddr>), Invalid> {
        let admin = self.admin.listen.as_deref().filter(|text| !text.is_empty());
        let admin = admin.map(|text| parse_address("admin.listen", text, "127.0.0.1:8001")).transpose()?;
        Ok((parse_address("listen", &self.listen, "127.0.0.1:8000")?, admin))
    }

    /// Validates the keys.
    pub fn validate(self) -> Result<Config, Invalid> {
        let (listen, admin_listen) = self.addresses()?;
        let repository = self.repository.filter(|path| !path.trim().is_empty()).ok_or_else(|| Invalid {
            key: "repository",
            problem: "is not set: set the model repository with --repository URL, ONNWARD_REPOSITORY or \
                      `repository` in the configuration file"
                .to_owned(),
        })?;
        let default_model = self.default_model.iter().map(|name| ("default_model", name));
        let required_models = self.required_models.iter().map(|name| ("required_models", name));
        for (key, name) in default_model.chain(required_models).chain([("alias", &self.alias)]) {
            check_name(key, name)?;
        }
        let (log, access_log) = self.log.validate()?;
        let store_timeout = duration("store.timeout_ms", self.store.timeout_ms)?;
        let capture = self.capture.validate(&self.s3, store_timeout)?;
        let auth = self.auth.validate(listen, admin_listen)?;
        let allowed_hosts = self.http.allowed_hosts(&auth, listen)?;
        let admin_allowed_hosts = self.http.allowed_hosts(&auth, admin_listen.unwrap_or(listen))?;
        Ok(Config {
            listen,
            admin_listen,
            audit_file: self.admin.audit_file.filter(|path| !path.as_os_str().is_empty()),
            auth,
            tls: self.tls.validate()?,
            limits: self.limits.validate()?,
            repository: RepositoryConfig { location: repository, s3: self.s3, timeout: store_timeout },
            alias: self.alias,
            required_alias: self.required_alias,
            backend: self.backend,
            default_model: self.default_model,
            required_models: self.required_models,
            loaded_versions: count("loaded_versions", self.loaded_versions)?,
            watch: WatchConfig {
                interval: duration("watch.interval_ms", self.watch.interval_ms)?,
                max_backoff: duration("watch.max_backoff_ms", self.watch.max_backoff_ms)?,
            },
            cache: CacheConfig {
                folder: self.cache.folder,
                max_bytes: within("cache.max_bytes", self.cache.max_bytes)?,
            },
            models: self.models.validate()?,
            public_keys: self.signing.public_keys,
            onnxruntime_library: self.onnxruntime.library,
            batch_threads: self.batching.threads()?,
            batching: self.batching.validate()?,
            http: self.http.validate(access_log, allowed_hosts, admin_allowed_hosts)?,
            outcomes: self.outcomes.validate()?,
            shutdown: self.shutdown.validate()?,
            metrics: self.metrics.validate()?,
            log,
            capture,
            drift: self.drift.validate()?,
            tracing: self.tracing.validate()?,
            warnings: Vec::new(),
            values: KeyValues::default(),
        })
    }
}

impl RawBatching {
    fn threads(&self) -> Result<NonZeroUsize, Invalid> {
        let by_cores = || available_parallelism().map_or(1, usize::from).saturating_mul(THREADS_PER_CORE);
        let threads = match count("batching.threads", self.threads)? {
            0 => by_cores().max(MIN_THREADS),
            threads => threads,
        };
        Ok(NonZeroUsize::new(threads).unwrap_or(NonZeroUsize::MIN))
    }

    fn validate(self) -> Result<BatchingConfig, Invalid> {
        let workers = match count("batching.workers", self.workers)? {
            // Respects the CPU quota of the control group.
            0 => available_parallelism().map_or(1, usize::from),
            workers => workers,
        };
        Ok(BatchingConfig {
            workers,
            max_batch_rows: self
                .max_batch_rows
                .map(|rows| count("batching.max_batch_rows", rows))
                .transpose()?,
            max_queue_rows: count("batching.max_queue_rows", self.max_queue_rows)?,
            max_queue_delay: duration("batching.max_queue_delay_ms", self.max_queue_delay_ms)?,
        })
    }
}

impl RawHttp {
    /// Returns the hosts under which an address is served. Without keys, a page of another site must not reach
    /// a loopback address by a name of its own.
    fn allowed_hosts(&self, auth: &AuthConfig, address: SocketAddr) -> Result<AllowedHosts, Invalid> {
        if let Some(bad) =
            self.allowed_hosts.iter().find(|host| *host != "*" && !AllowedHosts::is_pattern(host))
        {
            let problem = format!(
                "has \"{bad}\", but must list hosts such as api.example.org, *.example.org or \
                 api.example.org:8443, or \"*\""
            );
            return Err(Invalid { key: "http.allowed_hosts", problem });
        }
        Ok(match self.allowed_hosts.as_slice() {
            [] if !auth.authenticates() && address.ip().is_loopback() => AllowedHosts::Loopback,
            [] => AllowedHosts::Any,
            hosts if hosts.iter().any(|host| host == "*") => AllowedHosts::Any,
            hosts => AllowedHosts::Listed(hosts.to_vec()),
        })
    }

    fn validate(
        self,
        access_log: AccessLogConfig,
        allowed_hosts: AllowedHosts,
        admin_allowed_hosts: AllowedHosts,
    ) -> Result<HttpConfig, Invalid> {
        for origin in &self.cors_origins {
            if origin != "*" && !is_origin(origin) {
                let problem = format!(
                    "has \"{origin}\", but must list origins such as https://example.org:8443, or \"*\""
                );
                return Err(Invalid { key: "http.cors_origins", problem });
            }
        }
        Ok(HttpConfig {
            max_body_bytes: count("http.max_body_bytes", self.max_body_bytes)?,
            max_request_rows: count("http.max_request_rows", self.max_request_rows)?,
            request_timeout: duration("http.request_timeout_ms", self.request_timeout_ms)?,
            cors_origins: self.cors_origins,
            allowed_hosts,
            admin_allowed_hosts,
            errors: self.errors,
            access_log,
        })
    }
}

impl RawShutdown {
    fn validate(self) -> Result<ShutdownConfig, Invalid> {
        Ok(ShutdownConfig {
            grace: duration("shutdown.grace_ms", self.grace_ms)?,
            drain_timeout: duration("shutdown.drain_timeout_ms", self.drain_timeout_ms)?,
        })
    }
}

fn parse_address(key: &'static str, text: &str, example: &str) -> Result<SocketAddr, Invalid> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let problem = format!("is \"{text}\", but must be an address and a port, such as {example}");
    // A name has a host and a port. Looking up anything else would take time.
    let is_name =
        text.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    if !is_name {
        return Err(Invalid { key, problem });
    }
    let known = text.to_socket_addrs().map_err(|error| Invalid {
        key,
        problem: format!("is \"{text}\", and that name has no address: {error}"),
    })?;
    // `localhost` may have both, and clients ask the IPv4 one first if in doubt.
    known.min_by_key(SocketAddr::is_ipv6).ok_or(Invalid { key, problem })
}

fn check_name(key: &'static str, name: &str) -> Result<(), Invalid> {
    if is_model_name(name) {
        return Ok(());
    }
    let problem = format!(
        "is \"{name}\", but a name has 1 to 64 of a-z, 0-9, `-`, `_` and `.`, a letter or digit first"
    );
    Err(Invalid { key, problem })
}

/// Returns whether a text is an origin as browsers write it: scheme, host and optional port, in visible
/// lower-case ASCII without a path.
fn is_origin(text: &str) -> bool {
    let Some((scheme, host)) = text.split_once("://") else { return false };
    let plain = |c: char| c.is_ascii_graphic() && !c.is_ascii_uppercase() && !"/?#@,*\"\\".contains(c);
    matches!(scheme, "http" | "https") && !host.is_empty() && host.chars().all(plain)
}
