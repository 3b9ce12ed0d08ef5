//! The threads that use a runtime, counted: at the end of the process none may be left when the runtimes' libraries are
//! taken down.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Counts the threads that are at work.
#[derive(Debug, Clone, Default)]
pub struct Crew {
    count: Arc<(Mutex<usize>, Condvar)>,
}

/// One thread at work, until it is dropped.
#[derive(Debug)]
pub struct AtWork {
    crew: Crew,
}

impl Crew {
    /// One more thread is at work.
    pub fn enter(&self) -> AtWork {
        self.change(|count| count + 1);
        AtWork { crew: self.clone() }
    }

    /// Waits until no thread is at work, but no longer than `patience`; `false` if there still is one.
    pub fn wait_until_idle(&self, patience: Duration) -> bool {
        let (count, changed) = self.count.as_ref();
        let count = count.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = changed.wait_timeout_while(count, patience, |count| *count > 0);
        *waited.unwrap_or_else(PoisonError::into_inner).0 == 0
    }

    fn change(&self, change: impl FnOnce(usize) -> usize) {
        let (count, changed) = self.count.as_ref();
        let mut count = count.lock().unwrap_or_else(PoisonError::into_inner);
        *count = change(*count);
        changed.notify_all();
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        self.crew.change(|count| count.saturating_sub(1));
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
