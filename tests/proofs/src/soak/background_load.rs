//! What goes on beside the predictions: swaps, outcomes, scrapes. Each is a thread that does one thing at even distances.

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
use onnward_harness::client::{Client, json, sum_of};
use onnward_harness::engine::EngineProcess;
use onnward_harness::HarnessError;
use onnward_harness::publisher::Publisher;
use onnward_harness::versions::TwoVersions;

/// How often outcomes are posted.
const OUTCOMES_EVERY: Duration = Duration::from_millis(200);
/// How long a thread sleeps at a time before it looks whether it is to stop.
const NAP: Duration = Duration::from_millis(50);
/// How many different failures are told.
const MAX_REASONS: usize = 10;

/// Those who are asked for: each has a key by which outcomes come in.
pub struct Customers {
    /// The rows, with their keys.
    pub rows: Vec<Vec<u8>>,
    outcomes: Vec<Value>,
}

/// What became of what goes on beside the predictions.
#[derive(Debug, Clone, Default, Serialize)]
pub struct BackgroundFigures {
    /// How many promotions there were. One that the engine has not followed before the next is a failure.
    pub swaps: u64,
    /// How many scrapes were answered.
    pub scrapes: u64,
    /// How many bytes the last scrape had.
    pub scrape_bytes: u64,
    /// How many outcomes were answered.
    pub outcomes: u64,
    /// How many of them were joined to predictions.
    pub joined: u64,
    /// What failed, and how often.
    pub failures: BTreeMap<String, u64>,
    /// How many answered predictions were not kept for their outcomes.
    pub not_stored: u64,
    /// How many lines of the log were lost.
    pub log_lines_lost: u64,
}

/// What goes on beside the predictions.
pub struct BackgroundLoad {
    stops: Arc<AtomicBool>,
    threads: Vec<JoinHandle<BackgroundFigures>>,
}

impl Customers {
    /// Those of the requests.
    ///
    /// # Errors
    /// [`HarnessError::Settings`] where the schema has no identifier, by which customers are told apart.
    pub fn of(schema: &SchemaFile, models: &TwoVersions) -> Result<Self, HarnessError> {
        let Some(identifier) = &schema.schema.identifier else {
            return Err(HarnessError::Settings(
                "the schema names no identifier, by which outcomes could come".to_owned(),
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

    /// Ends it, and says what became of it.
    pub fn stop(self, engine: &EngineProcess) -> Result<BackgroundFigures, HarnessError> {
        self.stops.store(true, Ordering::Relaxed);
        let mut all = BackgroundFigures::default();
        for thread in self.threads {
            let failed = |_| HarnessError::Settings("what goes on beside the load has failed".to_owned());
            all.add(thread.join().map_err(failed)?);
        }
        let (_, text) = engine.get("/metrics")?;
        all.not_stored = sum_of(&text, "onnward_predictions_not_stored_total");
        all.log_lines_lost = sum_of(&text, "onnward_log_lines_lost_total");
        Ok(all)
    }
}

/// One turn of what a thread does again and again.
type Work = Box<dyn FnMut(&mut BackgroundFigures) + Send>;

fn repeat(stops: &AtomicBool, every: Duration, work: &mut Work) -> BackgroundFigures {
    let mut figures = BackgroundFigures::default();
    let mut due = Instant::now() + every;
    while !stops.load(Ordering::Relaxed) {
        if Instant::now() < due {
            std::thread::sleep(NAP.min(every));
            continue;
        }
        work(&mut figures);
        due = (due + every).max(Instant::now());
    }
    figures
}

/// Who moves the alias to and fro.
struct Swapper {
    client: Client,
    publisher: Publisher,
    versions: [u64; 2],
    /// Which of the two was promoted last.
    promoted: usize,
}

impl Swapper {
    /// Sees that the engine has followed the last promotion, and promotes the other version.
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
