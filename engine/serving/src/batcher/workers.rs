use std::collections::{BinaryHeap, VecDeque};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use super::queue::Queue;

/// The time after which a thread that has nothing to do ends. One stays.
const LINGER: Duration = Duration::from_secs(10);

/// The threads that run the batches of all models, started on demand. Clones share them. They end once the last
/// clone is dropped.
///
/// A model that runs keeps as many threads busy as it has sessions. So one slow model delays no other, as long as
/// there are more threads than sessions that are slow at once.
///
/// ```
/// use std::num::NonZeroUsize;
///
/// use onnward_serving::batcher::Workers;
///
/// let workers = Workers::new(NonZeroUsize::MIN);
/// assert_eq!(workers.threads(), 0, "a thread starts when there is something to run");
/// ```
#[derive(Debug, Clone)]
pub struct Workers {
    pool: Arc<Pool>,
    /// Ends the threads when the last clone is dropped.
    _end: Arc<EndGuard>,
}

#[derive(Debug)]
struct Pool {
    state: Mutex<State>,
    changed: Condvar,
    max_threads: usize,
    /// Whether a queue waits for a thread, so that a thread looks for it between two batches of another.
    has_waiting: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    /// The queues with batches to run, in turn.
    ready: VecDeque<Arc<Queue>>,
    /// The queues to look at later, the earliest first.
    later: BinaryHeap<Later>,
    threads: usize,
    sleeping: usize,
    /// Whether a thread measures costs. Others would disturb it.
    is_measuring: bool,
    is_ended: bool,
}

/// A queue whose costs may be measured from a time on.
#[derive(Debug)]
struct Later {
    at: Instant,
    queue: Weak<Queue>,
}

/// What a thread does next.
enum Work {
    /// It runs the batches of a queue.
    Batches(Arc<Queue>),
    /// It measures the costs of a queue's batches, if it has been idle long enough.
    Measure(Arc<Queue>),
}

#[derive(Debug)]
struct EndGuard(Arc<Pool>);

impl Workers {
    /// Prepares at most this many threads.
    pub fn new(max_threads: std::num::NonZeroUsize) -> Self {
        let pool = Arc::new(Pool {
            state: Mutex::default(),
            changed: Condvar::new(),
            max_threads: max_threads.get(),
            has_waiting: AtomicBool::new(false),
        });
        Self { _end: Arc::new(EndGuard(Arc::clone(&pool))), pool }
    }

    /// Returns the number of threads now.
    pub fn threads(&self) -> usize {
        self.pool.lock().threads
    }

    /// Starts a thread if there is none.
    ///
    /// # Errors
    /// The error of the operating system if it starts no thread.
    pub(super) fn ensure_one(&self) -> io::Result<()> {
        let mut state = self.pool.lock();
        if state.threads > 0 {
            return Ok(());
        }
        state.threads += 1;
        drop(state);
        self.start_thread()
    }

    /// Has a thread run the batches of a queue. It starts one if all are busy.
    pub(super) fn run(&self, queue: Arc<Queue>) {
        let mut state = self.pool.lock();
        state.ready.push_back(queue);
        self.pool.has_waiting.store(true, Ordering::Relaxed);
        // A sleeping thread that was woken is counted until it runs, so each queue needs one of its own.
        if state.ready.len() <= state.sleeping {
            drop(state);
            return self.pool.changed.notify_one();
        }
        if state.threads >= self.pool.max_threads {
            return;
        }
        state.threads += 1;
        drop(state);
        if let Err(error) = self.start_thread() {
            tracing::debug!(%error, "no further worker thread can be started: those that run do all the work");
        }
    }

    /// Has a thread that is there already run the last batches of a queue that was closed. The caller may be a
    /// thread of low priority, which a new thread would inherit.
    pub(super) fn finish(&self, queue: Arc<Queue>) {
        self.pool.lock().ready.push_back(queue);
        self.pool.has_waiting.store(true, Ordering::Relaxed);
        self.pool.changed.notify_one();
    }

    /// Has the costs of a queue's batches measured from `at` on, when nothing else is to be done.
    pub(super) fn measure_at(&self, at: Instant, queue: Weak<Queue>) {
        self.pool.lock().later.push(Later { at, queue });
        self.pool.changed.notify_one();
    }

    /// Returns whether another queue waits for a thread.
    pub(super) fn has_waiting(&self) -> bool {
        self.pool.has_waiting.load(Ordering::Relaxed)
    }

    /// Starts a thread that is counted already.
    fn start_thread(&self) -> io::Result<()> {
        let pool = Arc::clone(&self.pool);
        let started = thread::Builder::new().name("batches".to_owned()).spawn(move || pool.work());
        if started.is_err() {
            self.pool.lock().threads -= 1;
        }
        started.map(drop)
    }
}

impl Drop for EndGuard {
    fn drop(&mut self) {
        self.0.lock().is_ended = true;
        self.0.changed.notify_all();
    }
}

impl Pool {
    /// Does what there is to do, until there has been nothing for a while, or the workers end.
    fn work(&self) {
        let mut state = self.lock();
        loop {
            let work = state.next(Instant::now());
            self.has_waiting.store(!state.ready.is_empty(), Ordering::Relaxed);
            match work {
                Some(Work::Batches(queue)) => {
                    drop(state);
                    guarded(move || queue.run_batches());
                    state = self.lock();
                }
                Some(Work::Measure(queue)) => {
                    state.is_measuring = true;
                    drop(state);
                    guarded(move || queue.measure());
                    state = self.lock();
                    state.is_measuring = false;
                }
                None if state.is_ended => break,
                None => {
                    let is_late;
                    (state, is_late) = self.sleep(state);
                    if is_late && state.threads > 1 && state.ready.is_empty() {
                        break;
                    }
                }
            }
        }
        state.threads -= 1;
    }

    /// Waits until there may be something to do. Returns whether nothing came for as long as a thread lingers.
    fn sleep<'a>(&self, mut state: MutexGuard<'a, State>) -> (MutexGuard<'a, State>, bool) {
        let next = state.later.peek().filter(|_| !state.is_measuring);
        let until_next = next.map(|later| later.at.saturating_duration_since(Instant::now()));
        let wait = until_next.map_or(LINGER, |time| time.min(LINGER));
        state.sleeping += 1;
        let (mut state, waited) =
            self.changed.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner);
        state.sleeping -= 1;
        (state, waited.timed_out() && wait == LINGER)
    }

    // A panic cannot leave the counts half changed, because nothing panics while the lock is held.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs work whose panic must not end the thread: a runtime may panic when a session is dropped, and the thread
/// would still be counted.
fn guarded(work: impl FnOnce()) {
    // The panic is logged by the process's hook.
    let _ = catch_unwind(AssertUnwindSafe(work));
}

impl State {
    /// Takes what is to be done next.
    fn next(&mut self, now: Instant) -> Option<Work> {
        if let Some(queue) = self.ready.pop_front() {
            return Some(Work::Batches(queue));
        }
        while !self.is_measuring && self.later.peek().is_some_and(|later| later.at <= now) {
            // The queue of an unloaded model is gone.
            if let Some(queue) = self.later.pop().and_then(|later| later.queue.upgrade()) {
                return Some(Work::Measure(queue));
            }
        }
        None
    }
}

impl PartialEq for Later {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Later {}

impl PartialOrd for Later {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Later {
    // The earliest is the greatest, as a heap gives the greatest first.
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        other.at.cmp(&self.at)
    }
}
