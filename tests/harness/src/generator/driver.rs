//! Sends requests on many connections from one thread, and hands over each answer.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};

use super::connection::{Connection, Outcome};
use super::schedule::{Intervals, Schedule};
use super::windows::Latency;
use crate::error::HarnessError;

/// The resolution of the system's timer. What is due earlier is awaited without sleeping.
const TIMER_RESOLUTION: Duration = Duration::from_millis(1);
/// The time between two polls while nothing is to be sent.
const POLL_INTERVAL: Duration = Duration::from_micros(100);
/// The maximum wait for responses after the last request.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// The maximum number of events read at once.
const EVENTS: usize = 256;

/// The end of one request.
#[derive(Debug)]
pub struct Answer {
    /// The index of the request.
    pub request: usize,
    /// The time at which the request should have begun.
    pub due: Instant,
    /// The time at which it ended.
    pub at: Instant,
    /// Its latency.
    pub latency: Latency,
    /// The status, and the body where bodies are kept; or why there is no answer.
    pub result: io::Result<(u16, Vec<u8>)>,
}

impl Answer {
    /// Returns the status; `None` if there is no answer.
    pub fn status(&self) -> Option<u16> {
        self.result.as_ref().ok().map(|(status, _)| *status)
    }
}

/// Connections to a server, and the requests that wait for one.
pub struct Driver<'a> {
    address: SocketAddr,
    requests: &'a [Vec<u8>],
    is_open: bool,
    poll: Poll,
    connections: Vec<Connection>,
    /// The indices of connections without a request in flight.
    idle: VecDeque<usize>,
    /// The due times of requests for which no connection was free.
    waiting: VecDeque<Instant>,
    /// In an open loop, when the next request begins, and the times between those that follow.
    arrivals: Option<(Instant, Intervals)>,
    /// The index of the request that is sent next.
    next_request: usize,
}

impl<'a> Driver<'a> {
    /// Opens the connections. Requests begin from now on.
    ///
    /// # Errors
    /// [`HarnessError::Settings`] without requests, [`HarnessError::System`] if the server cannot be reached.
    pub fn open(
        address: SocketAddr,
        requests: &'a [Vec<u8>],
        schedule: Schedule,
    ) -> Result<Self, HarnessError> {
        if requests.is_empty() {
            return Err(HarnessError::Settings("there are no requests to send".to_owned()));
        }
        let poll = Poll::new().map_err(HarnessError::system("wait for sockets"))?;
        let connections = (0..schedule.connections())
            .map(|place| Connection::open(address, Token(place), poll.registry()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(HarnessError::system(format!("connect to {address}")))?;
        let now = Instant::now();
        let arrivals = match schedule {
            Schedule::Closed { .. } => None,
            Schedule::Open { rate, arrivals, .. } => Some((now, Intervals::new(rate, arrivals))),
        };
        // In a closed loop each answer is followed by the next request on the same connection.
        let waiting =
            if arrivals.is_none() { connections.iter().map(|_| now).collect() } else { VecDeque::new() };
        let idle = (0..connections.len()).collect();
        let is_open = schedule.is_open();
        Ok(Self { address, requests, is_open, poll, connections, idle, waiting, arrivals, next_request: 0 })
    }

    /// Has the bodies of answers kept.
    #[must_use]
    pub fn keeping_bodies(mut self) -> Self {
        self.connections.iter_mut().for_each(Connection::keep_bodies);
        self
    }

    /// Sends requests until `end`, and passes each answer on.
    ///
    /// # Errors
    /// [`HarnessError::System`] if the server refuses connections or does not speak HTTP/1.1 with
    /// `Content-Length`.
    pub fn send_until(
        &mut self,
        end: Instant,
        on_answer: &mut impl FnMut(Answer),
    ) -> Result<(), HarnessError> {
        let mut events = Events::with_capacity(EVENTS);
        loop {
            let now = Instant::now();
            if now >= end {
                return Ok(());
            }
            if let Some((due, intervals)) = &mut self.arrivals {
                while *due <= now {
                    self.waiting.push_back(*due);
                    *due += intervals.next();
                }
            }
            self.send_waiting()?;
            let next = self.arrivals.as_ref().map_or(end, |(due, _)| end.min(*due));
            let has_time = self.idle.is_empty() || next.saturating_duration_since(now) > POLL_INTERVAL * 2;
            if has_time && self.arrivals.is_some() {
                // A server on the other thread of this core gets slower with every poll, and each wake-up
                // costs time.
                thread::sleep(POLL_INTERVAL);
            }
            self.wait(&mut events, next)?;
            for event in &events {
                let Token(place) = event.token();
                let Some(answer) = self.advance(place)? else { continue };
                let now = answer.at;
                on_answer(answer);
                if self.arrivals.is_none() {
                    self.waiting.push_back(now);
                    self.send_waiting()?;
                }
            }
        }
    }

    /// Waits for the answers that are still due. Requests that get none in time have failed.
    ///
    /// # Errors
    /// As [`Driver::send_until`].
    pub fn drain(&mut self, on_answer: &mut impl FnMut(Answer)) -> Result<(), HarnessError> {
        if !self.is_open {
            self.waiting.clear();
        }
        let end = Instant::now() + DRAIN_TIMEOUT;
        let mut events = Events::with_capacity(EVENTS);
        while self.connections.iter().any(Connection::is_busy) && Instant::now() < end {
            self.wait(&mut events, end)?;
            for event in &events {
                let Token(place) = event.token();
                if let Some(answer) = self.advance(place)? {
                    on_answer(answer);
                }
            }
            self.send_waiting()?;
        }
        self.fail_older_than(Duration::ZERO, on_answer)?;
        let now = Instant::now();
        for due in std::mem::take(&mut self.waiting) {
            let latency = Latency { from_due: now - due, from_sent: None };
            on_answer(Answer { request: self.next_request, due, at: now, latency, result: Err(timed_out()) });
        }
        Ok(())
    }

    /// Abandons requests that were sent longer ago than `timeout`. Their connections are replaced.
    ///
    /// # Errors
    /// As [`Driver::send_until`].
    pub fn fail_older_than(
        &mut self,
        timeout: Duration,
        on_answer: &mut impl FnMut(Answer),
    ) -> Result<(), HarnessError> {
        let now = Instant::now();
        for (place, connection) in self.connections.iter_mut().enumerate() {
            let outcome = connection.give_up(now, timeout, timed_out(), self.poll.registry());
            if let Some(outcome) = outcome.map_err(lost(self.address))? {
                self.idle.push_back(place);
                on_answer(answer(outcome));
            }
        }
        Ok(())
    }

    /// Sends waiting requests on idle connections.
    fn send_waiting(&mut self) -> Result<(), HarnessError> {
        while let (Some(&since), Some(&place)) = (self.waiting.front(), self.idle.front()) {
            self.waiting.pop_front();
            self.idle.pop_front();
            let request = self.next_request;
            self.next_request = (request + 1) % self.requests.len();
            if let Some(connection) = self.connections.get_mut(place) {
                let sent = connection.send(self.requests, request, since, self.poll.registry());
                sent.map_err(lost(self.address))?;
            }
        }
        Ok(())
    }

    fn advance(&mut self, place: usize) -> Result<Option<Answer>, HarnessError> {
        let Some(connection) = self.connections.get_mut(place) else { return Ok(None) };
        let outcome = connection.advance(self.requests, self.poll.registry());
        let outcome = outcome.map_err(lost(self.address))?;
        if outcome.is_some() {
            self.idle.push_back(place);
        }
        Ok(outcome.map(answer))
    }

    /// Waits for events, until `next` at most.
    fn wait(&mut self, events: &mut Events, next: Instant) -> Result<(), HarnessError> {
        let left = next.saturating_duration_since(Instant::now()).saturating_sub(TIMER_RESOLUTION);
        match self.poll.poll(events, Some(left)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
            result => result.map_err(HarnessError::system("wait for sockets")),
        }
    }
}

fn answer(outcome: Outcome) -> Answer {
    let at = Instant::now();
    let latency = Latency { from_due: at - outcome.due, from_sent: Some(at - outcome.sent) };
    Answer { request: outcome.request, due: outcome.due, at, latency, result: outcome.result }
}

fn timed_out() -> io::Error {
    io::Error::new(ErrorKind::TimedOut, "no answer in time")
}

fn lost(address: SocketAddr) -> impl FnOnce(io::Error) -> HarnessError {
    HarnessError::system(format!("talk HTTP with {address}"))
}
