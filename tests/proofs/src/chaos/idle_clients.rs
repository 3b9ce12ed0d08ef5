//! Thousands of clients that keep connections without useful requests, on one thread.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};
use tokio::runtime::Runtime;

use onnward_harness::HarnessError;

/// The pause after a failed attempt to connect.
const PAUSE: Duration = Duration::from_millis(200);

/// Counters of their connections.
#[derive(Debug, Default)]
pub struct Connections {
    /// Connections that are open now.
    pub open: AtomicU64,
    /// The number of connections that the engine closed.
    pub closed: AtomicU64,
    /// The number of failed attempts to connect.
    pub refused: AtomicU64,
}

/// Clients that keep their connections until this is dropped.
pub struct IdleClients {
    pub connections: Arc<Connections>,
    runtime: Runtime,
}

impl IdleClients {
    pub fn new() -> Result<Self, HarnessError> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(HarnessError::system("start clients"))?;
        Ok(Self { connections: Arc::default(), runtime })
    }

    /// Adds a client, which connects again whenever its connection is closed.
    pub fn add<F: Future<Output = ()> + Send>(
        &self,
        address: SocketAddr,
        receive_buffer: Option<u32>,
        hold: impl Fn(TcpStream) -> F + Send + 'static,
    ) {
        let connections = Arc::clone(&self.connections);
        self.runtime.spawn(async move {
            loop {
                match connect(address, receive_buffer).await {
                    Ok(stream) => {
                        connections.open.fetch_add(1, Ordering::Relaxed);
                        hold(stream).await;
                        connections.open.fetch_sub(1, Ordering::Relaxed);
                        connections.closed.fetch_add(1, Ordering::Relaxed);
                    }
                    Err(_) => {
                        connections.refused.fetch_add(1, Ordering::Relaxed);
                        tokio::time::sleep(PAUSE).await;
                    }
                }
            }
        });
    }
}

/// Connects from another address than the other clients, if the system allows it.
async fn connect(address: SocketAddr, receive_buffer: Option<u32>) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    let _ = socket.bind((IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)), 0).into());
    if let Some(bytes) = receive_buffer {
        socket.set_recv_buffer_size(bytes)?;
    }
    socket.connect(address).await
}
