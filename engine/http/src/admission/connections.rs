//! All connections of a listener: how many there are, and which of them goes when there is no room for another.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};

/// How long a new connection waits for those that make room for it.
const ROOM_TIMEOUT: Duration = Duration::from_secs(2);
/// Which part of all connections makes room at once: to look for them takes time, in which nobody is let in.
const ROOM_SHARE: usize = 64;
/// How long a new connection is not taken for one on which no request comes: the first may be on its way, and on a busy machine it
/// may take that long to be read.
pub const FIRST_REQUEST: Duration = Duration::from_secs(1);

/// The connections of a listener.
#[derive(Debug)]
pub struct Connections {
    max: usize,
    /// After so long, a connection with a request under way is taken for one whose client neither sends nor reads.
    busy: Duration,
    start: Instant,
    open: Mutex<Open>,
    count: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    states: HashMap<u64, Arc<ConnectionState>>,
}

/// What is known of a connection while it lasts.
#[derive(Debug)]
pub struct ConnectionState {
    start: Instant,
    has_begun: AtomicBool,
    under_way: AtomicU32,
    /// When its last request began, or else it itself, in milliseconds since `start`.
    last_begun: AtomicU64,
    /// How it is to end, once it is.
    ending: OnceLock<Ending>,
    told: Notify,
}

/// How a connection is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Once the requests that are under way are answered.
    WhenDone,
    /// Now, as another one needs its place.
    AtOnce,
}

/// The place of a connection among the others, until it is dropped.
#[derive(Debug)]
pub struct Place {
    pub state: Arc<ConnectionState>,
    connections: Arc<Connections>,
    id: u64,
}

impl Connections {
    pub fn new(max: usize, busy: Duration) -> Self {
        let count = watch::Sender::new(0);
        Self { max, busy, start: Instant::now(), open: Mutex::default(), count }
    }

    /// A place for another connection. Where all are taken, those that can best be done without are closed; `None` if there is none.
    pub async fn enter(self: &Arc<Self>) -> Option<Place> {
        if *self.count.borrow() < self.max {
            return Some(self.place());
        }
        self.make_room();
        let mut count = self.count.subscribe();
        let room = timeout(ROOM_TIMEOUT, count.wait_for(|count| *count < self.max)).await;
        room.ok()?.ok()?;
        Some(self.place())
    }

    fn place(self: &Arc<Self>) -> Place {
        let state = Arc::new(ConnectionState {
            start: self.start,
            has_begun: AtomicBool::new(false),
            under_way: AtomicU32::new(0),
            last_begun: AtomicU64::new(milliseconds(self.start.elapsed())),
            ending: OnceLock::new(),
            told: Notify::new(),
        });
        let mut open = self.lock();
        let id = open.next;
        open.next += 1;
        open.states.insert(id, Arc::clone(&state));
        self.count.send_replace(open.states.len());
        Place { state, connections: Arc::clone(self), id }
    }

    /// Tells some of those to end that have been idle for longest, those first that never had a request, unless they have just come; one
    /// whose request has been under way for too long is as good as idle.
    fn make_room(&self) {
        let ago = |time: Duration| milliseconds(self.start.elapsed().saturating_sub(time));
        let (long_ago, just_now) = (ago(self.busy), ago(FIRST_REQUEST));
        let wanted = (self.max / ROOM_SHARE).max(1);
        let mut idle: Vec<_> = {
            let open = self.lock();
            if open.states.values().any(|state| state.ending.get().is_some()) {
                // Some are on their way out already.
                return;
            }
            let idle = open.states.values().filter(|state| {
                let begun = state.last_begun.load(Ordering::Relaxed);
                state.under_way.load(Ordering::Relaxed) == 0 || begun < long_ago
            });
            let with_age = |state: &Arc<ConnectionState>| {
                let begun = state.last_begun.load(Ordering::Relaxed);
                ((state.has_begun() || begun > just_now, begun), Arc::clone(state))
            };
            idle.map(with_age).collect()
        };
        if idle.len() > wanted {
            idle.select_nth_unstable_by_key(wanted, |(age, _)| *age);
            idle.truncate(wanted);
        }
        for (_, state) in idle {
            state.tell(Ending::AtOnce);
        }
    }

    /// Tells every connection to end when its requests are answered.
    pub fn end_all(&self) {
        for state in self.lock().states.values() {
            state.tell(Ending::WhenDone);
        }
    }

    /// Waits until there is no connection.
    pub async fn ended(&self) {
        // It can only fail when the sender is gone, and that is `self`.
        let _ = self.count.subscribe().wait_for(|count| *count == 0).await;
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.connections.lock();
        open.states.remove(&self.id);
        self.connections.count.send_replace(open.states.len());
    }
}

impl ConnectionState {
    /// Notes a request, which is under way until what is returned is dropped.
    pub fn request_begins(self: &Arc<Self>) -> UnderWay {
        self.has_begun.store(true, Ordering::Relaxed);
        self.last_begun.store(milliseconds(self.start.elapsed()), Ordering::Relaxed);
        self.under_way.fetch_add(1, Ordering::Relaxed);
        UnderWay(Arc::clone(self))
    }

    /// Whether there has been a request.
    pub fn has_begun(&self) -> bool {
        self.has_begun.load(Ordering::Relaxed)
    }

    /// Waits for the first request, beside the serving of the connection: whoever waits looks again whenever that has been looked at.
    pub async fn begun(&self) {
        poll_fn(|_| if self.has_begun() { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    /// When it began, or its last request did.
    pub fn last_begun(&self) -> Instant {
        self.start + Duration::from_millis(self.last_begun.load(Ordering::Relaxed))
    }

    fn tell(&self, ending: Ending) {
        // Whoever is on the way out already goes as they were told first.
        let _ = self.ending.set(ending);
        self.told.notify_one();
    }

    /// Waits until the connection is to end.
    pub async fn told_to_end(&self) -> Ending {
        self.told.notified().await;
        self.ending.get().copied().unwrap_or(Ending::AtOnce)
    }
}

/// A request that is under way.
#[derive(Debug)]
pub struct UnderWay(Arc<ConnectionState>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUSY: Duration = Duration::from_secs(60);

    /// Who of these was told to make room for one more.
    async fn told(connections: &Arc<Connections>, places: Vec<Place>) -> Option<usize> {
        let entering = tokio::spawn({
            let connections = Arc::clone(connections);
            async move { connections.enter().await.is_some() }
        });
        let mut told = None;
        for (index, place) in places.into_iter().enumerate() {
            let state = Arc::clone(&place.state);
            if timeout(Duration::from_millis(1), state.told_to_end()).await == Ok(Ending::AtOnce) {
                told = Some(index);
                drop(place);
                assert!(entering.await.unwrap());
                return told;
            }
            std::mem::forget(place);
        }
        assert!(!entering.await.unwrap());
        told
    }

    async fn full(count: usize) -> (Arc<Connections>, Vec<Place>) {
        let connections = Arc::new(Connections::new(count, BUSY));
        let mut places = Vec::new();
        for _ in 0..count {
            places.push(connections.enter().await.unwrap());
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        (connections, places)
    }

    #[tokio::test(start_paused = true)]
    async fn who_never_asked_makes_room_before_who_has_been_idle_for_longest() {
        let (connections, places) = full(3).await;
        drop(places[0].state.request_begins());
        drop(places[1].state.request_begins());
        assert_eq!(told(&connections, places).await, Some(2));

        let (connections, places) = full(3).await;
        for index in [1, 0, 2] {
            drop(places[index].state.request_begins());
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert_eq!(told(&connections, places).await, Some(1));
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_just_come_does_not_make_room_before_the_others() {
        for (waited, makes_room) in [(Duration::from_millis(100), 0), (Duration::from_secs(2), 1)] {
            let connections = Arc::new(Connections::new(2, BUSY));
            let idle = connections.enter().await.unwrap();
            drop(idle.state.request_begins());
            tokio::time::advance(Duration::from_secs(10)).await;
            let new = connections.enter().await.unwrap();
            tokio::time::advance(waited).await;
            assert_eq!(told(&connections, vec![idle, new]).await, Some(makes_room), "{waited:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_a_request_stays_unless_it_takes_too_long() {
        let (connections, places) = full(2).await;
        let under_way: Vec<_> = places.iter().map(|place| place.state.request_begins()).collect();
        assert_eq!(told(&connections, places).await, None);
        drop(under_way);

        let (connections, places) = full(2).await;
        let _stuck = places[1].state.request_begins();
        tokio::time::advance(BUSY * 2).await;
        let _fresh = places[0].state.request_begins();
        assert_eq!(told(&connections, places).await, Some(1));
    }

    #[tokio::test]
    async fn all_end_when_they_are_told() {
        let (connections, places) = {
            let connections = Arc::new(Connections::new(2, BUSY));
            let places = [connections.enter().await.unwrap(), connections.enter().await.unwrap()];
            (connections, places)
        };
        connections.end_all();
        for place in places {
            assert_eq!(place.state.told_to_end().await, Ending::WhenDone);
        }
        connections.ended().await;
    }
}
