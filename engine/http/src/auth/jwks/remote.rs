//! A key set at a URL. It is fetched at the start, periodically, and when a token has an unknown key.

use std::fmt::Display;
use std::time::Duration;

use onnward_serving::backoff::Backoff;
use reqwest::Url;
use sha2::{Digest, Sha256};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::UNKNOWN_KEY_PAUSE;
use super::fetch::Fetcher;

/// The pause after a failed fetch. It doubles with each further failure.
const INITIAL_BACKOFF: Duration = Duration::from_secs(1);
const MAX_BACKOFF: Duration = Duration::from_secs(60);
/// The maximum time that a request waits for newer keys: slightly longer than a fetch may take.
const REFRESH_TIMEOUT: Duration = Duration::from_secs(6);

/// A key set at a URL. One task fetches it, and requests only notify that task. So a client that disconnects
/// does not cancel a fetch, and many requests share one.
#[derive(Debug)]
pub struct Remote {
    fetcher: Fetcher,
    refresh: Duration,
    wanted: Notify,
    progress: watch::Sender<Progress>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    is_fetching: bool,
    began: Option<Instant>,
    finished: u64,
}

impl Progress {
    /// Returns whether the last fetch began too recently for another.
    fn is_rate_limited(&self) -> bool {
        self.began.is_some_and(|began| began.elapsed() < UNKNOWN_KEY_PAUSE)
    }
}

/// The state that was logged last, so that it is logged once.
#[derive(Default)]
struct LoggedState {
    content: Option<[u8; 32]>,
    failure: Option<String>,
}

impl Remote {
    /// Creates the remote key set without fetching it.
    ///
    /// # Errors
    /// The client's error.
    pub fn new(url: &Url, refresh: Duration) -> Result<Self, String> {
        let progress = watch::Sender::new(Progress::default());
        Ok(Self { fetcher: Fetcher::new(url)?, refresh, wanted: Notify::new(), progress })
    }

    /// Waits for the fetch in flight, or starts one if the last is old enough.
    pub async fn wait_for_refresh(&self) {
        let mut progress = self.progress.subscribe();
        let seen = *progress.borrow_and_update();
        if !seen.is_fetching {
            if seen.is_rate_limited() {
                return;
            }
            self.wanted.notify_one();
        }
        // The result does not matter: the caller uses the keys that are current afterwards.
        let _ = timeout(REFRESH_TIMEOUT, progress.wait_for(|now| now.finished > seen.finished)).await;
    }

    /// Fetches periodically and passes changes to `accept`.
    pub async fn run<E: Display>(&self, accept: impl Fn(&[u8]) -> Result<(), E>) {
        let mut logged = LoggedState::default();
        let mut failures = 0;
        loop {
            self.progress.send_modify(|now| {
                now.is_fetching = true;
                now.began = Some(Instant::now());
            });
            let is_fetched = self.fetch(&mut logged, &accept).await;
            self.progress.send_modify(|now| {
                now.is_fetching = false;
                now.finished += 1;
            });
            failures = if is_fetched { 0 } else { failures + 1 };
            self.pause(failures).await;
        }
    }

    async fn pause(&self, failures: u32) {
        let pause = match failures {
            0 => self.refresh,
            _ => {
                Backoff { first: INITIAL_BACKOFF, longest: MAX_BACKOFF.min(self.refresh) }.pause(failures - 1)
            }
        };
        let next = Instant::now() + pause;
        loop {
            tokio::select! {
                () = sleep_until(next) => return,
                () = self.wanted.notified() => {
                    // Of several simultaneous requests, the first has triggered the fetch already.
                    if !self.progress.borrow().is_rate_limited() {
                        return;
                    }
                }
            }
        }
    }

    /// Fetches once. Returns whether a usable key set was received.
    async fn fetch<E: Display>(
        &self,
        logged: &mut LoggedState,
        accept: impl Fn(&[u8]) -> Result<(), E>,
    ) -> bool {
        let problem = match self.fetcher.get().await {
            Ok(content) => {
                let digest: [u8; 32] = Sha256::digest(&content).into();
                let is_new = logged.content != Some(digest);
                match if is_new { accept(&content) } else { Ok(()) } {
                    Ok(()) => {
                        if logged.failure.take().is_some() && !is_new {
                            tracing::info!(place = %self.fetcher.url(), "the token keys can be fetched again");
                        }
                        logged.content = Some(digest);
                        return true;
                    }
                    Err(problem) => problem.to_string(),
                }
            }
            Err(problem) => problem.to_string(),
        };
        if logged.failure.as_ref() != Some(&problem) {
            tracing::error!(place = %self.fetcher.url(), %problem, "the token keys cannot be fetched; the previous ones stay valid");
            logged.failure = Some(problem);
        }
        false
    }
}
