//! The thread that writes predictions and joins outcomes.

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

use super::join::JoinResult;
use super::queue::{Ask, Queue, Reply, Waiting};
use super::store::{Bounds, VersionStats, Store, StoreError, Written};
use super::window::{Measured, Window, WindowBounds};
use super::{Joined, OutcomesError, VersionFigures};

/// How long predictions are gathered before they are written: what a process loses that is killed.
const WRITTEN_EVERY: Duration = Duration::from_millis(250);
/// How often a store that cannot be used is tried again.
const TRIED_EVERY: Duration = Duration::from_secs(10);
/// How often metrics follow outcomes.
const MEASURED_EVERY: Duration = Duration::from_secs(5);
/// How often something is written though nothing came, since what is kept and what counts grows old.
const AGED_EVERY: Duration = Duration::from_secs(60);

/// What the thread has.
pub struct Writer {
    queue: Arc<Queue>,
    folder: PathBuf,
    bounds: Bounds,
    window: WindowBounds,
    metrics: Arc<Metrics>,
    /// The store, or why there is none.
    open: Result<Open, String>,
    tried: Option<Instant>,
}

/// The open store, and what is made of its outcomes.
struct Open {
    store: Store,
    /// The last outcomes of each version, by its number in the store.
    windows: BTreeMap<u32, Window>,
    written: Instant,
    measured: Instant,
    /// Whether outcomes have come since.
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

    /// Writes until it is told to stop.
    pub fn run(mut self) {
        loop {
            self.try_open();
            let waiting = self.queue.take();
            let is_last = waiting.is_last;
            let is_done = self.work(waiting);
            if is_last {
                break;
            }
            if is_done {
                thread::park_timeout(WRITTEN_EVERY);
            }
        }
        let _ = guarded(|| {
            drop(self.open);
            Ok(())
        });
    }

    fn try_open(&mut self) {
        let is_time = self.tried.is_none_or(|tried| tried.elapsed() >= TRIED_EVERY);
        if self.open.is_ok() || !is_time {
            return;
        }
        self.tried = Some(Instant::now());
        match guarded(|| Open::new(&self.folder, self.bounds, self.window)) {
            Ok(open) => {
                let (predictions, bytes) = (open.store.predictions(), open.store.file_bytes());
                tracing::info!(folder = %self.folder.display(), predictions, size = bytes, "predictions are kept");
                self.open = Ok(open);
                self.measure();
            }
            Err(error) => self.fail(&error),
        }
    }

    /// Works off what waited: whether there is nothing left to do.
    fn work(&mut self, waiting: Waiting) -> bool {
        let Waiting { scored, asked, lost, .. } = waiting;
        self.metrics.predictions_not_stored(Unstored::QueueFull, lost);
        let rows: usize = scored.iter().map(|scored| scored.probabilities.len()).sum();
        let (mut requests, mut replies, mut questions) = (Vec::new(), Vec::new(), Vec::new());
        for ask in asked {
            match ask {
                Ask::Join { outcomes, reply } => {
                    requests.push(outcomes);
                    replies.push(reply);
                }
                Ask::Figures { model, loaded, reply } => questions.push((model, loaded, reply)),
            }
        }
        let is_idle = scored.is_empty() && requests.is_empty();
        let now = millis_now();
        let written = match &mut self.open {
            Ok(open) if is_idle && open.written.elapsed() < AGED_EVERY => Ok(None),
            Ok(open) => guarded(|| open.store.write(&scored, &requests, now)).map(Some),
            Err(reason) => {
                self.metrics.predictions_not_stored(Unstored::StoreFailed, rows as u64);
                refuse(replies, reason);
                refuse(questions.into_iter().map(|(.., reply)| reply), reason);
                return true;
            }
        };
        let is_done = match written {
            Ok(None) => true,
            Ok(Some(written)) => self.written(written, replies, is_idle),
            Err(error) => {
                self.metrics.predictions_not_stored(Unstored::StoreFailed, rows as u64);
                self.fail(&error);
                refuse(replies, &error.to_string());
                true
            }
        };
        for (model, loaded, reply) in questions {
            // An error means that nobody waits any more.
            let _ = reply.send(self.figures(&model, &loaded, now));
        }
        let is_news = |open: &Open| open.has_news && open.measured.elapsed() >= MEASURED_EVERY;
        if self.open.as_ref().is_ok_and(is_news) {
            self.measure();
        }
        is_done
    }

    /// Answers what a transaction has done: whether there is nothing left to do.
    fn written(&mut self, written: Written, replies: Vec<Reply<Vec<Joined>>>, is_idle: bool) -> bool {
        let Written { answers, events, is_over_bounds } = written;
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
            // An error means that the client has gone; what it sent is joined all the same.
            let _ = reply.send(answer.map_err(OutcomesError::WrongLabels));
        }
        !is_over_bounds
    }

    fn count(&self, joined: &[Joined]) {
        for Joined { result, model, version, .. } in joined {
            match (result, model, version) {
                (JoinResult::Unknown, ..) => self.metrics.outcome_unknown(),
                // Whose prediction a late one is for is not known any more.
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
        // Closing what has failed may fail again.
        let _ = guarded(|| {
            drop(before);
            Ok(())
        });
        self.tried = Some(Instant::now());
        if is_news {
            let folder = self.folder.display();
            tracing::error!(%folder, %error, "predictions are not kept: the store cannot be used");
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
                threshold: stats.by.threshold,
                predictions: stats.predictions,
                with_outcome: stats.outcomes,
                coverage: coverage(stats),
                measured: open.measured(number, stats, self.window, now),
            })
            .collect();
        figures.sort_unstable_by_key(|figures| std::cmp::Reverse(figures.version));
        Ok(figures)
    }

    /// Brings the metrics up to now.
    fn measure(&mut self) {
        let Ok(open) = &mut self.open else { return };
        let now = millis_now();
        let mut names = Vec::new();
        for (number, stats) in open.store.current_versions(&[]) {
            let (model, version) = (&stats.by.model, stats.by.version);
            let measured = open.measured(number, stats, self.window, now);
            let figures = measured.as_ref().map(|measured| measured.performance.figures());
            let outcomes = measured.as_ref().map_or(0, |measured| measured.outcomes);
            let figures = figures.as_ref().map_or(&[][..], |figures| figures);
            self.metrics.online_performance(model, version, figures, outcomes, coverage(stats));
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
        // What has expired meanwhile must not show.
        while store.write(&[], &[], millis_now())?.is_over_bounds {}
        let mut windows: BTreeMap<u32, Window> = BTreeMap::new();
        for event in store.events()? {
            windows.entry(event.version).or_default().add(event, window);
        }
        let now = Instant::now();
        Ok(Self { store, windows, written: now, measured: now, has_news: true })
    }

    fn measured(&self, number: u32, stats: &VersionStats, bounds: WindowBounds, now: u64) -> Option<Measured> {
        let window = self.windows.get(&number)?;
        window.measure(bounds, now, self.store.removed_until(), stats.by.threshold())
    }
}

fn coverage(stats: &VersionStats) -> Option<f64> {
    ratio(stats.outcomes as f64, stats.predictions as f64)
}

fn refuse<T>(replies: impl IntoIterator<Item = Reply<T>>, reason: &str) {
    for reply in replies {
        // An error means that nobody waits any more.
        let _ = reply.send(Err(OutcomesError::Unusable(reason.to_owned())));
    }
}

/// Returns a damaged file can make redb panic, which must end neither the thread nor, with it, what waits for
/// answers.
fn guarded<T>(work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    let damaged = |_| Err(StoreError::Damaged("reading it broke off".to_owned()));
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(damaged)
}
