//! A TCP proxy in front of a store. It counts the bytes that the store sends, slows them down, and can drop
//! all connections.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::error::HarnessError;

/// The bytes that are forwarded at a time.
const CHUNK: usize = 16 * 1024;

/// A proxy on a port of its own. It accepts no more connections once it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    store: SocketAddr,
    forwarded_bytes: AtomicU64,
    bytes_per_second: AtomicU64,
    is_down: AtomicBool,
    stops: AtomicBool,
}

impl Proxy {
    /// Starts a proxy in front of a store.
    ///
    /// # Errors
    /// [`HarnessError::System`] if there is no port or no thread.
    pub fn start(store: SocketAddr) -> Result<Self, HarnessError> {
        let failed = || HarnessError::system("start a proxy in front of the store");
        let listener = TcpListener::bind("127.0.0.1:0").map_err(failed())?;
        let address = listener.local_addr().map_err(failed())?;
        let shared = Arc::new(Shared {
            store,
            forwarded_bytes: AtomicU64::new(0),
            bytes_per_second: AtomicU64::new(u64::MAX),
            is_down: AtomicBool::new(false),
            stops: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("proxy".to_owned())
            .spawn(move || accept(&listener, &accepting))
            .map_err(failed())?;
        Ok(Self { address, shared })
    }

    /// Returns the address on which the proxy listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns how many bytes the store has sent through the proxy.
    pub fn forwarded_bytes(&self) -> u64 {
        self.shared.forwarded_bytes.load(Ordering::Relaxed)
    }

    /// Limits each connection to this many bytes of the store per second.
    pub fn limit(&self, bytes_per_second: u64) {
        self.shared.bytes_per_second.store(bytes_per_second.max(1), Ordering::Relaxed);
    }

    /// Sets whether the store is down: existing and new connections are closed.
    pub fn set_down(&self, is_down: bool) {
        self.shared.is_down.store(is_down, Ordering::Relaxed);
    }

    /// Removes the limit.
    pub fn unlimit(&self) {
        self.limit(u64::MAX);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stops.store(true, Ordering::Relaxed);
        // Wakes the thread that waits for a connection.
        let _ = TcpStream::connect(self.address);
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for client in listener.incoming() {
        if shared.stops.load(Ordering::Relaxed) {
            return;
        }
        // A connection that cannot be forwarded is closed, as a failing store would close it.
        let Ok(client) = client else { continue };
        if shared.is_down.load(Ordering::Relaxed) {
            continue;
        }
        let _ = forward(client, shared);
    }
}

fn forward(client: TcpStream, shared: &Arc<Shared>) -> io::Result<()> {
    let store = TcpStream::connect(shared.store)?;
    client.set_nodelay(true)?;
    store.set_nodelay(true)?;
    let (mut requests, mut to_store) = (client.try_clone()?, store.try_clone()?);
    std::thread::spawn(move || {
        let _ = io::copy(&mut requests, &mut to_store);
        let _ = to_store.shutdown(Shutdown::Both);
    });
    let shared = Arc::clone(shared);
    std::thread::spawn(move || {
        let _ = answer(&store, &client, &shared);
        let _ = client.shutdown(Shutdown::Both);
        let _ = store.shutdown(Shutdown::Both);
    });
    Ok(())
}

/// Forwards what the store sends, no faster than the limit.
fn answer(mut store: &TcpStream, mut client: &TcpStream, shared: &Shared) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    loop {
        let length = store.read(&mut chunk)?;
        let Some(part) = chunk.get(..length).filter(|part| !part.is_empty()) else { return Ok(()) };
        if shared.is_down.load(Ordering::Relaxed) {
            return Ok(());
        }
        client.write_all(part)?;
        shared.forwarded_bytes.fetch_add(length as u64, Ordering::Relaxed);
        let limit = shared.bytes_per_second.load(Ordering::Relaxed);
        std::thread::sleep(Duration::from_secs_f64(length as f64 / limit as f64));
    }
}
