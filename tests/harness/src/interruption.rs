//! A program that ends by a signal kills the processes that it started.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

use crate::error::HarnessError;
use crate::process::ProcessTree;

/// Whether a signal is ending this process.
static IS_ENDING: AtomicBool = AtomicBool::new(false);

/// Blocks forever if a signal is ending this process, so that the signal decides the exit code and not the
/// failures that follow from killed children.
pub fn wait_if_ending() {
    while IS_ENDING.load(Ordering::SeqCst) {
        std::thread::park();
    }
}

/// Installs a handler of SIGHUP, SIGINT and SIGTERM that kills all descendants of this process and then
/// exits. The exit code is that of a shell: 128 plus the signal's number.
///
/// # Errors
/// [`HarnessError::System`].
pub fn kill_children_on_signal() -> Result<(), HarnessError> {
    let runtime = Builder::new_current_thread().enable_io().build().map_err(failed())?;
    let entered = runtime.enter();
    let kinds = [SignalKind::hangup(), SignalKind::interrupt(), SignalKind::terminate()];
    let [hangup, interrupt, terminate] = kinds.map(signal);
    let (mut hangup, mut interrupt, mut terminate) =
        (hangup.map_err(failed())?, interrupt.map_err(failed())?, terminate.map_err(failed())?);
    drop(entered);
    let wait = async move {
        tokio::select! {
            _ = hangup.recv() => SignalKind::hangup(),
            _ = interrupt.recv() => SignalKind::interrupt(),
            _ = terminate.recv() => SignalKind::terminate(),
        }
    };
    let end = move || {
        let kind = runtime.block_on(wait);
        IS_ENDING.store(true, Ordering::SeqCst);
        ProcessTree::of(std::process::id()).kill_descendants();
        std::process::exit(128 + kind.as_raw_value());
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(end).map_err(failed())?;
    Ok(())
}

fn failed() -> impl FnOnce(std::io::Error) -> HarnessError {
    HarnessError::system("wait for signals")
}
