//! The startup and shutdown of `serve`, which wires all parts together.

mod hang_up;
mod listeners;
mod records;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use onnward_http::auth::{AuthError, Authenticator};
use onnward_http::lifecycle::{Ending, Lifecycle, catch_signals, conduct};
use onnward_http::tls::{ServerTls, TlsError};
use onnward_http::{HttpParts, HttpState};
use onnward_records::capture::CaptureError;
use onnward_records::ground_truth;
use onnward_records::traces::TracesError;
use onnward_repository::{Cache, Fetcher, Repository, RepositoryError, SignatureError, TrustedKeys};
use onnward_runtime::Verifier;
use onnward_runtime::backend::{Backend, LibraryError, load_backends};
use onnward_runtime::isolation::Isolation;
use onnward_runtime::memory::MemoryBudget;
use onnward_runtime::threads::RuntimeThreads;
use onnward_serving::batcher::Workers;
use onnward_serving::loader::Loader;
use onnward_serving::registry::Registry;
use onnward_serving::reload;
use onnward_serving::watcher;
use onnward_telemetry::audit::{Audit, AuditError};
use onnward_telemetry::logging::{self, LogFilter};
use onnward_telemetry::metrics::{Metrics, MetricsConfig, MetricsError};
use thiserror::Error;
use tokio::sync::{Mutex, Notify, Semaphore};

use self::hang_up::RunningParts;
use self::listeners::Listeners;
use self::records::Records;
use crate::cli::ISOLATED_MODEL;
use crate::config::{CacheConfig, Config, ConfigError};

/// An error that keeps the engine from serving.
#[derive(Debug, Error)]
pub enum AppError {
    /// The runtime's threads or the signal handlers cannot be created.
    #[error("the process cannot be set up: {0}")]
    Setup(#[source] io::Error),
    /// The metrics contradict each other.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// The model repository cannot be opened.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// A public key cannot be read.
    #[error(transparent)]
    Keys(#[from] SignatureError),
    /// API keys or the keys of tokens cannot be used.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// The audit log cannot be written.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Predictions cannot be captured.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// The store of predictions cannot be opened.
    #[error(transparent)]
    Outcomes(#[from] ground_truth::StartError),
    /// Traces cannot be sent.
    #[error(transparent)]
    Traces(#[from] TracesError),
    /// ONNX Runtime is configured and cannot be loaded.
    #[error("backend = \"onnxruntime\" cannot be used: {0}")]
    OnnxRuntime(#[source] LibraryError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {}", bind_advice(.key, .error))]
    Bind {
        /// The key that names the address.
        key: &'static str,
        /// The configured address.
        address: SocketAddr,
        /// The system's error.
        error: io::Error,
    },
    /// A second signal arrived before the requests in flight ended.
    #[error("forced to exit by a second signal")]
    Forced,
}

/// Checks what a configuration names, without serving: files of keys and certificates, the runtime's library, and
/// whether the model repository can be opened.
///
/// # Errors
/// [`AppError`], as [`serve`] would return it.
pub fn check(config: &Config) -> Result<(), AppError> {
    Opened::open(config)?;
    config.tls.clone().map(ServerTls::open).transpose()?;
    Ok(())
}

/// What a start opens first.
struct Opened {
    repository: Repository,
    keys: TrustedKeys,
    auth: Option<Authenticator>,
    backends: Vec<Arc<dyn Backend>>,
}

impl Opened {
    fn open(config: &Config) -> Result<Self, AppError> {
        let repository = Repository::open(&config.repository)?;
        let keys = TrustedKeys::read(&config.public_keys)?;
        onnward_repository::prepare_tls();
        let auth = Authenticator::open(config.auth.keys_file.as_deref(), config.auth.jwt.clone())?;
        let library = config.onnxruntime_library.as_deref();
        let backends = load_backends(config.backend, library).map_err(AppError::OnnxRuntime)?;
        Ok(Self { repository, keys, auth, backends })
    }
}

/// Serves until a signal stops the process. On SIGHUP, `load_config` reads the configuration again, and what can
/// change does.
///
/// # Errors
/// [`AppError`] if the engine cannot start or is forced to exit.
pub fn serve(
    config: Config,
    load_config: impl Fn() -> Result<Config, ConfigError> + Send + Sync + 'static,
) -> Result<(), AppError> {
    let log = logging::init(config.log).map_err(AppError::Setup)?;
    for warning in &config.warnings {
        tracing::warn!(problem = warning, "the configuration");
    }
    if config.http.access_log.values {
        tracing::warn!(
            "log.values is on: the values in requests, including customers' data, are logged at level debug; \
             use it for development only"
        );
    }
    let runtime = runtime().map_err(AppError::Setup)?;
    let registry = Arc::new(Registry::new(config.default_model.clone(), config.required_models.clone()));
    let threads = RuntimeThreads::default();
    let shared = (log.filter(), Arc::clone(&registry), threads.clone());
    let result = runtime.block_on(run(config, load_config, shared));
    // Interrupted requests must not delay the exit, and no session may run while the runtimes' libraries are unloaded.
    runtime.shutdown_background();
    for entry in registry.entries().values() {
        for model in entry.loaded_versions().into_iter().filter_map(|version| entry.version(version)) {
            model.batcher.stop();
        }
    }
    if !threads.wait_until_idle(RUNTIME_SHUTDOWN_TIMEOUT) {
        tracing::warn!("shutdown did not wait for a model that is still running or loading");
    }
    result
}

/// The maximum number of ready sockets that a thread takes per poll.
const EVENTS_PER_TICK: usize = 64;
/// The number of task polls after which a thread polls for ready sockets although it has tasks left. By then it has
/// finished the tasks of the last ones, since a request takes two or three polls.
const EVENT_INTERVAL: u32 = 256;

/// The maximum number of threads for work that blocks: files, compression, large bodies. Each of them is bounded too.
const MAX_BLOCKING_THREADS: usize = 128;

/// Builds the Tokio runtime. By default a thread takes up to 1,024 ready sockets at once, but its own queue
/// holds only 256 tasks. The others go to a shared queue that it seldom reads, so with a thousand busy
/// connections some wait ten times as long as most. With these settings waiting sockets stay in the kernel,
/// which hands them out in turn.
fn runtime() -> io::Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.max_io_events_per_tick(EVENTS_PER_TICK).event_interval(EVENT_INTERVAL);
    builder.max_blocking_threads(MAX_BLOCKING_THREADS).enable_all().build()
}

/// The interval at which API keys and certificates are re-read. A removed key is accepted for up to this long.
const RELOAD_INTERVAL: Duration = Duration::from_secs(2);

/// The time that the shutdown waits for a model that is running or loading.
const RUNTIME_SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// The time that a batch may take in a process of its own.
const ISOLATED_SCORE_TIMEOUT: Duration = Duration::from_secs(10);

/// The number of versions that are fetched and verified at once.
const MAX_FETCHES: usize = 8;

async fn run(
    config: Config,
    load_config: impl Fn() -> Result<Config, ConfigError> + Send + Sync + 'static,
    (log, registry, threads): (Option<LogFilter>, Arc<Registry>, RuntimeThreads),
) -> Result<(), AppError> {
    let (reloader, reload_requests) = reload::channel();
    let hung_up = Arc::new(Notify::new());
    let hang_up = Arc::clone(&hung_up);
    let signals = catch_signals(move || hang_up.notify_one()).map_err(AppError::Setup)?;
    let Opened { repository, keys, auth, backends } = Opened::open(&config)?;
    let auth = auth.map(Arc::new);
    let metrics = Arc::new(Metrics::configured(&metrics_config(&config))?);
    metrics.configuration(&config.digest());
    let listeners = Listeners::open(&config)?;

    let lifecycle = Arc::new(Lifecycle::default());
    let records = Records::start(&config, &registry, &metrics)?;
    let loader = loader(&config, backends, threads, &metrics);
    let context = watcher_context(&config, repository, keys, loader, &registry);
    let state = HttpState::new(HttpParts {
        config: config.http.clone(),
        limits: config.limits.clone(),
        uses_tls: listeners.uses_tls(),
        auth: auth.clone(),
        protect: config.auth.protect.clone(),
        audit: Audit::open(config.audit_file.as_deref())?,
        registry: Arc::clone(&registry),
        metrics: Arc::clone(&metrics),
        lifecycle: Arc::clone(&lifecycle),
        reloader: reloader.clone(),
        capture: records.capture.clone(),
        outcomes: records.outcomes.clone(),
        traces: records.traces.clone(),
    });
    let running = listeners.serve(&state, &metrics, &lifecycle);

    let context = Arc::new(context);
    let watching = tokio::spawn(watcher::watch(Arc::clone(&context), reload_requests));
    if let Some(auth) = auth {
        tokio::spawn(auth.watch(RELOAD_INTERVAL));
    }
    let shutdown = config.shutdown;
    let parts = RunningParts { log, registry, context: Arc::clone(&context), http: state, metrics, reloader };
    let following = tokio::spawn(parts.follow(config, load_config, hung_up));
    let ending = conduct(signals, shutdown, &lifecycle, running.wait()).await;
    records.finish(ending).await;
    match ending {
        Ending::Clean => tracing::info!("stopped"),
        Ending::CutOff => {
            tracing::warn!("stopped: the drain timeout expired before the last requests ended")
        }
        Ending::Forced => return Err(AppError::Forced),
    }
    following.abort();
    watching.abort();
    context.forget_openings().await;
    Ok(())
}

/// Returns the settings of the metrics: the expiry of the engine's own certificate is exported like that of the
/// configured ones.
fn metrics_config(config: &Config) -> MetricsConfig {
    let mut metrics = config.metrics.clone();
    metrics.certificates.extend(config.tls.iter().map(|tls| tls.certificate_file.clone()));
    metrics
}

fn loader(
    config: &Config,
    backends: Vec<Arc<dyn Backend>>,
    threads: RuntimeThreads,
    metrics: &Arc<Metrics>,
) -> Loader {
    Loader {
        verifier: verifier(config, backends, threads),
        batching: config.batching,
        workers: Workers::new(config.batch_threads),
        drift: config.drift,
        estimate_rows: config.outcomes.estimate_rows,
        metrics: Arc::clone(metrics),
    }
}

fn verifier(config: &Config, backends: Vec<Arc<dyn Backend>>, threads: RuntimeThreads) -> Verifier {
    Verifier {
        backends,
        bounds: config.models.bounds,
        sessions: config.batching.workers,
        max_batch_rows: config.batching.max_batch_rows,
        memory: MemoryBudget::of_process(config.models.memory),
        isolation: isolation(config),
        threads,
    }
}

/// Returns how models are opened in processes of their own. Without the path of this program they are opened
/// here.
fn isolation(config: &Config) -> Option<Isolation> {
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => {
            tracing::warn!(%error, "every model is opened in this process, whose program is not found");
            return None;
        }
    };
    Some(Isolation {
        program,
        arguments: vec![ISOLATED_MODEL.to_owned()],
        backend: config.backend,
        library: config.onnxruntime_library.clone(),
        memory: config.models.isolated_memory,
        open_timeout: config.models.load_timeout,
        score_timeout: ISOLATED_SCORE_TIMEOUT,
    })
}

/// Returns the watcher's settings that may change while the engine runs.
fn watch_settings(config: &Config) -> watcher::WatchSettings {
    watcher::WatchSettings {
        required_alias: config.required_alias,
        names: config.models.names.clone(),
        loaded_versions: config.loaded_versions,
        polling: config.watch,
    }
}

/// Builds the watcher's context.
fn watcher_context(
    config: &Config,
    repository: Repository,
    keys: TrustedKeys,
    loader: Loader,
    registry: &Arc<Registry>,
) -> watcher::WatcherContext {
    let cache = open_cache(config, &repository);
    let memory = loader.verifier.memory.clone();
    // Decoded, a file takes at least its own size once more.
    let admit = move |bytes: u64| memory.reserve(2 * bytes).map(drop).map_err(|error| error.to_string());
    watcher::WatcherContext {
        fetcher: Fetcher::new(repository.clone(), cache, config.models.bounds.max_bytes)
            .with_admission(admit),
        location: repository.place().to_owned(),
        repository,
        keys,
        last_known_good: Mutex::default(),
        alias: config.alias.clone(),
        settings: ArcSwap::from_pointee(watch_settings(config)),
        load_timeout: config.models.load_timeout,
        fetch_permits: Arc::new(Semaphore::new(MAX_FETCHES)),
        load_permits: Arc::new(Semaphore::new(loader.batching.workers.div_ceil(2))),
        isolation_permits: Arc::new(Semaphore::new(1)),
        metrics: Arc::clone(&loader.metrics),
        loader,
        registry: Arc::clone(registry),
    }
}

/// Opens the configured cache; for an object store, the user's by default. Without a cache the engine serves,
/// but cannot start while the store is down. For a local folder, the user's cache keeps no artifacts, only
/// which versions were served.
fn open_cache(config: &Config, repository: &Repository) -> Option<Cache> {
    let CacheConfig { folder, max_bytes } = &config.cache;
    let is_store = repository.is_object_store();
    let max_bytes = if folder.is_some() || is_store { *max_bytes } else { 0 };
    let Some(folder) = folder.clone().or_else(default_cache_folder) else {
        tracing::warn!(
            "no cache, because the user has no home folder: set cache.folder, so that a start knows what was \
             served last"
        );
        return None;
    };
    match Cache::open(&folder, max_bytes) {
        Ok(cache) => Some(cache),
        Err(error) => {
            tracing::warn!(%error, "continuing without a cache: set cache.folder to a writable folder");
            None
        }
    }
}

/// Returns this program's folder in the user's cache folder, by the XDG Base Directory Specification.
fn default_cache_folder() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")))?;
    folder.is_absolute().then(|| folder.join("onnward"))
}

fn bind_advice(key: &str, error: &io::Error) -> String {
    let another = format!("another address with --{} ADDR", key.replace('.', "-"));
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!("another program listens there; stop it, or choose {another}")
        }
        io::ErrorKind::AddrNotAvailable => {
            format!("this machine does not have that address; choose {another}")
        }
        io::ErrorKind::PermissionDenied => format!("ports below 1024 need a privilege; choose {another}"),
        _ => error.to_string(),
    }
}
