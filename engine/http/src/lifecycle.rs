//! How the engine stops: on the first signal readiness turns, connections are still accepted for a grace period, then
//! requests in flight end; a second signal ends everything at once.

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};

/// How the engine stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShutdownConfig {
    /// How long connections are still accepted after readiness has turned, so that balancers notice.
    pub grace: Duration,
    /// How long requests in flight may then take to end.
    pub drain_timeout: Duration,
}

/// Where the process stands between its start and its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// It serves.
    Running,
    /// It has been told to stop: it is not ready any more, and still accepts connections.
    Grace,
    /// It accepts no more connections and ends the requests in flight.
    Draining,
}

/// The phase of the process, seen by the listener and by the health routes.
#[derive(Debug)]
pub struct Lifecycle {
    phase: watch::Sender<Phase>,
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self { phase: watch::Sender::new(Phase::Running) }
    }
}

impl Lifecycle {
    /// Returns the phase now.
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Waits until the phase has come.
    pub async fn reached(&self, phase: Phase) {
        // It can only fail when the sender is gone, and that is `self`.
        let _ = self.phase.subscribe().wait_for(|now| *now >= phase).await;
    }

    fn enter(&self, phase: Phase) {
        self.phase.send_replace(phase);
    }
}

/// The signals that ask the process to stop, by name, in the order in which they came.
pub type Signals = mpsc::Receiver<&'static str>;

/// Catches SIGINT and SIGTERM from now on.
///
/// # Errors
/// What the system says when a handler cannot be set.
pub fn catch_signals() -> io::Result<Signals> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let (sender, receiver) = mpsc::channel(2);
    tokio::spawn(async move {
        loop {
            let name = tokio::select! {
                _ = interrupt.recv() => "SIGINT",
                _ = terminate.recv() => "SIGTERM",
            };
            if sender.send(name).await.is_err() {
                return;
            }
        }
    });
    Ok(receiver)
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Every request in flight was answered.
    Clean,
    /// The drain timeout came first; what was in flight is cut off.
    CutOff,
    /// A second signal came.
    Forced,
}

/// Waits for the first signal and takes the process through its last phases. `drained` completes when the listener is
/// closed and no request is in flight.
pub async fn conduct(
    mut signals: Signals,
    config: ShutdownConfig,
    lifecycle: &Lifecycle,
    drained: impl Future<Output = ()>,
) -> Ending {
    let Some(name) = signals.recv().await else { return Ending::Forced };
    tracing::info!(signal = name, "stopping: not ready any more; a second signal ends at once");
    let last_phases = async {
        lifecycle.enter(Phase::Grace);
        sleep(config.grace).await;
        lifecycle.enter(Phase::Draining);
        match timeout(config.drain_timeout, drained).await {
            Ok(()) => Ending::Clean,
            Err(_) => Ending::CutOff,
        }
    };
    let second = async {
        // Whoever signals a process and then its group, as `timeout` does, means it once.
        sleep(SAME_SIGNAL).await;
        while signals.try_recv().is_ok() {}
        signals.recv().await
    };
    tokio::select! {
        ending = last_phases => ending,
        Some(_) = second => Ending::Forced,
    }
}

/// Within this time of the first signal, another one is taken for the same.
const SAME_SIGNAL: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::Arc;

    use tokio::time::Instant;

    use super::*;

    const CONFIG: ShutdownConfig =
        ShutdownConfig { grace: Duration::from_secs(5), drain_timeout: Duration::from_secs(20) };

    #[tokio::test(start_paused = true)]
    async fn readiness_turns_at_once_and_the_listener_closes_after_the_grace_period() {
        let (sender, signals) = mpsc::channel(2);
        let lifecycle = Arc::new(Lifecycle::default());
        let (ended, drained) = tokio::sync::oneshot::channel();
        let conductor = tokio::spawn({
            let lifecycle = Arc::clone(&lifecycle);
            async move {
                let drained = async { drained.await.unwrap_or_default() };
                conduct(signals, CONFIG, &lifecycle, drained).await
            }
        });
        assert_eq!(lifecycle.phase(), Phase::Running);

        let start = Instant::now();
        sender.send("SIGTERM").await.unwrap();
        lifecycle.reached(Phase::Grace).await;
        assert_eq!(start.elapsed(), Duration::ZERO);
        lifecycle.reached(Phase::Draining).await;
        assert_eq!(start.elapsed(), CONFIG.grace);
        ended.send(()).unwrap();
        assert_eq!(conductor.await.unwrap(), Ending::Clean);
        assert_eq!(start.elapsed(), CONFIG.grace);
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_end_is_cut_off_after_the_drain_timeout() {
        let (sender, signals) = mpsc::channel(2);
        sender.send("SIGINT").await.unwrap();
        let start = Instant::now();
        let ending = conduct(signals, CONFIG, &Lifecycle::default(), pending()).await;
        assert_eq!(ending, Ending::CutOff);
        assert_eq!(start.elapsed(), CONFIG.grace + CONFIG.drain_timeout);
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_signal_ends_at_once() {
        let (sender, signals) = mpsc::channel(2);
        sender.send("SIGINT").await.unwrap();
        let start = Instant::now();
        tokio::spawn(async move {
            sleep(Duration::from_secs(1)).await;
            sender.send("SIGINT").await.unwrap();
            pending::<()>().await;
        });
        let ending = conduct(signals, CONFIG, &Lifecycle::default(), pending()).await;
        assert_eq!(ending, Ending::Forced);
        assert_eq!(start.elapsed(), Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_signal_that_comes_twice_at_once_is_one() {
        let (sender, signals) = mpsc::channel(2);
        sender.send("SIGTERM").await.unwrap();
        sender.send("SIGTERM").await.unwrap();
        let ending = conduct(signals, CONFIG, &Lifecycle::default(), async {}).await;
        assert_eq!(ending, Ending::Clean);
    }
}
