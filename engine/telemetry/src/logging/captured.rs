// A test fails by panicking.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc)]

use std::io::Write;
use std::sync::{Arc, Mutex, Once};

use tracing::subscriber::DefaultGuard;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, registry};

use crate::logging::{LogFormat, LogLevel};
use crate::logging::{filter, lines};

/// The log lines of this thread.
#[derive(Debug, Clone, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Returns the lines.
    pub fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Keeps every event enabled. tracing caches for each place in the code whether anybody listens. A test
/// without a log could otherwise disable it for a test that has one.
pub fn keep_events_on() {
    static LISTENING: Once = Once::new();
    // An error means that somebody listens already.
    LISTENING.call_once(|| drop(tracing::subscriber::set_global_default(registry())));
}

/// Captures the log of this thread at level trace until the guard is dropped.
pub fn captured_log(format: LogFormat) -> (Log, DefaultGuard) {
    keep_events_on();
    let log = Log::default();
    let writer = log.clone();
    let lines = lines(format, false, move || writer.clone()).with_filter(filter(LogLevel::Trace));
    (log, registry().with(lines).set_default())
}
