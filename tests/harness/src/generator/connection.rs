//! One connection, on which one request is on its way at a time.

use std::io::{self, ErrorKind, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use socket2::SockRef;

use crate::generator::response::ResponseReader;
use crate::generator::windows::Took;

/// A connection that is kept open.
#[derive(Debug)]
pub struct Connection {
    address: SocketAddr,
    token: Token,
    stream: TcpStream,
    reader: ResponseReader,
    flying: Option<Flying>,
}

/// The request that is on its way.
#[derive(Debug)]
struct Flying {
    request: usize,
    written: usize,
    since: Instant,
    sent: Instant,
}

/// What became of a request.
#[derive(Debug, Clone, Copy)]
pub struct Outcome {
    /// The time from which its latency counts.
    pub since: Instant,
    /// When its first bytes were sent.
    pub sent: Instant,
    /// The answer's status; `None` if the connection broke before it.
    pub status: Option<u16>,
}

impl Outcome {
    /// How long it took, if it ended now.
    pub fn took(&self, now: Instant) -> Took {
        Took { from_due: now - self.since, from_sent: Some(now - self.sent) }
    }
}

impl Connection {
    /// Connects, and asks to be told as `token`.
    pub fn open(address: SocketAddr, token: Token, registry: &Registry) -> io::Result<Self> {
        let stream = std::net::TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Self { address, token, stream, reader: ResponseReader::new(), flying: None })
    }

    /// Whether a request is on its way.
    pub fn is_busy(&self) -> bool {
        self.flying.is_some()
    }

    /// How long the request that is on its way has taken until now.
    pub fn given_up(&self, now: Instant) -> Option<Took> {
        let Flying { since, sent, .. } = self.flying.as_ref()?;
        Some(Outcome { since: *since, sent: *sent, status: None }.took(now))
    }

    /// Sends a request, whose latency counts from `since`. What does not fit into the socket is sent when there is room.
    ///
    /// # Errors
    /// When the server takes no connection any more.
    pub fn send(
        &mut self,
        requests: &[Vec<u8>],
        request: usize,
        since: Instant,
        registry: &Registry,
    ) -> io::Result<()> {
        let flying = || Flying { request, written: 0, since, sent: Instant::now() };
        self.flying = Some(flying());
        // A server may close a connection that nothing was sent on: the request goes out on a new one.
        self.write(requests).or_else(|_| {
            self.reconnect(registry)?;
            self.flying = Some(flying());
            self.write(requests)
        })
    }

    /// Goes on with what can be done; gives the request's outcome once it has one.
    ///
    /// # Errors
    /// When the server takes no connection any more, or answers what is not HTTP.
    pub fn advance(&mut self, requests: &[Vec<u8>], registry: &Registry) -> io::Result<Option<Outcome>> {
        let status = match self.write(requests).and_then(|()| self.reader.read(&mut self.stream)) {
            Ok(None) => return Ok(None),
            Ok(Some(answered)) => {
                if answered.is_last || !self.unsent(requests).is_empty() {
                    self.hang_up()?;
                    self.reconnect(registry)?;
                }
                Some(answered.status)
            }
            Err(error) if matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::ConnectionRefused) => {
                return Err(error);
            }
            Err(_) => {
                self.reconnect(registry)?;
                None
            }
        };
        Ok(self.flying.take().map(|Flying { since, sent, .. }| Outcome { since, sent, status }))
    }

    /// What of the request is still to be sent.
    fn unsent<'a>(&self, requests: &'a [Vec<u8>]) -> &'a [u8] {
        let flying = self.flying.as_ref();
        flying.and_then(|flying| requests.get(flying.request)?.get(flying.written..)).unwrap_or_default()
    }

    /// Has the system forget what of the request it has not sent yet. Whoever is refused while sending stops at once (RFC 9112,
    /// section 9.5).
    fn hang_up(&self) -> io::Result<()> {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO))
    }

    fn write(&mut self, requests: &[Vec<u8>]) -> io::Result<()> {
        loop {
            let rest = self.unsent(requests);
            let Some(flying) = self.flying.as_mut().filter(|_| !rest.is_empty()) else { return Ok(()) };
            match self.stream.write(rest) {
                Ok(count) => flying.written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Goes on with another connection, which need not be there yet: nobody else waits for it.
    fn reconnect(&mut self, registry: &Registry) -> io::Result<()> {
        self.stream = TcpStream::connect(self.address)?;
        self.stream.set_nodelay(true)?;
        self.reader = ResponseReader::new();
        registry.register(&mut self.stream, self.token, Interest::READABLE | Interest::WRITABLE)
    }
}
