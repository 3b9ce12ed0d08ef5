//! One connection, on which one request is in flight at a time.

use std::io::{self, ErrorKind, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use socket2::SockRef;

use super::response::ResponseReader;

/// A connection that is kept open.
#[derive(Debug)]
pub struct Connection {
    address: SocketAddr,
    token: Token,
    stream: TcpStream,
    reader: ResponseReader,
    in_flight: Option<InFlight>,
}

/// A request that has been sent, at least in part.
#[derive(Debug)]
struct InFlight {
    request: usize,
    written: usize,
    due: Instant,
    sent: Instant,
}

/// The end of a request.
#[derive(Debug)]
pub struct Outcome {
    /// The index of the request.
    pub request: usize,
    /// The time from which its latency counts.
    pub due: Instant,
    /// The time at which its first bytes were sent.
    pub sent: Instant,
    /// The answer's status, and its body where bodies are kept; or why the connection broke before it.
    pub result: io::Result<(u16, Vec<u8>)>,
}

impl Connection {
    /// Connects, and registers the socket's events under `token`.
    ///
    /// # Errors
    /// The system's.
    pub fn open(address: SocketAddr, token: Token, registry: &Registry) -> io::Result<Self> {
        let stream = std::net::TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Self { address, token, stream, reader: ResponseReader::new(false), in_flight: None })
    }

    /// Has the bodies of answers kept.
    pub fn keep_bodies(&mut self) {
        self.reader = ResponseReader::new(true);
    }

    /// Returns whether a request is in flight.
    pub fn is_busy(&self) -> bool {
        self.in_flight.is_some()
    }

    /// Ends the request in flight with `error` if it was sent `timeout` ago or earlier, and replaces the
    /// connection.
    ///
    /// # Errors
    /// The system's.
    pub fn give_up(
        &mut self,
        now: Instant,
        timeout: Duration,
        error: io::Error,
        registry: &Registry,
    ) -> io::Result<Option<Outcome>> {
        let Some(InFlight { request, due, sent, .. }) =
            self.in_flight.take_if(|in_flight| now.saturating_duration_since(in_flight.sent) >= timeout)
        else {
            return Ok(None);
        };
        self.reconnect(registry)?;
        Ok(Some(Outcome { request, due, sent, result: Err(error) }))
    }

    /// Sends a request, whose latency counts from `due`. What does not fit into the socket is sent when there
    /// is room.
    ///
    /// # Errors
    /// The system's, if the server accepts no connection any more.
    pub fn send(
        &mut self,
        requests: &[Vec<u8>],
        request: usize,
        due: Instant,
        registry: &Registry,
    ) -> io::Result<()> {
        let in_flight = || InFlight { request, written: 0, due, sent: Instant::now() };
        self.in_flight = Some(in_flight());
        // A server may close an idle connection: the request goes out on a new one.
        self.write(requests).or_else(|_| {
            self.reconnect(registry)?;
            self.in_flight = Some(in_flight());
            self.write(requests)
        })
    }

    /// Sends and reads what is possible now; returns the request's outcome once it has one.
    ///
    /// # Errors
    /// The system's, if the server accepts no connection any more; [`ErrorKind::InvalidData`] if the answer
    /// is not HTTP.
    pub fn advance(&mut self, requests: &[Vec<u8>], registry: &Registry) -> io::Result<Option<Outcome>> {
        let result = match self.write(requests).and_then(|()| self.reader.read(&mut self.stream)) {
            Ok(None) => return Ok(None),
            Ok(Some(answered)) => {
                let body = self.reader.take_body();
                if answered.is_last || !self.unsent(requests).is_empty() {
                    self.reset_on_close()?;
                    self.reconnect(registry)?;
                }
                Ok((answered.status, body))
            }
            Err(error) if matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::ConnectionRefused) => {
                return Err(error);
            }
            Err(error) => {
                self.reconnect(registry)?;
                Err(error)
            }
        };
        let in_flight = self.in_flight.take();
        Ok(in_flight.map(|InFlight { request, due, sent, .. }| Outcome { request, due, sent, result }))
    }

    /// Returns the part of the request that is still to be sent.
    fn unsent<'a>(&self, requests: &'a [Vec<u8>]) -> &'a [u8] {
        let in_flight = self.in_flight.as_ref();
        in_flight.and_then(|it| requests.get(it.request)?.get(it.written..)).unwrap_or_default()
    }

    /// Has the system discard unsent data when the connection is closed. A client that is refused while
    /// sending stops at once (RFC 9112, section 9.5).
    fn reset_on_close(&self) -> io::Result<()> {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO))
    }

    fn write(&mut self, requests: &[Vec<u8>]) -> io::Result<()> {
        loop {
            let rest = self.unsent(requests);
            let Some(in_flight) = self.in_flight.as_mut().filter(|_| !rest.is_empty()) else { return Ok(()) };
            match self.stream.write(rest) {
                Ok(count) => in_flight.written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Replaces the connection by a new one, which may still be connecting: no other request waits for it.
    fn reconnect(&mut self, registry: &Registry) -> io::Result<()> {
        self.stream = TcpStream::connect(self.address)?;
        self.stream.set_nodelay(true)?;
        self.reader = ResponseReader::new(self.reader.keeps_bodies());
        registry.register(&mut self.stream, self.token, Interest::READABLE | Interest::WRITABLE)
    }
}
