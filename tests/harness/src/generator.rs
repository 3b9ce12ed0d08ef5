//! The load generator of the comparison: one thread, sockets without a client library above them, and requests whose bytes
//! are made beforehand, so that it costs less than any server that it measures.
//!
//! In an open loop a latency counts from the time at which its request should have begun, so that a server that stands
//! still cannot hide it by holding up the requests that would have noticed (coordinated omission; Gil Tene, How NOT to
//! Measure Latency, 2015).

mod connection;
mod response;
mod schedule;
mod windows;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};

use crate::error::HarnessError;
use connection::{Connection, Outcome};
use schedule::Intervals;
use windows::{Took, Windows};

pub use response::{Answered, ResponseReader};
pub use schedule::{Arrivals, Schedule};
pub use windows::{AGREEING, Latencies, Statuses, WindowFigures};

/// The system's timer is not more exact than this: what is due earlier is waited for without sleeping.
const TIMER: Duration = Duration::from_millis(1);
/// How long nobody looks for answers while nothing is to be sent.
const NAP: Duration = Duration::from_micros(100);
/// How long answers are waited for after the last window.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many events are taken at once.
const EVENTS: usize = 256;

/// What is sent, where, when, and for how long.
#[derive(Debug, Clone)]
pub struct RunPlan {
    /// Whom it is sent to.
    pub address: SocketAddr,
    /// Whole requests, which are sent in turn; see [`post`].
    pub requests: Vec<Vec<u8>>,
    /// When they begin.
    pub schedule: Schedule,
    /// How long they are sent before anything counts.
    pub warm_up: Duration,
    /// How long a window is. Three make a run.
    pub window: Duration,
    /// How many windows are tried until three in a row agree.
    pub max_windows: usize,
}

/// A request that posts JSON and keeps its connection.
pub fn post(host: &str, path: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// Puts the load on a server. `server_cpu` tells how much processor time that server has used; it is asked at the windows'
/// ends.
///
/// # Errors
/// [`HarnessError::System`] if the server cannot be reached or does not speak HTTP/1.1 with `Content-Length`.
pub fn run(plan: &RunPlan, server_cpu: impl FnMut() -> Duration) -> Result<WindowFigures, HarnessError> {
    Generator::new(plan)?.run(server_cpu)
}

struct Generator<'a> {
    plan: &'a RunPlan,
    poll: Poll,
    connections: Vec<Connection>,
    /// Connections on which nothing is on its way, by their places.
    idle: VecDeque<usize>,
    /// When requests should have begun for which no connection was free.
    waiting: VecDeque<Instant>,
    /// When the next request begins, and the times between those that follow.
    arrivals: Option<(Instant, Intervals)>,
    next_request: usize,
    windows: Windows,
}

impl<'a> Generator<'a> {
    fn new(plan: &'a RunPlan) -> Result<Self, HarnessError> {
        if plan.requests.is_empty() {
            return Err(HarnessError::Settings("there is nothing to send".to_owned()));
        }
        let poll = Poll::new().map_err(HarnessError::system("wait for sockets"))?;
        let connections = (0..plan.schedule.connections())
            .map(|place| Connection::open(plan.address, Token(place), poll.registry()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(HarnessError::system(format!("connect to {}", plan.address)))?;
        let now = Instant::now();
        let arrivals = match plan.schedule {
            Schedule::Closed { .. } => None,
            Schedule::Open { rate, arrivals, .. } => Some((now, Intervals::new(rate, arrivals))),
        };
        let idle = (0..connections.len()).collect();
        let windows = Windows::new(now)?;
        Ok(Self {
            plan,
            poll,
            connections,
            idle,
            waiting: VecDeque::new(),
            arrivals,
            next_request: 0,
            windows,
        })
    }

    fn run(mut self, mut server_cpu: impl FnMut() -> Duration) -> Result<WindowFigures, HarnessError> {
        if self.arrivals.is_none() {
            // Each is answered by the next on the same connection.
            self.waiting.extend(self.connections.iter().map(|_| Instant::now()));
        }
        let mut end = Instant::now() + self.plan.warm_up;
        self.send_until(end)?;
        self.windows.begin(server_cpu())?;
        for count in 1..=self.plan.max_windows.max(AGREEING) {
            end += self.plan.window;
            self.send_until(end)?;
            let is_stable = self.windows.next(server_cpu())?;
            if is_stable && count >= AGREEING {
                break;
            }
        }
        self.drain()?;
        self.windows.figures()
    }

    fn send_until(&mut self, end: Instant) -> Result<(), HarnessError> {
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
            let has_time = self.idle.is_empty() || next.saturating_duration_since(now) > NAP * 2;
            if has_time && self.arrivals.is_some() {
                // Nothing is to be sent. A server on the other thread of this core would be slower for every look, and one that
                // is waited for pays for each waking.
                thread::sleep(NAP);
            }
            self.wait(&mut events, next)?;
            for event in &events {
                let Token(place) = event.token();
                let Some(outcome) = self.advance(place)? else { continue };
                let now = Instant::now();
                self.windows.record(outcome.status, outcome.took(now), now);
                if self.arrivals.is_none() {
                    self.waiting.push_back(now);
                    self.send_waiting()?;
                }
            }
        }
    }

    /// Gives the requests that wait to the connections that are free.
    fn send_waiting(&mut self) -> Result<(), HarnessError> {
        while let (Some(&since), Some(&place)) = (self.waiting.front(), self.idle.front()) {
            self.waiting.pop_front();
            self.idle.pop_front();
            let request = self.next_request;
            self.next_request = (request + 1) % self.plan.requests.len();
            if let Some(connection) = self.connections.get_mut(place) {
                let sent = connection.send(&self.plan.requests, request, since, self.poll.registry());
                sent.map_err(lost(self.plan.address))?;
            }
        }
        Ok(())
    }

    fn advance(&mut self, place: usize) -> Result<Option<Outcome>, HarnessError> {
        let Some(connection) = self.connections.get_mut(place) else { return Ok(None) };
        let outcome = connection.advance(&self.plan.requests, self.poll.registry());
        let outcome = outcome.map_err(lost(self.plan.address))?;
        if outcome.is_some() {
            self.idle.push_back(place);
        }
        Ok(outcome)
    }

    /// Waits for events, until `next` at most.
    fn wait(&mut self, events: &mut Events, next: Instant) -> Result<(), HarnessError> {
        let left = next.saturating_duration_since(Instant::now()).saturating_sub(TIMER);
        match self.poll.poll(events, Some(left)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
            result => result.map_err(HarnessError::system("wait for sockets")),
        }
    }

    /// Waits for the answers that are due, and counts them where leaving them out would hide how long they took.
    fn drain(&mut self) -> Result<(), HarnessError> {
        let is_open = self.plan.schedule.is_open();
        if !is_open {
            self.waiting.clear();
        }
        let end = Instant::now() + PATIENCE;
        let mut events = Events::with_capacity(EVENTS);
        while self.connections.iter().any(Connection::is_busy) && Instant::now() < end {
            self.wait(&mut events, end)?;
            for event in &events {
                let Token(place) = event.token();
                let outcome = self.advance(place)?;
                if let Some(outcome) = outcome.filter(|_| is_open) {
                    self.windows.record_late(outcome.status, outcome.took(Instant::now()));
                }
            }
            self.send_waiting()?;
        }
        let now = Instant::now();
        let unanswered = self.connections.iter().filter_map(|connection| connection.given_up(now));
        let unsent = self.waiting.iter().map(|&since| Took { from_due: now - since, from_sent: None });
        for took in unanswered.chain(unsent).filter(|_| is_open) {
            self.windows.record_late(None, took);
        }
        Ok(())
    }
}

fn lost(address: SocketAddr) -> impl FnOnce(std::io::Error) -> HarnessError {
    HarnessError::system(format!("go on talking HTTP with {address}"))
}
