//! The threads that use a runtime, counted: at the end of the process none may be left when the runtimes' libraries are
//! taken down.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Counts the threads that are at work.
#[derive(Debug, Clone, Default)]
pub struct Crew {
    count: Arc<AtomicUsize>,
}

/// One thread at work, until it is dropped.
#[derive(Debug)]
pub struct AtWork {
    crew: Crew,
}

/// How often the count is looked at: only the end of the process waits for it, and every batch changes it.
const LOOK_PAUSE: Duration = Duration::from_millis(1);

impl Crew {
    /// One more thread is at work.
    pub fn enter(&self) -> AtWork {
        self.count.fetch_add(1, Ordering::Relaxed);
        AtWork { crew: self.clone() }
    }

    /// Waits until no thread is at work, but no longer than `patience`; `false` if there still is one.
    pub fn wait_until_idle(&self, patience: Duration) -> bool {
        let start = Instant::now();
        while self.count.load(Ordering::Acquire) > 0 {
            if start.elapsed() >= patience {
                return false;
            }
            sleep(LOOK_PAUSE);
        }
        true
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        self.crew.count.fetch_sub(1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_idle_once_the_last_thread_has_ended() {
        let crew = Crew::default();
        let at_work = crew.enter();
        assert!(!crew.wait_until_idle(Duration::ZERO));
        let thread = std::thread::spawn(move || drop(at_work));
        assert!(crew.wait_until_idle(Duration::from_secs(60)));
        thread.join().unwrap();
    }
}
