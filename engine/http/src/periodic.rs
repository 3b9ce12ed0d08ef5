//! Periodic tasks.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};

/// Runs blocking work on a blocking thread, at once and then at this interval, until the future is dropped.
pub async fn every(pause: Duration, work: impl Fn() + Send + Sync + 'static) {
    let work = Arc::new(work);
    let mut ticks = interval(pause);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let work = Arc::clone(&work);
        // A panic is logged by the hook, and the work runs again at the next tick.
        let _ = spawn_blocking(move || work()).await;
    }
}
