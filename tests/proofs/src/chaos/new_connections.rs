//! New connections, one request each, while other clients hold theirs.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::testbed::MODEL;
use onnward_harness::HarnessError;

/// The time between two new connections.
const EVERY: Duration = Duration::from_millis(50);
/// The timeout of a client's response.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The results of the requests.
#[derive(Debug, Default)]
pub struct Served {
    /// The number of new connections.
    pub attempts: u64,
    /// The reasons of failed requests.
    pub failures: Vec<String>,
    /// The times from connecting to the answer, of the others.
    pub took: Vec<Duration>,
}

/// A thread that opens new connections.
pub struct NewConnections {
    stops: Arc<AtomicBool>,
    thread: JoinHandle<Served>,
}

impl NewConnections {
    /// Starts to open connections, each with a request of this row.
    pub fn start(address: SocketAddr, body: &[u8]) -> Result<Self, HarnessError> {
        let request = request(body);
        let stops = Arc::new(AtomicBool::new(false));
        let run = {
            let stops = Arc::clone(&stops);
            move || {
                let mut served = Served::default();
                while !stops.load(Ordering::Relaxed) {
                    let start = Instant::now();
                    served.attempts += 1;
                    match send(address, &request) {
                        Ok(()) => served.took.push(start.elapsed()),
                        Err(error) => served.failures.push(format!("a new connection: {error}")),
                    }
                    std::thread::sleep(EVERY.saturating_sub(start.elapsed()));
                }
                served
            }
        };
        let thread = std::thread::Builder::new().name("new_connections".to_owned()).spawn(run);
        Ok(Self { stops, thread: thread.map_err(HarnessError::system("start a thread of clients"))? })
    }

    /// Stops, and returns the results.
    pub fn stop(self) -> Result<Served, HarnessError> {
        self.stops.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| HarnessError::Settings("a thread of clients has failed".to_owned()))
    }
}

/// Returns the bytes of a request for a prediction, after which the connection is closed.
pub fn request(body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST /models/{MODEL}/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

fn send(address: SocketAddr, request: &[u8]) -> io::Result<()> {
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
