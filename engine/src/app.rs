//! Start and end of `serve`: the one place that sees every part.

mod models;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use onnward_repository::{Repository, RepositoryError};
use thiserror::Error;
use tokio::net::TcpListener;

use crate::backend::{self, Backend, LibraryError};
use crate::config::{BackendChoice, Config, OnnxRuntimeConfig};
use crate::http::{self, HttpState};
use crate::loader::Loader;
use crate::logging;
use crate::metrics::{Metrics, MetricsError};
use crate::registry::Registry;
use crate::shutdown::{Ending, Lifecycle, catch_signals, conduct};

/// Why the engine does not serve.
#[derive(Debug, Error)]
pub enum AppError {
    /// The runtime's threads or the signal handlers cannot be had.
    #[error("the process cannot be set up: {0}")]
    Setup(#[source] io::Error),
    /// The metrics contradict each other.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// The model repository cannot be opened.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// ONNX Runtime was asked for by name and cannot be had.
    #[error("backend = \"onnxruntime\" cannot be used: {0}")]
    OnnxRuntime(#[source] LibraryError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {}", bind_advice(.error))]
    Bind {
        /// The configured address.
        address: SocketAddr,
        /// What the system says.
        error: io::Error,
    },
    /// The second signal came before the requests in flight had ended.
    #[error("ended at once by a second signal")]
    Forced,
}

/// Serves until a signal says to stop.
///
/// # Errors
/// [`AppError`] when it cannot start, or was made to end at once.
pub fn serve(config: Config) -> Result<(), AppError> {
    // A log that is already there stays.
    let _ = logging::init(config.log);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(AppError::Setup)?;
    let registry = Arc::new(Registry::new(config.default_model.clone()));
    let result = runtime.block_on(run(config, Arc::clone(&registry)));
    // What was cut off must not hold up the end, and no session may run when the runtimes' libraries are taken down.
    runtime.shutdown_background();
    for model in registry.serving() {
        model.batcher.stop();
    }
    result
}

async fn run(config: Config, registry: Arc<Registry>) -> Result<(), AppError> {
    let signals = catch_signals().map_err(AppError::Setup)?;
    let repository = Repository::open(&config.repository)?;
    let backends = backends(config.backend, &config.onnxruntime)?;
    let listener = TcpListener::bind(config.listen)
        .await
        .map_err(|error| AppError::Bind { address: config.listen, error })?;
    let address = listener.local_addr().map_err(AppError::Setup)?;

    let lifecycle = Arc::new(Lifecycle::default());
    let metrics = Arc::new(Metrics::new()?);
    let loader = Loader { backends, batching: config.batching, metrics: Arc::clone(&metrics) };
    let state = HttpState::new(config.http, Arc::clone(&registry), metrics, Arc::clone(&lifecycle));
    let server = tokio::spawn(http::serve(listener, http::router(state), Arc::clone(&lifecycle)));
    tracing::info!(%address, docs = %format_args!("http://{address}/docs"), "listening");

    let alias = config.alias;
    let loading =
        tokio::spawn(async move { models::load_all(&repository, &alias, &loader, &registry).await });
    let drained = async {
        if let Err(error) = server.await {
            tracing::error!(%error, "the listener failed");
        }
    };
    match conduct(signals, config.shutdown, &lifecycle, drained).await {
        Ending::Clean => tracing::info!("stopped"),
        Ending::CutOff => {
            tracing::warn!("stopped: the drain timeout came before the last requests had ended")
        }
        Ending::Forced => return Err(AppError::Forced),
    }
    loading.abort();
    Ok(())
}

/// The backends that models are opened on, the preferred one first. Where tract is chosen, ONNX Runtime is not touched.
pub(crate) fn backends(
    choice: BackendChoice,
    onnxruntime: &OnnxRuntimeConfig,
) -> Result<Vec<Arc<dyn Backend>>, AppError> {
    let tract = || Arc::new(backend::Tract::new()) as Arc<dyn Backend>;
    if choice == BackendChoice::Tract {
        return Ok(vec![tract()]);
    }
    match (choice, backend::load_onnxruntime(onnxruntime.library.as_deref())) {
        (BackendChoice::OnnxRuntime, Ok(runtime)) => Ok(vec![runtime]),
        (BackendChoice::OnnxRuntime, Err(error)) => Err(AppError::OnnxRuntime(error)),
        (_, Ok(runtime)) => Ok(vec![runtime, tract()]),
        (_, Err(error)) => {
            tracing::warn!(%error, "models are served by tract, which is built in");
            Ok(vec![tract()])
        }
    }
}

fn bind_advice(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another program listens there; stop it, or choose another address with --listen ADDR".to_owned()
        }
        io::ErrorKind::AddrNotAvailable => {
            "this machine does not have that address; choose another with --listen ADDR".to_owned()
        }
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 need a privilege; choose another with --listen ADDR".to_owned()
        }
        _ => error.to_string(),
    }
}
