//! Standard error, written to by a thread of its own: a line a request must not cost it a call of the system each.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// How long lines are gathered before they are written; a warning or an error is written at once, with those before it.
const GATHERED_FOR: Duration = Duration::from_millis(50);
/// How much is gathered while nobody reads what is written; more is lost, and told of.
const MOST_BYTES: usize = 4 * 1024 * 1024;

/// How many lines this process has lost.
static LOST: AtomicU64 = AtomicU64::new(0);

/// Returns how many lines of this process's log were lost because standard error was read too slowly.
pub fn lost_lines() -> u64 {
    LOST.load(Ordering::Relaxed)
}

/// Takes the lines of the log; its clones write to the same place.
#[derive(Clone)]
pub struct Gathered {
    shared: Arc<Shared>,
}

struct Shared {
    gathering: Mutex<Gathering>,
    has_lines: Condvar,
    /// Held while lines are written, so that they stay in order.
    out: Mutex<Box<dyn Write + Send>>,
}

#[derive(Default)]
struct Gathering {
    lines: Vec<u8>,
    /// How many lines had no room.
    lost: u64,
}

impl Gathered {
    /// Writes to `out` from now on.
    ///
    /// # Errors
    /// The operating system's, if it gives no thread.
    pub fn start(out: impl Write + Send + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            gathering: Mutex::default(),
            has_lines: Condvar::new(),
            out: Mutex::new(Box::new(out)),
        });
        let writing = Arc::clone(&shared);
        thread::Builder::new().name("log".to_owned()).spawn(move || writing.run())?;
        Ok(Self { shared })
    }

    /// Writes what has been gathered.
    pub fn flush(&self) {
        self.shared.write_all();
    }
}

impl Shared {
    fn run(&self) {
        loop {
            let empty = |gathering: &mut Gathering| gathering.lines.is_empty();
            let waited = self.has_lines.wait_while(self.gathering(), empty);
            drop(waited.unwrap_or_else(PoisonError::into_inner));
            thread::sleep(GATHERED_FOR);
            self.write_all();
        }
    }

    fn write_all(&self) {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        let Gathering { lines, lost } = std::mem::take(&mut *self.gathering());
        // When standard error is closed there is nowhere left to say so.
        let _ = out.write_all(&lines).and_then(|()| out.flush());
        drop(out);
        if lost > 0 {
            tracing::warn!(lost, "lines of the log were lost: standard error is read too slowly");
        }
    }

    fn gathering(&self) -> MutexGuard<'_, Gathering> {
        self.gathering.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes one line.
pub struct Line<'a> {
    shared: &'a Shared,
    is_urgent: bool,
}

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut gathering = self.shared.gathering();
        if gathering.lines.len() + line.len() > MOST_BYTES {
            gathering.lost += 1;
            LOST.fetch_add(1, Ordering::Relaxed);
            return Ok(line.len());
        }
        let is_first = gathering.lines.is_empty();
        gathering.lines.extend_from_slice(line);
        drop(gathering);
        if self.is_urgent {
            self.shared.write_all();
        } else if is_first {
            self.shared.has_lines.notify_one();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Gathered {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { shared: &self.shared, is_urgent: false }
    }

    fn make_writer_for(&'a self, event: &Metadata<'_>) -> Line<'a> {
        Line { shared: &self.shared, is_urgent: *event.level() <= Level::WARN }
    }
}
