//! The writer thread: stores predictions and joins outcomes.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use onnward_quality::performance::ratio;
use onnward_quality::time::millis_now;
use onnward_serving::version::ModelVersion;
use onnward_telemetry::metrics::{Metrics, Unstored};

use super::batch::PredictionBatch;
use super::join::JoinResult;
use super::queue::{Command, Pending, Queue, Reply};
use super::store::{Bounds, Store, StoreError, VersionStats, WriteResult};
use super::window::{Measured, Window, WindowBounds};
use super::{Joined, OutcomesError, VersionFigures};

/// The interval between writes: how much a killed process loses.
const WRITE_INTERVAL: Duration = Duration::from_millis(250);
/// The interval after which an unusable store is opened again.
const RETRY_INTERVAL: Duration = Duration::from_secs(10);
/// The interval at which metrics follow outcomes.
const METRICS_INTERVAL: Duration = Duration::from_secs(5);
/// The interval of writes while nothing arrives, since predictions and outcomes expire.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(60);

/// The state of the writer thread.
pub struct Writer {
    queue: Arc<Queue>,
    folder: PathBuf,
    bounds: Bounds,
    window: WindowBounds,
    metrics: Arc<Metrics>,
    /// The store, or the reason why it is unusable.
    open: Result<Open, String>,
    tried: Option<Instant>,
}

/// The open store, and the windows over its outcomes.
struct Open {
    store: Store,
    /// The last outcomes of each version, by its number in the store.
    windows: BTreeMap<u32, Window>,
    written: Instant,
    measured: Instant,
    /// Whether outcomes arrived since the metrics were set.
    has_news: bool,
}

impl Writer {
    pub fn new(
        queue: Arc<Queue>,
        folder: PathBuf,
        bounds: Bounds,
        window: WindowBounds,
        metrics: Arc<Metrics>,
    ) -> Self {
        let open = Err("it is being opened".to_owned());
        Self { queue, folder, bounds, window, metrics, open, tried: None }
    }

    /// Writes until the queue is closed.
    pub fn run(mut self) {
        loop {
            self.try_open();
            let pending = self.queue.take();
            let is_last = pending.is_last;
            let is_done = self.process(pending);
            if is_last {
                break;
            }
            if is_done {
                thread::park_timeout(WRITE_INTERVAL);
            }
        }
        let _ = catch_panic(|| {
            drop(self.open);
            Ok(())
        });
    }

    fn try_open(&mut self) {
        let is_time = self.tried.is_none_or(|tried| tried.elapsed() >= RETRY_INTERVAL);
        if self.open.is_ok() || !is_time {
            return;
        }
        self.tried = Some(Instant::now());
        match catch_panic(|| Open::new(&self.folder, self.bounds, self.window)) {
            Ok(open) => {
                let (predictions, bytes) = (open.store.predictions(), open.store.file_bytes());
                tracing::info!(folder = %self.folder.display(), predictions, size = bytes, "the prediction store is open");
                self.open = Ok(open);
                self.measure();
            }
            Err(error) => self.fail(&error),
        }
    }

    /// Processes what was pending. Returns whether nothing is left to do.
    fn process(&mut self, pending: Pending) -> bool {
        let Pending { scored, commands, lost, .. } = pending;
        self.metrics.predictions_not_stored(Unstored::QueueFull, lost);
        let rows: usize = scored.iter().map(PredictionBatch::rows).sum();
        let (mut requests, mut replies, mut questions) = (Vec::new(), Vec::new(), Vec::new());
        for command in commands {
            match command {
                Command::Join { outcomes, reply } => {
                    requests.push(outcomes);
                    replies.push(reply);
                }
                Command::Figures { model, loaded, reply } => questions.push((model, loaded, reply)),
            }
        }
        let is_idle = scored.is_empty() && requests.is_empty();
        let now = millis_now();
        let written = match &mut self.open {
            Ok(open) if is_idle && open.written.elapsed() < EXPIRY_INTERVAL => Ok(None),
            Ok(open) => catch_panic(|| open.store.write(&scored, &requests, now)).map(Some),
            Err(reason) => {
                self.metrics.predictions_not_stored(Unstored::StoreFailed, rows as u64);
                reply_error(replies, reason);
                reply_error(questions.into_iter().map(|(.., reply)| reply), reason);
                return true;
            }
        };
        let is_done = match written {
            Ok(None) => true,
            Ok(Some(written)) => self.answer(written, replies, is_idle),
            Err(error) => {
                self.metrics.predictions_not_stored(Unstored::StoreFailed, rows as u64);
                self.fail(&error);
                reply_error(replies, &error.to_string());
                true
            }
        };
        for (model, loaded, reply) in questions {
            // An error means that the caller no longer waits.
            let _ = reply.send(self.figures(&model, &loaded, now));
        }
        let is_news = |open: &Open| open.has_news && open.measured.elapsed() >= METRICS_INTERVAL;
        if self.open.as_ref().is_ok_and(is_news) {
            self.measure();
        }
        is_done
    }

    /// Replies to the requests of a transaction. Returns whether nothing is left to do.
    fn answer(&mut self, written: WriteResult, replies: Vec<Reply<Vec<Joined>>>, is_idle: bool) -> bool {
        let WriteResult { answers, events, is_over_bounds } = written;
        if let Ok(open) = &mut self.open {
            open.written = Instant::now();
            open.has_news |= is_idle || !events.is_empty();
            let known: Vec<u32> = open.store.versions().map(|(number, _)| number).collect();
            open.windows.retain(|number, _| known.contains(number));
            for event in events {
                open.windows.entry(event.version).or_default().add(event, self.window);
            }
            self.metrics.stored_predictions(open.store.predictions(), open.store.file_bytes());
        }
        for (answer, reply) in answers.into_iter().zip(replies) {
            self.count(answer.as_deref().unwrap_or_default());
            // An error means that the client disconnected. Its outcomes are joined nevertheless.
            let _ = reply.send(answer.map_err(OutcomesError::WrongLabels));
        }
        !is_over_bounds
    }

    fn count(&self, joined: &[Joined]) {
        for Joined { result, model, version, .. } in joined {
            match (result, model, version) {
                (JoinResult::Unknown, ..) => self.metrics.outcome_unknown(),
                // The model of a late outcome is no longer known.
                (result, model, version) => {
                    self.metrics.outcome(model.as_deref().zip(*version), result.name());
                }
            }
        }
    }

    fn fail(&mut self, error: &StoreError) {
        let reason = error.to_string();
        let is_news = self.open.as_ref().err() != Some(&reason);
        let before = std::mem::replace(&mut self.open, Err(reason));
        // Closing a failed store may fail again.
        let _ = catch_panic(|| {
            drop(before);
            Ok(())
        });
        self.tried = Some(Instant::now());
        if is_news {
            let folder = self.folder.display();
            tracing::error!(%folder, %error, "the prediction store cannot be used; predictions are not stored");
        }
    }

    fn figures(
        &self,
        model: &str,
        loaded: &[Arc<ModelVersion>],
        now: u64,
    ) -> Result<Vec<VersionFigures>, OutcomesError> {
        let open = self.open.as_ref().map_err(|reason| OutcomesError::Unusable(reason.clone()))?;
        let versions = open.store.current_versions(loaded);
        let of_model = versions.filter(|(_, stats)| stats.by.model == model);
        let mut figures: Vec<VersionFigures> = of_model
            .map(|(number, stats)| VersionFigures {
                version: stats.by.version,
                task: stats.by.task.clone(),
                predictions: stats.predictions,
                with_outcome: stats.outcomes,
                coverage: coverage(stats),
                measured: open.measured(number, stats, self.window, now),
            })
            .collect();
        figures.sort_unstable_by_key(|figures| std::cmp::Reverse(figures.version));
        Ok(figures)
    }

    /// Updates the metrics.
    fn measure(&mut self) {
        let Ok(open) = &mut self.open else { return };
        let now = millis_now();
        let mut names = Vec::new();
        for (number, stats) in open.store.current_versions(&[]) {
            let (model, version) = (&stats.by.model, stats.by.version);
            let measured = open.measured(number, stats, self.window, now);
            let figures = measured.as_ref().map(|measured| measured.performance.figures());
            let outcomes = measured.as_ref().map_or(0, |measured| measured.outcomes);
            let figures = figures.unwrap_or_default();
            self.metrics.online_performance(model, version, &figures, outcomes, coverage(stats));
            names.push((model.clone(), version));
        }
        self.metrics.keep_outcomes_of(&names);
        self.metrics.stored_predictions(open.store.predictions(), open.store.file_bytes());
        open.has_news = false;
        open.measured = Instant::now();
    }
}

impl Open {
    fn new(folder: &std::path::Path, bounds: Bounds, window: WindowBounds) -> Result<Self, StoreError> {
        std::fs::create_dir_all(folder).map_err(|error| StoreError::Io(error.to_string()))?;
        let mut store = Store::open(folder, bounds)?;
        // Expired predictions must not show.
        while store.write(&[], &[], millis_now())?.is_over_bounds {}
        let mut windows: BTreeMap<u32, Window> = BTreeMap::new();
        for event in store.events()? {
            windows.entry(event.version).or_default().add(event, window);
        }
        let now = Instant::now();
        Ok(Self { store, windows, written: now, measured: now, has_news: true })
    }

    fn measured(
        &self,
        number: u32,
        stats: &VersionStats,
        bounds: WindowBounds,
        now: u64,
    ) -> Option<Measured> {
        let window = self.windows.get(&number)?;
        window.measure(bounds, now, self.store.removed_until(), &stats.by.task)
    }
}

fn coverage(stats: &VersionStats) -> Option<f64> {
    ratio(stats.outcomes as f64, stats.predictions as f64)
}

fn reply_error<T>(replies: impl IntoIterator<Item = Reply<T>>, reason: &str) {
    for reply in replies {
        // An error means that the caller no longer waits.
        let _ = reply.send(Err(OutcomesError::Unusable(reason.to_owned())));
    }
}

/// Turns a panic of redb into an error. A damaged file can make it panic, which must not end the writer.
fn catch_panic<T>(work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    let damaged = |_| Err(StoreError::Damaged("reading it broke off".to_owned()));
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(damaged)
}
