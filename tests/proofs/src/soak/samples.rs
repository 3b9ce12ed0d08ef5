use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use onnward_harness::HarnessError;
use onnward_harness::process::Held;

/// How often it is looked what the engine holds.
const EVERY: Duration = Duration::from_millis(500);

/// Looks again and again what a process holds, until it is dropped.
pub struct Sampler {
    taken: Arc<Mutex<Vec<Held>>>,
    stops: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Sampler {
    pub fn start(process: u32) -> Result<Self, HarnessError> {
        // Where it cannot be known, the proof fails at once.
        let taken = Arc::new(Mutex::new(vec![Held::by(process)?]));
        let stops = Arc::new(AtomicBool::new(false));
        let look = {
            let (taken, stops) = (Arc::clone(&taken), Arc::clone(&stops));
            move || {
                while !stops.load(Ordering::Relaxed) {
                    std::thread::sleep(EVERY);
                    if let Ok(held) = Held::by(process) {
                        taken.lock().unwrap_or_else(PoisonError::into_inner).push(held);
                    }
                }
            }
        };
        let thread = std::thread::Builder::new().name("sampler".to_owned()).spawn(look);
        let thread = thread.map_err(HarnessError::system("start a thread that samples"))?;
        Ok(Self { taken, stops, thread: Some(thread) })
    }

    /// What has been seen since it was asked last.
    pub fn take(&self) -> Vec<Held> {
        std::mem::take(&mut *self.taken.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.stops.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
