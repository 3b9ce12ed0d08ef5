//! The background load: swaps, ground truth and scrapes. Each is a thread that does one thing at regular
//! intervals.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use onnward_schemas::SchemaFile;
use serde::Serialize;
use serde_json::{Map, Value};

use super::{MODEL, SoakSettings};
use onnward_harness::HarnessError;
use onnward_harness::client::{Client, json, sum_of};
use onnward_harness::engine::EngineProcess;
use onnward_harness::publisher::Publisher;
use onnward_harness::versions::TwoVersions;

/// The time between two posts of outcomes.
const OUTCOMES_EVERY: Duration = Duration::from_millis(200);
/// The time for which a thread sleeps before it checks whether to stop.
const STOP_INTERVAL: Duration = Duration::from_millis(50);
/// The most different failures that are reported.
const MAX_REASONS: usize = 10;

/// Rows to predict. Each has a key by which its outcome is reported.
pub struct Customers {
    /// The rows, with their keys.
    pub rows: Vec<Vec<u8>>,
    outcomes: Vec<Value>,
}

/// The results of the background load.
#[derive(Debug, Clone, Default, Serialize)]
pub struct BackgroundFigures {
    /// The number of promotions. One that the engine has not followed before the next is a failure.
    pub swaps: u64,
    /// The number of answered scrapes.
    pub scrapes: u64,
    /// The size of the last scrape.
    pub scrape_bytes: u64,
    /// The number of answered outcomes.
    pub outcomes: u64,
    /// The number of them that were joined to predictions.
    pub joined: u64,
    /// The number of failures by reason.
    pub failures: BTreeMap<String, u64>,
    /// The number of answered predictions that were not stored.
    pub not_stored: u64,
    /// The number of lost log lines.
    pub log_lines_lost: u64,
}

/// Threads that put the background load on an engine.
pub struct BackgroundLoad {
    stops: Arc<AtomicBool>,
    threads: Vec<JoinHandle<BackgroundFigures>>,
}

impl Customers {
    /// Adds a key to the row of each request.
    ///
    /// # Errors
    /// [`HarnessError::Settings`] if the schema has no identifier for the key.
    pub fn of(schema: &SchemaFile, models: &TwoVersions) -> Result<Self, HarnessError> {
        let Some(identifier) = &schema.schema.identifier else {
            return Err(HarnessError::Settings(
                "the schema has no identifier, by which outcomes could be reported".to_owned(),
            ));
        };
        let mut customers = Self { rows: Vec::new(), outcomes: Vec::new() };
        for (number, request) in models.requests.iter().enumerate() {
            let mut row: Map<String, Value> = serde_json::from_slice(&request.body)?;
            let key = format!("customer-{number}");
            row.insert(identifier.clone(), key.clone().into());
            customers.rows.push(serde_json::to_vec(&row)?);
            let outcome = serde_json::json!({"key": key, "model": MODEL, "label": number % 4 == 0});
            customers.outcomes.push(outcome);
        }
        Ok(customers)
    }
}

impl BackgroundLoad {
    pub fn start(
        settings: &SoakSettings,
        engine: &EngineProcess,
        publisher: Publisher,
        versions: [u64; 2],
        customers: Customers,
        rate: f64,
    ) -> Result<Self, HarnessError> {
        let stops = Arc::new(AtomicBool::new(false));
        let client = Client::new(engine.url());
        let mut threads = Vec::new();
        let mut start = |name: &str, every: Duration, mut work: Work| {
            let stops = Arc::clone(&stops);
            let run = move || repeat(&stops, every, &mut work);
            let thread = std::thread::Builder::new().name(name.to_owned()).spawn(run);
            threads.push(thread.map_err(HarnessError::system(format!("start the thread of {name}")))?);
            Ok::<(), HarnessError>(())
        };
        let mut swapper = Swapper { client: client.clone(), publisher, versions, promoted: 0 };
        start("swaps", settings.swap_every, Box::new(move |figures| swapper.swap(figures)))?;
        let scraper = client.clone();
        start("scrapes", settings.scrape_every, Box::new(move |figures| scrape(&scraper, figures)))?;
        let outcomes = customers.outcomes;
        let count = (rate * settings.outcome_share * OUTCOMES_EVERY.as_secs_f64()).ceil() as usize;
        let mut next = 0;
        let post = move |figures: &mut BackgroundFigures| {
            // None twice at once: the second would be a duplicate of the first.
            let count = count.clamp(1, outcomes.len());
            let chosen: Vec<&Value> = outcomes.iter().cycle().skip(next).take(count).collect();
            next = (next + count) % outcomes.len();
            post_outcomes(&client, &serde_json::json!({ "outcomes": chosen }), figures);
        };
        start("outcomes", OUTCOMES_EVERY, Box::new(post))?;
        Ok(Self { stops, threads })
    }

    /// Ends the background load and returns its results.
    pub fn stop(self, engine: &EngineProcess) -> Result<BackgroundFigures, HarnessError> {
        self.stops.store(true, Ordering::Relaxed);
        let mut all = BackgroundFigures::default();
        for thread in self.threads {
            let failed = |_| HarnessError::Settings("a thread of the background load has failed".to_owned());
            all.add(thread.join().map_err(failed)?);
        }
        let (_, text) = engine.get("/metrics")?;
        all.not_stored = sum_of(&text, "onnward_predictions_not_stored_total");
        all.log_lines_lost = sum_of(&text, "onnward_log_lines_lost_total");
        Ok(all)
    }
}

/// The work of a thread at each interval.
type Work = Box<dyn FnMut(&mut BackgroundFigures) + Send>;

fn repeat(stops: &AtomicBool, every: Duration, work: &mut Work) -> BackgroundFigures {
    let mut figures = BackgroundFigures::default();
    let mut due = Instant::now() + every;
    while !stops.load(Ordering::Relaxed) {
        if Instant::now() < due {
            std::thread::sleep(STOP_INTERVAL.min(every));
            continue;
        }
        work(&mut figures);
        due = (due + every).max(Instant::now());
    }
    figures
}

/// Moves the alias between two versions.
struct Swapper {
    client: Client,
    publisher: Publisher,
    versions: [u64; 2],
    /// The index of the version that was promoted last.
    promoted: usize,
}

impl Swapper {
    /// Checks that the engine has followed the last promotion, and promotes the other version.
    fn swap(&mut self, figures: &mut BackgroundFigures) {
        let [was, will] = match self.promoted {
            0 => self.versions,
            _ => [self.versions[1], self.versions[0]],
        };
        let state = json(self.client.get(&format!("/models/{MODEL}")));
        match state.map(|state| state["version"].as_u64()) {
            Ok(version) if version == Some(was) => {}
            Ok(version) => figures.failed(format!("version {version:?} is served where {was} is promoted")),
            Err(reason) => figures.failed(format!("state of the model: {reason}")),
        }
        match self.publisher.promote(will) {
            Ok(()) => {
                self.promoted = 1 - self.promoted;
                figures.swaps += 1;
            }
            Err(error) => figures.failed(format!("promotion: {error}")),
        }
    }
}

fn scrape(client: &Client, figures: &mut BackgroundFigures) {
    match client.get("/metrics") {
        Ok((200, text)) => {
            figures.scrapes += 1;
            figures.scrape_bytes = text.len() as u64;
        }
        Ok((status, text)) => figures.failed(format!("scrape: {status}: {text}")),
        Err(reason) => figures.failed(format!("scrape: {reason}")),
    }
}

fn post_outcomes(client: &Client, outcomes: &Value, figures: &mut BackgroundFigures) {
    match json(client.post("/outcomes", outcomes.to_string().as_bytes())) {
        Ok(answer) => {
            figures.outcomes += answer["results"].as_array().map_or(0, |results| results.len() as u64);
            figures.joined += answer["joined"].as_u64().unwrap_or_default();
        }
        Err(reason) => figures.failed(format!("outcomes: {reason}")),
    }
}

impl BackgroundFigures {
    fn failed(&mut self, reason: String) {
        if self.failures.len() < MAX_REASONS || self.failures.contains_key(&reason) {
            *self.failures.entry(reason).or_default() += 1;
        }
    }

    fn add(&mut self, other: Self) {
        self.swaps += other.swaps;
        self.scrapes += other.scrapes;
        self.scrape_bytes += other.scrape_bytes;
        self.outcomes += other.outcomes;
        self.joined += other.joined;
        self.failures.extend(other.failures);
    }
}

impl fmt::Display for BackgroundFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { swaps, scrapes, scrape_bytes, outcomes, joined, failures, not_stored, log_lines_lost } =
            self;
        writeln!(f, "\nbeside them: {swaps} swaps, {scrapes} scrapes (the last one {scrape_bytes} bytes)")?;
        writeln!(
            f,
            "{outcomes} outcomes, {joined} of them joined; {not_stored} predictions not kept, {log_lines_lost} lines of the log lost"
        )?;
        failures.iter().try_for_each(|(reason, count)| writeln!(f, "  {count} × {reason}"))
    }
}
