//! Counts the threads that use a runtime: none may be left when the process ends and unloads the runtimes'
//! libraries.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Counts the threads that use a runtime.
#[derive(Debug, Clone, Default)]
pub struct RuntimeThreads {
    count: Arc<AtomicUsize>,
}

/// Counts one thread until it is dropped.
#[derive(Debug)]
pub struct RuntimeThreadGuard {
    threads: RuntimeThreads,
}

/// The polling interval. Only shutdown waits, while every batch changes the count, so a condition variable
/// would cost more than it saves.
const POLL_INTERVAL: Duration = Duration::from_millis(1);

impl RuntimeThreads {
    /// Counts one more thread until the guard is dropped.
    #[inline]
    pub fn enter(&self) -> RuntimeThreadGuard {
        self.count.fetch_add(1, Ordering::Relaxed);
        RuntimeThreadGuard { threads: self.clone() }
    }

    /// Waits until no thread uses a runtime, at most `timeout`; `false` if one still does.
    pub fn wait_until_idle(&self, timeout: Duration) -> bool {
        let start = Instant::now();
        while self.count.load(Ordering::Acquire) > 0 {
            if start.elapsed() >= timeout {
                return false;
            }
            sleep(POLL_INTERVAL);
        }
        true
    }
}

impl Drop for RuntimeThreadGuard {
    #[inline]
    fn drop(&mut self) {
        self.threads.count.fetch_sub(1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_idle_once_the_last_thread_has_ended() {
        let threads = RuntimeThreads::default();
        let guard = threads.enter();
        assert!(!threads.wait_until_idle(Duration::ZERO));
        let thread = std::thread::spawn(move || drop(guard));
        assert!(threads.wait_until_idle(Duration::from_secs(60)));
        thread.join().unwrap();
    }
}
