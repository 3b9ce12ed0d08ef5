//! Clients that hold on to the engine without asking anything of use, by the thousand, on one thread.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};
use tokio::runtime::Runtime;

use onnward_harness::HarnessError;

/// How long to wait where no connection can be had.
const PAUSE: Duration = Duration::from_millis(200);

/// What they see.
#[derive(Debug, Default)]
pub struct Held {
    /// How many connections are open now.
    pub open: AtomicU64,
    /// How often one was closed by the engine.
    pub closed: AtomicU64,
    /// How often none could be had.
    pub refused: AtomicU64,
}

/// Clients that hold on until this is dropped.
pub struct IdleClients {
    pub seen: Arc<Held>,
    runtime: Runtime,
}

impl IdleClients {
    pub fn new() -> Result<Self, HarnessError> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(HarnessError::system("start clients"))?;
        Ok(Self { seen: Arc::default(), runtime })
    }

    /// One more, who takes a new connection whenever its last one is closed.
    pub fn add<F: Future<Output = ()> + Send>(
        &self,
        address: SocketAddr,
        receive_buffer: Option<u32>,
        hold: impl Fn(TcpStream) -> F + Send + 'static,
    ) {
        let seen = Arc::clone(&self.seen);
        self.runtime.spawn(async move {
            loop {
                match connect(address, receive_buffer).await {
                    Ok(stream) => {
                        seen.open.fetch_add(1, Ordering::Relaxed);
                        hold(stream).await;
                        seen.open.fetch_sub(1, Ordering::Relaxed);
                        seen.closed.fetch_add(1, Ordering::Relaxed);
                    }
                    Err(_) => {
                        seen.refused.fetch_add(1, Ordering::Relaxed);
                        tokio::time::sleep(PAUSE).await;
                    }
                }
            }
        });
    }
}

/// A connection from another address than the engine's other clients have, where the system lets us.
async fn connect(address: SocketAddr, receive_buffer: Option<u32>) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    let _ = socket.bind((IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)), 0).into());
    if let Some(bytes) = receive_buffer {
        socket.set_recv_buffer_size(bytes)?;
    }
    socket.connect(address).await
}
