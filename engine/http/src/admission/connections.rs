//! The connections of a listener: their number, and the eviction of idle ones when the limit is reached.
//!
//! A connection whose request is half sent, and whose client sends nothing more, is idle too.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};

/// The maximum time that a new connection waits for an eviction.
const EVICTION_TIMEOUT: Duration = Duration::from_secs(2);
/// The interval at which more connections are evicted while it waits: others become idle, and some take their
/// time to close.
const EVICTION_INTERVAL: Duration = Duration::from_millis(50);
/// The divisor of the connection limit that gives the number of connections evicted at once. The search takes
/// time, during which no connection is accepted.
const EVICTION_FRACTION: usize = 64;
/// The time during which a new connection without a request is not treated as idle. Its first request may be
/// in transit, and a busy machine may take that long to read it.
pub const FIRST_REQUEST_GRACE: Duration = Duration::from_secs(1);
/// The time after which a connection that waits for a body is treated as idle, unless [`UPLOAD_STEP_BYTES`] of it
/// arrived.
const UPLOAD_PAUSE: Duration = Duration::from_secs(1);
/// The bytes of a body that count as progress. Single bytes would keep a connection's place for as long as a
/// request may take.
const UPLOAD_STEP_BYTES: usize = 1024;

/// The connections of a listener.
#[derive(Debug)]
pub struct Connections {
    max: usize,
    /// The age from which a request in flight no longer protects its connection: its client neither sends nor
    /// reads.
    max_request_age: Duration,
    start: Instant,
    open: Mutex<OpenConnections>,
    count: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct OpenConnections {
    next: u64,
    states: HashMap<u64, Arc<ConnectionState>>,
}

/// The state of an open connection.
#[derive(Debug)]
pub struct ConnectionState {
    start: Instant,
    has_started: AtomicBool,
    in_flight: AtomicU32,
    /// The start of its last request, or of the connection if there was none, in milliseconds since `start`.
    last_request_start: AtomicU64,
    /// The number of requests in flight whose bodies have not arrived whole.
    uploads: AtomicU32,
    /// The time at which a part of such a body last arrived, in milliseconds since `start`.
    last_upload_progress: AtomicU64,
    /// The reason to close it, once it is set.
    reason: OnceLock<CloseReason>,
    close_requested: Notify,
    /// Wakes the tasks of requests, if they are not that of the connection.
    eviction: Notify,
}

/// The reason to close a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// The engine shuts down. The connection closes after its requests in flight.
    Drained,
    /// Another connection needs its slot. The connection closes after a short grace period.
    Evicted,
}

/// The slot of a connection in the table. It is freed when dropped.
#[derive(Debug)]
pub struct ConnectionSlot {
    pub state: Arc<ConnectionState>,
    connections: Arc<Connections>,
    id: u64,
}

impl Connections {
    pub fn new(max: usize, max_request_age: Duration) -> Self {
        let count = watch::Sender::new(0);
        Self { max, max_request_age, start: Instant::now(), open: Mutex::default(), count }
    }

    /// Returns a slot for another connection. If all are taken, idle connections are evicted first. `None` if
    /// no slot is freed in time.
    pub async fn acquire(self: &Arc<Self>) -> Option<ConnectionSlot> {
        if *self.count.borrow() < self.max {
            return Some(self.acquire_slot());
        }
        let deadline = Instant::now() + EVICTION_TIMEOUT;
        let mut count = self.count.subscribe();
        if !self.is_evicting() {
            self.evict_idle();
        }
        while Instant::now() < deadline {
            // The result holds the lock of the count.
            let has_room =
                timeout(EVICTION_INTERVAL, count.wait_for(|count| *count < self.max)).await.is_ok();
            if has_room {
                return Some(self.acquire_slot());
            }
            self.evict_idle();
        }
        None
    }

    /// Returns whether some connections are being closed already.
    fn is_evicting(&self) -> bool {
        self.lock().states.values().any(|state| state.reason.get().is_some())
    }

    fn acquire_slot(self: &Arc<Self>) -> ConnectionSlot {
        let state = Arc::new(ConnectionState {
            start: self.start,
            has_started: AtomicBool::new(false),
            in_flight: AtomicU32::new(0),
            last_request_start: AtomicU64::new(milliseconds(self.start.elapsed())),
            uploads: AtomicU32::new(0),
            last_upload_progress: AtomicU64::new(0),
            reason: OnceLock::new(),
            close_requested: Notify::new(),
            eviction: Notify::new(),
        });
        let mut open = self.lock();
        let id = open.next;
        open.next += 1;
        open.states.insert(id, Arc::clone(&state));
        self.count.send_replace(open.states.len());
        ConnectionSlot { state, connections: Arc::clone(self), id }
    }

    /// Evicts some of the longest-idle connections. Connections without any request come first, unless they
    /// are new. A connection whose request exceeds the maximum age counts as idle, and so does one that waits
    /// for a body of which nothing arrives.
    fn evict_idle(&self) {
        let ago = |time: Duration| milliseconds(self.start.elapsed().saturating_sub(time));
        let (long_ago, just_now) = (ago(self.max_request_age), ago(FIRST_REQUEST_GRACE));
        let paused = ago(UPLOAD_PAUSE);
        let wanted = (self.max / EVICTION_FRACTION).max(1);
        let mut idle: Vec<_> = {
            let open = self.lock();
            let with_age = |state: &Arc<ConnectionState>| {
                if state.reason.get().is_some() {
                    return None;
                }
                let begun = state.idle_since(long_ago, paused)?;
                Some(((state.has_started() || begun > just_now, begun), Arc::clone(state)))
            };
            open.states.values().filter_map(with_age).collect()
        };
        if idle.len() > wanted {
            idle.select_nth_unstable_by_key(wanted, |(age, _)| *age);
            idle.truncate(wanted);
        }
        for (_, state) in idle {
            state.request_close(CloseReason::Evicted);
        }
    }

    /// Asks every connection to close after its requests in flight.
    pub fn close_all(&self) {
        for state in self.lock().states.values() {
            state.request_close(CloseReason::Drained);
        }
    }

    /// Waits until there is no connection.
    pub async fn all_closed(&self) {
        // It fails only if the sender is dropped, and `self` owns that.
        let _ = self.count.subscribe().wait_for(|count| *count == 0).await;
    }

    fn lock(&self) -> MutexGuard<'_, OpenConnections> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        let mut open = self.connections.lock();
        open.states.remove(&self.id);
        self.connections.count.send_replace(open.states.len());
    }
}

impl ConnectionState {
    /// Counts a request as in flight until the returned guard is dropped.
    pub fn request_started(self: &Arc<Self>) -> InFlight {
        self.has_started.store(true, Ordering::Relaxed);
        self.last_request_start.store(milliseconds(self.start.elapsed()), Ordering::Relaxed);
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(Arc::clone(self))
    }

    /// Counts a request whose body has not arrived whole, until the returned guard is dropped.
    pub fn upload_started(self: &Arc<Self>) -> Upload {
        self.uploads.fetch_add(1, Ordering::Relaxed);
        Upload { connection: Arc::clone(self), new_bytes: 0 }
    }

    /// Returns since when nothing has happened on an idle connection, in milliseconds since `start`. `None` for
    /// a connection with a request in flight, unless it began before `long_ago`, or waits for a body of which
    /// nothing has arrived since `paused`.
    fn idle_since(&self, long_ago: u64, paused: u64) -> Option<u64> {
        let begun = self.last_request_start.load(Ordering::Relaxed);
        let in_flight = self.in_flight.load(Ordering::Relaxed);
        if in_flight == 0 || begun < long_ago {
            return Some(begun);
        }
        let progress = begun.max(self.last_upload_progress.load(Ordering::Relaxed));
        let only_waits = self.uploads.load(Ordering::Relaxed) >= in_flight;
        Some(progress).filter(|progress| only_waits && *progress < paused)
    }

    /// Returns whether the connection makes room for another one.
    pub fn is_evicted(&self) -> bool {
        self.reason.get() == Some(&CloseReason::Evicted)
    }

    /// Waits until the connection makes room for another one.
    pub async fn evicted(&self) {
        let eviction = self.eviction.notified();
        if !self.is_evicted() {
            eviction.await;
        }
    }

    /// Returns whether a request has started.
    pub fn has_started(&self) -> bool {
        self.has_started.load(Ordering::Relaxed)
    }

    /// Waits for the first request.
    pub async fn first_request_started(&self) {
        poll_fn(|_| if self.has_started() { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    /// Returns the start of the last request, or of the connection if there was none.
    pub fn last_request_start(&self) -> Instant {
        self.start + Duration::from_millis(self.last_request_start.load(Ordering::Relaxed))
    }

    fn request_close(&self, reason: CloseReason) {
        // The first reason stays.
        let _ = self.reason.set(reason);
        self.close_requested.notify_one();
        if reason == CloseReason::Evicted {
            self.eviction.notify_waiters();
        }
    }

    /// Waits until the connection is asked to close.
    pub async fn closing(&self) -> CloseReason {
        if let Some(reason) = self.reason.get() {
            return *reason;
        }
        self.close_requested.notified().await;
        self.reason.get().copied().unwrap_or(CloseReason::Evicted)
    }
}

/// A request in flight.
#[derive(Debug)]
pub struct InFlight(Arc<ConnectionState>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A request whose body has not arrived whole.
#[derive(Debug)]
pub struct Upload {
    connection: Arc<ConnectionState>,
    /// The bytes that arrived since the last progress.
    new_bytes: usize,
}

impl Upload {
    /// Counts bytes of the body. More are due.
    pub fn received(&mut self, bytes: usize) {
        self.new_bytes = self.new_bytes.saturating_add(bytes);
        if self.new_bytes >= UPLOAD_STEP_BYTES {
            self.new_bytes = 0;
            let ConnectionState { start, last_upload_progress, .. } = &*self.connection;
            last_upload_progress.store(milliseconds(start.elapsed()), Ordering::Relaxed);
        }
    }

    /// Returns whether the connection makes room for another one.
    pub fn is_evicted(&self) -> bool {
        self.connection.is_evicted()
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.connection.uploads.fetch_sub(1, Ordering::Relaxed);
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX_REQUEST_AGE: Duration = Duration::from_secs(60);

    /// Returns the index of the connection that was evicted for a new one.
    async fn evicted(connections: &Arc<Connections>, slots: Vec<ConnectionSlot>) -> Option<usize> {
        let entering = tokio::spawn({
            let connections = Arc::clone(connections);
            async move { connections.acquire().await.is_some() }
        });
        let mut evicted = None;
        for (index, slot) in slots.into_iter().enumerate() {
            let state = Arc::clone(&slot.state);
            if timeout(Duration::from_millis(1), state.closing()).await == Ok(CloseReason::Evicted) {
                evicted = Some(index);
                drop(slot);
                assert!(entering.await.unwrap());
                return evicted;
            }
            std::mem::forget(slot);
        }
        assert!(!entering.await.unwrap());
        evicted
    }

    async fn full(count: usize) -> (Arc<Connections>, Vec<ConnectionSlot>) {
        let connections = Arc::new(Connections::new(count, MAX_REQUEST_AGE));
        let mut slots = Vec::new();
        for _ in 0..count {
            slots.push(connections.acquire().await.unwrap());
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        (connections, slots)
    }

    #[tokio::test(start_paused = true)]
    async fn who_never_asked_makes_room_before_who_has_been_idle_for_longest() {
        let (connections, slots) = full(3).await;
        drop(slots[0].state.request_started());
        drop(slots[1].state.request_started());
        assert_eq!(evicted(&connections, slots).await, Some(2));

        let (connections, slots) = full(3).await;
        for index in [1, 0, 2] {
            drop(slots[index].state.request_started());
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert_eq!(evicted(&connections, slots).await, Some(1));
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_just_come_does_not_make_room_before_the_others() {
        for (waited, makes_room) in [(Duration::from_millis(100), 0), (Duration::from_secs(2), 1)] {
            let connections = Arc::new(Connections::new(2, MAX_REQUEST_AGE));
            let idle = connections.acquire().await.unwrap();
            drop(idle.state.request_started());
            tokio::time::advance(Duration::from_secs(10)).await;
            let new = connections.acquire().await.unwrap();
            tokio::time::advance(waited).await;
            assert_eq!(evicted(&connections, vec![idle, new]).await, Some(makes_room), "{waited:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_a_request_stays_unless_it_takes_too_long() {
        let (connections, slots) = full(2).await;
        let in_flight: Vec<_> = slots.iter().map(|slot| slot.state.request_started()).collect();
        assert_eq!(evicted(&connections, slots).await, None);
        drop(in_flight);

        let (connections, slots) = full(2).await;
        let _stuck = slots[1].state.request_started();
        tokio::time::advance(MAX_REQUEST_AGE * 2).await;
        let _fresh = slots[0].state.request_started();
        assert_eq!(evicted(&connections, slots).await, Some(1));
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_a_body_of_which_nothing_comes_makes_room_as_an_idle_one_does() {
        // Nothing of the second one's body has come for longest.
        let (connections, slots) = full(3).await;
        let in_flight: Vec<_> = slots.iter().map(|slot| slot.state.request_started()).collect();
        let mut uploads: Vec<_> = slots.iter().map(|slot| slot.state.upload_started()).collect();
        for index in [1, 0, 2] {
            uploads[index].received(UPLOAD_STEP_BYTES);
            tokio::time::advance(UPLOAD_PAUSE).await;
        }
        assert_eq!(evicted(&connections, slots).await, Some(1));
        drop((in_flight, uploads));

        // Single bytes are no progress.
        let (connections, slots) = full(1).await;
        let _in_flight = slots[0].state.request_started();
        let mut upload = slots[0].state.upload_started();
        for _ in 0..20 {
            upload.received(1);
            tokio::time::advance(UPLOAD_PAUSE / 10).await;
        }
        assert_eq!(evicted(&connections, slots).await, Some(0));
        drop(upload);

        // Each of these has a request that goes on: its body came whole, or a part of it came just now, or
        // another request on the connection is being answered.
        for case in 0..3 {
            let (connections, slots) = full(1).await;
            let _in_flight = slots[0].state.request_started();
            let mut upload = slots[0].state.upload_started();
            tokio::time::advance(UPLOAD_PAUSE * 2).await;
            let _kept = match case {
                0 => {
                    drop(upload);
                    None
                }
                1 => {
                    upload.received(UPLOAD_STEP_BYTES);
                    Some((upload, None))
                }
                _ => Some((upload, Some(slots[0].state.request_started()))),
            };
            assert_eq!(evicted(&connections, slots).await, None, "{case}");
        }
    }

    #[tokio::test]
    async fn all_end_when_they_are_told() {
        let (connections, slots) = {
            let connections = Arc::new(Connections::new(2, MAX_REQUEST_AGE));
            let slots = [connections.acquire().await.unwrap(), connections.acquire().await.unwrap()];
            (connections, slots)
        };
        connections.close_all();
        for slot in slots {
            assert_eq!(slot.state.closing().await, CloseReason::Drained);
        }
        connections.all_closed().await;
    }
}
