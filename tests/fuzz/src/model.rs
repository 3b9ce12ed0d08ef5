//! Model files: read, bounded, cut, opened on tract and scored.
//!
//! ONNX Runtime is not among the runtimes: it is C++ without a sanitizer, and a crash of it would end the search.

use std::cell::Cell;
use std::sync::{Arc, OnceLock};

use onnward_onnx::OutputReader;
use onnward_runtime::backend::{Backend, BackendError, BackendKind, Batch, Session, Tract};
use onnward_runtime::check::check;
use onnward_schemas::Predictions;

/// Runs the target on the bytes of an ONNX file.
pub fn run(data: &[u8]) {
    static BACKENDS: OnceLock<Vec<Arc<dyn Backend>>> = OnceLock::new();
    let backends = BACKENDS.get_or_init(|| vec![Arc::new(Watched(Tract::new()))]);
    if let Ok(report) = check(data, None, backends) {
        assert_eq!(report.size_bytes, data.len());
        assert!(report.unproven.is_some() || report.golden_rows > 0);
        let _ = report.to_string();
    }
}

thread_local! {
    static IN_RUNTIME: Cell<bool> = const { Cell::new(false) };
}

/// Returns whether this thread is in tract. A panic there is an error for the engine, not a crash.
pub fn is_in_runtime() -> bool {
    IN_RUNTIME.get()
}

fn in_runtime<T>(work: impl FnOnce() -> T) -> T {
    IN_RUNTIME.set(true);
    let done = work();
    IN_RUNTIME.set(false);
    done
}

/// tract, and a note of when it is at work.
pub(super) struct Watched(pub Tract);

struct WatchedSession(Box<dyn Session>);

impl Backend for Watched {
    fn kind(&self) -> BackendKind {
        self.0.kind()
    }

    fn open_with_output(
        &self,
        model: &[u8],
        output: &OutputReader,
    ) -> Result<Box<dyn Session>, BackendError> {
        let session = in_runtime(|| self.0.open_with_output(model, output))?;
        Ok(Box::new(WatchedSession(session)))
    }
}

impl Session for WatchedSession {
    fn score(&mut self, batch: Batch<'_>) -> Result<Predictions, BackendError> {
        in_runtime(|| self.0.score(batch))
    }
}
