//! A proxy in front of an HTTP server that fails as networks and stores do, and records the requests.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The kind of a request's failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The answer has this status.
    Status(u16),
    /// It is accepted and never answered.
    Silence,
    /// The body of the answer comes in pieces of this size, each after a pause.
    Slow { bytes: usize, pause: Duration },
    /// The connection is closed after this many bytes of the answer's body.
    Cut { after: usize },
    /// The answer's body is cut to this size, and its Content-Length with it.
    Truncate { to: usize },
}

/// A proxy, which ends with its test.
pub struct FaultProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    upstream: SocketAddr,
    rules: Mutex<Vec<(String, Fault)>>,
    requests: Mutex<Vec<String>>,
    is_refusing: AtomicBool,
    has_ended: AtomicBool,
}

const TICK: Duration = Duration::from_millis(5);

impl FaultProxy {
    /// Starts a proxy in front of `upstream` that forwards everything.
    pub fn start(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            upstream,
            rules: Mutex::default(),
            requests: Mutex::default(),
            is_refusing: AtomicBool::new(false),
            has_ended: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || accepting.accept(listener, address));
        Self { address, shared }
    }

    /// Returns its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Makes requests fail whose method and path contain `part`. An empty part matches all. The first
    /// matching rule applies.
    pub fn fail(&self, part: &str, fault: Fault) {
        self.shared.rules.lock().unwrap().push((part.to_owned(), fault));
    }

    /// Removes the rules for `part`.
    pub fn heal(&self, part: &str) {
        self.shared.rules.lock().unwrap().retain(|(known, _)| known != part);
    }

    /// Sets whether connections are refused.
    pub fn refuse(&self, is_refusing: bool) {
        self.shared.is_refusing.store(is_refusing, Ordering::SeqCst);
    }

    /// Returns the number of requests whose method and path contain `part`, including failed ones.
    pub fn requests(&self, part: &str) -> usize {
        self.shared.requests.lock().unwrap().iter().filter(|request| request.contains(part)).count()
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.shared.has_ended.store(true, Ordering::SeqCst);
    }
}

impl Shared {
    fn accept(self: Arc<Self>, listener: TcpListener, address: SocketAddr) {
        listener.set_nonblocking(true).unwrap();
        let mut listener = Some(listener);
        while !self.has_ended.load(Ordering::SeqCst) {
            if self.is_refusing.load(Ordering::SeqCst) {
                listener = None;
            } else if listener.is_none() {
                // Another program's connection may hold the port for a moment.
                listener = TcpListener::bind(address).ok();
                listener.iter().for_each(|listener| listener.set_nonblocking(true).unwrap());
            }
            match listener.as_ref().and_then(|listener| listener.accept().ok()) {
                Some((client, _)) => {
                    let relaying = Arc::clone(&self);
                    // A client that goes away is no failure of a test.
                    std::thread::spawn(move || relaying.relay(client).ok());
                }
                None => std::thread::sleep(TICK),
            }
        }
    }

    /// Relays one request and its answer, and ends the connection.
    fn relay(&self, mut client: TcpStream) -> io::Result<()> {
        client.set_nonblocking(false)?;
        let (head, mut body) = read_head(&mut client)?;
        let length: usize =
            header(&head, "content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let sent = body.len();
        body.resize(length.max(sent), 0);
        client.read_exact(&mut body[sent..])?;
        let request = head.lines().next().unwrap_or_default().to_owned();
        self.requests.lock().unwrap().push(request.clone());

        match self.fault(&request) {
            Some(Fault::Status(status)) => {
                let head =
                    format!("HTTP/1.1 {status} Broken\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                return client.write_all(head.as_bytes());
            }
            Some(Fault::Silence) => {
                while self.fault(&request) == Some(Fault::Silence) && !self.has_ended.load(Ordering::SeqCst) {
                    std::thread::sleep(TICK);
                }
                return Ok(());
            }
            _ => {}
        }
        // The host that was signed stays; the connection is no part of what is signed.
        let mut upstream = TcpStream::connect(self.upstream)?;
        upstream.write_all(format!("{head}connection: close\r\n\r\n").as_bytes())?;
        upstream.write_all(&body)?;
        let (head, mut body) = read_head(&mut upstream)?;
        upstream.read_to_end(&mut body)?;
        self.answer(&mut client, head, &body, self.fault(&request))
    }

    fn answer(
        &self,
        client: &mut TcpStream,
        head: String,
        body: &[u8],
        fault: Option<Fault>,
    ) -> io::Result<()> {
        let (head, body) = match fault {
            Some(Fault::Truncate { to }) if to < body.len() => {
                let length = format!("content-length: {}", body.len());
                let lines = head.lines().map(|line| match line.eq_ignore_ascii_case(&length) {
                    true => format!("content-length: {to}\r\n"),
                    false => format!("{line}\r\n"),
                });
                (lines.collect(), &body[..to])
            }
            Some(Fault::Cut { after }) => (head, &body[..after.min(body.len())]),
            _ => (head, body),
        };
        client.write_all(format!("{head}\r\n").as_bytes())?;
        let Some(Fault::Slow { bytes, pause }) = fault else { return client.write_all(body) };
        for piece in body.chunks(bytes) {
            if self.has_ended.load(Ordering::SeqCst) {
                break;
            }
            std::thread::sleep(pause);
            client.write_all(piece)?;
        }
        Ok(())
    }

    fn fault(&self, request: &str) -> Option<Fault> {
        let rules = self.rules.lock().unwrap();
        rules.iter().find(|(part, _)| request.contains(part)).map(|(_, fault)| *fault)
    }
}

/// Reads the head, without its empty line. Returns it with what was read of the body.
fn read_head(stream: &mut TcpStream) -> io::Result<(String, Vec<u8>)> {
    const END: &[u8] = b"\r\n\r\n";
    let mut read = Vec::new();
    let mut piece = [0; 4096];
    loop {
        if let Some(end) = read.windows(END.len()).position(|window| window == END) {
            let body = read.split_off(end + END.len());
            read.truncate(end + 2);
            return Ok((String::from_utf8_lossy(&read).into_owned(), body));
        }
        match stream.read(&mut piece)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            bytes => read.extend_from_slice(&piece[..bytes]),
        }
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let fields = head.lines().filter_map(|line| line.split_once(':'));
    fields.into_iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}
