use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use onnward_http::lifecycle::Lifecycle;
use onnward_http::tls::ServerTls;
use onnward_http::{ConnectionLimits, HttpState, Server};
use onnward_telemetry::metrics::Metrics;
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinHandle;

use super::{AppError, RELOAD_INTERVAL};
use crate::config::Config;
use crate::file_handles;

/// The bound listeners of the engine.
pub struct Listeners {
    public: Listener,
    admin: Option<Listener>,
    limits: ConnectionLimits,
}

struct Listener {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<Arc<ServerTls>>,
}

/// The maximum number of connections to the admin address.
const ADMIN_CONNECTIONS: usize = 64;
/// The age of a request after which its connection may be evicted for a new one. A request that takes longer waits for
/// a client that sends its body or reads its response slowly.
const MAX_REQUEST_AGE: Duration = Duration::from_secs(10);
/// The maximum number of bytes that are drained of a body, as a multiple of the body limit.
const DRAIN_FACTOR: usize = 4;
/// The number of bytes that are drained even if the body limit is small: a client that sends everything before it
/// reads gets its response.
const MIN_DRAINED_BYTES: usize = 256 * 1024 * 1024;

impl Listeners {
    /// Reads the certificate and binds the addresses on the current Tokio runtime.
    ///
    /// # Errors
    /// [`AppError`].
    pub fn open(config: &Config) -> Result<Self, AppError> {
        let limits = &config.limits;
        let fit = file_handles::raise_limit();
        let limits = ConnectionLimits {
            max_connections: limits.max_connections.unwrap_or(fit),
            max_headers: limits.max_headers,
            max_header_bytes: limits.max_header_bytes,
            max_streams: limits.max_streams,
            max_request_age: MAX_REQUEST_AGE,
            max_drained_bytes: config.http.max_body_bytes.saturating_mul(DRAIN_FACTOR).max(MIN_DRAINED_BYTES),
            max_drain_time: config.http.request_timeout,
        };
        let tls = config.tls.clone().map(ServerTls::open).transpose()?.map(Arc::new);
        let admin = match config.admin_listen {
            Some(address) => {
                // Loopback traffic is not encrypted, so that probes need no certificate.
                let tls = tls.clone().filter(|_| !address.ip().is_loopback());
                Some(Listener::bind("admin.listen", address, tls)?)
            }
            None => None,
        };
        Ok(Self { public: Listener::bind("listen", config.listen, tls)?, admin, limits })
    }

    /// Returns whether public clients use TLS.
    pub fn uses_tls(&self) -> bool {
        self.public.tls.is_some()
    }

    /// Starts serving. The listeners run until the process has answered its last request.
    pub fn serve(self, state: &HttpState, metrics: &Metrics, lifecycle: &Arc<Lifecycle>) -> RunningListeners {
        let Self { public, admin, limits } = self;
        if let Some(tls) = &public.tls {
            tokio::spawn(Arc::clone(tls).watch(RELOAD_INTERVAL));
        }
        tokio::spawn(state.rate_limits().sweep());
        let scheme = if public.tls.is_some() { "https" } else { "http" };
        let address = public.address;
        let public = Server {
            listener: public.listener,
            router: onnward_http::router(state.clone()),
            tls: public.tls,
            limits,
            metrics: metrics.connections("main"),
        };
        let mut servers = vec![tokio::spawn(onnward_http::serve(public, Arc::clone(lifecycle)))];
        if let Some(Listener { listener, address, tls }) = admin {
            let admin = Server {
                listener,
                router: onnward_http::admin_router(state.clone()),
                tls,
                limits: ConnectionLimits { max_connections: ADMIN_CONNECTIONS, ..limits },
                metrics: metrics.connections("admin"),
            };
            servers.push(tokio::spawn(onnward_http::serve(admin, Arc::clone(lifecycle))));
            tracing::info!(%address, "listening for admin requests");
        }
        tracing::info!(%address, docs = %format_args!("{scheme}://{address}/docs"), "listening");
        RunningListeners(servers)
    }
}

impl Listener {
    fn bind(key: &'static str, address: SocketAddr, tls: Option<Arc<ServerTls>>) -> Result<Self, AppError> {
        let bind = |error| AppError::Bind { key, address, error };
        let listener = listen(address).map_err(bind)?;
        let address = listener.local_addr().map_err(AppError::Setup)?;
        Ok(Self { listener, address, tls })
    }
}

/// The maximum number of connections that wait to be accepted. Beyond it the kernel drops a client's SYN, and the client
/// retries after a second.
const BACKLOG: u32 = 4096;

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Without it, a restarted engine could not bind its address while connections of the previous one linger.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// The tasks of the listeners that serve.
pub struct RunningListeners(Vec<JoinHandle<()>>);

impl RunningListeners {
    /// Waits until all are closed and no request is in flight.
    pub async fn wait(self) {
        for server in self.0 {
            if let Err(error) = server.await {
                tracing::error!(%error, "the listener failed");
            }
        }
    }
}
