//! Work that is done again and again.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};

/// Does work that may block, on a thread for such, at once and then with this pause, for as long as the future lives.
pub async fn every(pause: Duration, work: impl Fn() + Send + Sync + 'static) {
    let work = Arc::new(work);
    let mut ticks = interval(pause);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let work = Arc::clone(&work);
        // A panic is in the log, and the next time comes.
        let _ = spawn_blocking(move || work()).await;
    }
}
