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

use super::{AppError, LOOK_AT_KEYS};
use crate::config::Config;
use crate::file_handles;

/// What the engine listens on.
pub struct Listeners {
    everybody: Listener,
    admin: Option<Listener>,
    limits: ConnectionLimits,
}

struct Listener {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<Arc<ServerTls>>,
}

/// How many connections those who run the engine may have.
const ADMIN_CONNECTIONS: usize = 64;
/// For how long a request may be under way before its connection can be done without, where there is no room for another: what takes
/// longer waits for a client that sends its body slowly, or does not take its answer.
const BUSY: Duration = Duration::from_secs(10);

impl Listeners {
    /// Reads the certificate and binds the addresses, for the runtime that it is called in.
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
            max_request_age: BUSY,
        };
        let tls = config.tls.clone().map(ServerTls::open).transpose()?.map(Arc::new);
        let admin = match config.admin_listen {
            Some(address) => {
                // What stays on this machine is not encrypted, so that probes need no certificate.
                let tls = tls.clone().filter(|_| !address.ip().is_loopback());
                Some(Listener::bind("admin.listen", address, tls)?)
            }
            None => None,
        };
        Ok(Self { everybody: Listener::bind("listen", config.listen, tls)?, admin, limits })
    }

    /// Whether those who use models come over TLS.
    pub fn uses_tls(&self) -> bool {
        self.everybody.tls.is_some()
    }

    /// Serves until the process has answered its last request.
    pub fn serve(self, state: &HttpState, metrics: &Metrics, lifecycle: &Arc<Lifecycle>) -> Served {
        let Self { everybody, admin, limits } = self;
        if let Some(tls) = &everybody.tls {
            tokio::spawn(Arc::clone(tls).watch(LOOK_AT_KEYS));
        }
        tokio::spawn(state.rate_limits().sweep());
        let scheme = if everybody.tls.is_some() { "https" } else { "http" };
        let address = everybody.address;
        let everybody = Server {
            listener: everybody.listener,
            router: onnward_http::router(state.clone()),
            tls: everybody.tls,
            limits,
            metrics: metrics.connections("main"),
        };
        let mut servers = vec![tokio::spawn(onnward_http::serve(everybody, Arc::clone(lifecycle)))];
        if let Some(Listener { listener, address, tls }) = admin {
            let admin = Server {
                listener,
                router: onnward_http::admin_router(state.clone()),
                tls,
                limits: ConnectionLimits { max_connections: ADMIN_CONNECTIONS, ..limits },
                metrics: metrics.connections("admin"),
            };
            servers.push(tokio::spawn(onnward_http::serve(admin, Arc::clone(lifecycle))));
            tracing::info!(%address, "listening for administrators");
        }
        tracing::info!(%address, docs = %format_args!("{scheme}://{address}/docs"), "listening");
        Served(servers)
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

/// How many connections may wait to be accepted. Whoever comes when as many wait hears nothing, and tries again after a second.
const BACKLOG: u32 = 4096;

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Otherwise an engine that follows another could not have its address for as long as a connection of that one lingers.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Listeners that serve.
pub struct Served(Vec<JoinHandle<()>>);

impl Served {
    /// Waits until all are closed and no request is in flight.
    pub async fn drained(self) {
        for server in self.0 {
            if let Err(error) = server.await {
                tracing::error!(%error, "the listener failed");
            }
        }
    }
}
