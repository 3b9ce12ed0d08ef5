//! Clients that come for the first time while others hold on to the engine: each has a connection of its own.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::testbed::MODEL;
use onnward_harness::HarnessError;

/// How often one comes.
const EVERY: Duration = Duration::from_millis(50);
/// How long each waits.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What became of them.
#[derive(Debug, Default)]
pub struct Served {
    /// How many came.
    pub came: u64,
    /// Why some were not served.
    pub failures: Vec<String>,
    /// How long those who were had to wait for their answers, from when they came.
    pub took: Vec<Duration>,
}

/// Served that keep coming.
pub struct NewConnections {
    stops: Arc<AtomicBool>,
    thread: JoinHandle<Served>,
}

impl NewConnections {
    /// From now on they come, each with this row.
    pub fn start(address: SocketAddr, body: &[u8]) -> Result<Self, HarnessError> {
        let request = request(body);
        let stops = Arc::new(AtomicBool::new(false));
        let come = {
            let stops = Arc::clone(&stops);
            move || {
                let mut seen = Served::default();
                while !stops.load(Ordering::Relaxed) {
                    let start = Instant::now();
                    seen.came += 1;
                    match ask(address, &request) {
                        Ok(()) => seen.took.push(start.elapsed()),
                        Err(error) => seen.failures.push(format!("a new connection: {error}")),
                    }
                    std::thread::sleep(EVERY.saturating_sub(start.elapsed()));
                }
                seen
            }
        };
        let thread = std::thread::Builder::new().name("new_connections".to_owned()).spawn(come);
        Ok(Self { stops, thread: thread.map_err(HarnessError::system("start a thread of clients"))? })
    }

    /// No more come: what became of them.
    pub fn stop(self) -> Result<Served, HarnessError> {
        self.stops.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| HarnessError::Settings("a thread of clients has failed".to_owned()))
    }
}

/// A request for a prediction, after which the connection is closed.
pub fn request(body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST /models/{MODEL}/predict HTTP/1.1\r\nHost: engine\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

fn ask(address: SocketAddr, request: &[u8]) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    stream.write_all(request)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    if answer.starts_with(b"HTTP/1.1 200") {
        return Ok(());
    }
    let first = String::from_utf8_lossy(&answer).lines().next().unwrap_or("no answer").to_owned();
    Err(io::Error::other(first))
}
