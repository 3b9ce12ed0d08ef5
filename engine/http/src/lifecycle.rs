//! Graceful shutdown. On the first signal the engine reports that it is not ready, but accepts connections
//! for a grace period. Then it drains the requests in flight. A second signal stops the process at once.

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};

/// The settings of a graceful shutdown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShutdownConfig {
    /// The time during which connections are still accepted after the readiness check fails, so that load
    /// balancers notice.
    pub grace: Duration,
    /// The maximum time for requests in flight after the grace period.
    pub drain_timeout: Duration,
}

/// A phase of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Serving requests.
    Running,
    /// Shutting down: the readiness check fails, but connections are still accepted.
    Grace,
    /// No new connections are accepted; requests in flight are completed.
    Draining,
}

/// The phase of the process, which the listeners and the health routes read.
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
    /// Returns the current phase.
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Waits until this phase or a later one is reached.
    pub async fn reached(&self, phase: Phase) {
        // It fails only if the sender is dropped, and `self` owns that.
        let _ = self.phase.subscribe().wait_for(|now| *now >= phase).await;
    }

    fn enter(&self, phase: Phase) {
        self.phase.send_replace(phase);
    }
}

/// The names of the received shutdown signals, in order.
pub type Signals = mpsc::Receiver<&'static str>;

/// Catches SIGINT and SIGTERM from now on. SIGHUP calls `on_hangup`. SIGUSR1 and SIGUSR2, which log rotation and
/// supervisors send, are logged: by default they would end the process with its requests.
///
/// # Errors
/// The system's error if a signal handler cannot be installed.
pub fn catch_signals(on_hangup: impl Fn() + Send + 'static) -> io::Result<Signals> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let (mut user1, mut user2) = (signal(SignalKind::user_defined1())?, signal(SignalKind::user_defined2())?);
    let (sender, receiver) = mpsc::channel(2);
    tokio::spawn(async move {
        loop {
            let name = tokio::select! {
                _ = interrupt.recv() => "SIGINT",
                _ = terminate.recv() => "SIGTERM",
                _ = hangup.recv() => {
                    on_hangup();
                    continue;
                }
                _ = user1.recv() => {
                    tracing::info!(signal = "SIGUSR1", "the signal has no effect");
                    continue;
                }
                _ = user2.recv() => {
                    tracing::info!(signal = "SIGUSR2", "the signal has no effect");
                    continue;
                }
            };
            if sender.send(name).await.is_err() {
                return;
            }
        }
    });
    Ok(receiver)
}

/// The result of a shutdown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Every request in flight was answered.
    Clean,
    /// The drain timeout expired; the remaining requests are aborted.
    CutOff,
    /// A second signal was received.
    Forced,
}

/// Waits for the first signal and runs the shutdown phases. `drained` completes when the listeners are closed
/// and no request is in flight.
pub async fn conduct(
    mut signals: Signals,
    config: ShutdownConfig,
    lifecycle: &Lifecycle,
    drained: impl Future<Output = ()>,
) -> Ending {
    let Some(name) = signals.recv().await else { return Ending::Forced };
    tracing::info!(
        signal = name,
        "shutting down: the readiness check fails from now on; a second signal stops the process at once"
    );
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
        // Some programs, such as `timeout`, signal the process and then its group: this counts as one signal.
        sleep(SAME_SIGNAL).await;
        while signals.try_recv().is_ok() {}
        signals.recv().await
    };
    tokio::select! {
        ending = last_phases => ending,
        Some(_) = second => Ending::Forced,
    }
}

/// The time after the first signal during which further signals are ignored.
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
