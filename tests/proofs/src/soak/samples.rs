use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use onnward_harness::HarnessError;
use onnward_harness::process::Resources;

/// The time between two samples.
const EVERY: Duration = Duration::from_millis(500);

/// A thread that samples what a process holds, until this is dropped.
pub struct Sampler {
    taken: Arc<Mutex<Vec<Resources>>>,
    stops: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Sampler {
    pub fn start(process: u32) -> Result<Self, HarnessError> {
        // If it cannot be known, the proof fails at once.
        let taken = Arc::new(Mutex::new(vec![Resources::of(process)?]));
        let stops = Arc::new(AtomicBool::new(false));
        let sample = {
            let (taken, stops) = (Arc::clone(&taken), Arc::clone(&stops));
            move || {
                while !stops.load(Ordering::Relaxed) {
                    std::thread::sleep(EVERY);
                    if let Ok(held) = Resources::of(process) {
                        taken.lock().unwrap_or_else(PoisonError::into_inner).push(held);
                    }
                }
            }
        };
        let thread = std::thread::Builder::new().name("sampler".to_owned()).spawn(sample);
        let thread = thread.map_err(HarnessError::system("start a thread that samples"))?;
        Ok(Self { taken, stops, thread: Some(thread) })
    }

    /// Returns the samples since the last call.
    pub fn take(&self) -> Vec<Resources> {
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
