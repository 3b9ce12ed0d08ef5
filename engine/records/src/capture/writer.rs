use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use onnward_repository::Archive;
use onnward_serving::registry::Registry;
use onnward_telemetry::metrics::{CaptureLoss, Metrics};
use tokio::sync::mpsc::{Receiver, UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::files::{File, Files};
use super::lines::lines;
use super::{Held, Prediction};
use crate::capture::CaptureRules;

/// Makes lines of predictions and files of lines, and puts the files.
pub struct Writer {
    pub predictions: Receiver<Prediction>,
    pub files: Files,
    pub rules: CaptureRules,
    pub archive: Archive,
    pub held: Arc<Held>,
    pub registry: Arc<Registry>,
    pub metrics: Arc<Metrics>,
    /// How long the end may take, once it has come.
    pub end: watch::Receiver<Option<Duration>>,
    /// The features to leave out that have been looked for in the models.
    pub sought: BTreeSet<String>,
}

/// How often a file is tried to be put; the store's client tries each again by itself.
const ATTEMPTS: u32 = 6;
const FIRST_PAUSE: Duration = Duration::from_secs(1);

impl Writer {
    /// Works until the end has come.
    pub async fn run(mut self) {
        let (full, to_put) = unbounded_channel();
        let mut putting = tokio::spawn(put_all(self.archive.clone(), to_put));
        let within = self.collect(&full).await;
        drop(full);
        if timeout(within, &mut putting).await.is_err() {
            // What it has not put is dropped with it, and counted.
            putting.abort();
            let _ = putting.await;
        }
    }

    /// Passes on files that are complete until the end has come, and then every other: how long they may take.
    async fn collect(&mut self, full: &UnboundedSender<Waiting>) -> Duration {
        let mut end = self.end.clone();
        let within = loop {
            let due = self.files.next_due();
            let files = tokio::select! {
                biased;
                ended = end.wait_for(Option::is_some) => break ended.ok().and_then(|within| *within),
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => self.files.take_due(),
                prediction = self.predictions.recv() => match prediction {
                    Some(prediction) => self.add(prediction).into_iter().collect(),
                    None => break None,
                },
            };
            self.send(full, files);
        };
        self.predictions.close();
        while let Some(prediction) = self.predictions.recv().await {
            let file = self.add(prediction);
            self.send(full, file);
        }
        let files = self.files.take_all();
        self.send(full, files);
        within.unwrap_or_default()
    }

    fn send(&self, full: &UnboundedSender<Waiting>, files: impl IntoIterator<Item = File>) {
        for File { model, path, bytes, requests } in files {
            let (held, metrics) = (Arc::clone(&self.held), Arc::clone(&self.metrics));
            let loss = Some(CaptureLoss::Stopped);
            // The receiver lives as long as this sender, unless the end has come.
            let _ = full.send(Waiting { model, path, bytes: bytes.into(), requests, loss, held, metrics });
        }
    }

    /// Adds a prediction's lines to its model's file; the file, if it is complete.
    fn add(&mut self, prediction: Prediction) -> Option<File> {
        self.tell_of_strangers(&prediction);
        let model = &prediction.model.name;
        let written = lines(&prediction, &self.rules);
        self.held.give_back(prediction.body.len());
        let Some(written) = written else {
            self.metrics.capture_lost(model, CaptureLoss::Unreadable, 1);
            return None;
        };
        self.held.charge(written.len());
        self.files.add(model, &written, prediction.time)
    }

    /// Warns of features to leave out that no model has: the name may be a mistake, and the values not left out.
    fn tell_of_strangers(&mut self, prediction: &Prediction) {
        if self.sought.len() == self.rules.redact.len() || !self.registry.is_loaded() {
            return;
        }
        let serving = self.registry.serving();
        let schemas = || serving.iter().chain([&prediction.model]).map(|model| model.description.schema());
        for name in &self.rules.redact {
            let is_known = schemas()
                .any(|schema| schema.index_of(name).is_some() || schema.identifier.as_ref() == Some(name));
            if self.sought.insert(name.clone()) && !is_known {
                tracing::warn!(feature = name, "capture.redact names a feature that no served model has");
            }
        }
    }
}

/// A file on its way. Dropped, it is counted: as written, or as lost for this reason.
pub struct Waiting {
    model: String,
    path: String,
    bytes: Bytes,
    requests: u64,
    loss: Option<CaptureLoss>,
    held: Arc<Held>,
    metrics: Arc<Metrics>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.held.give_back(self.bytes.len());
        match self.loss {
            None => self.metrics.captured(&self.model, self.requests),
            Some(loss) => self.metrics.capture_lost(&self.model, loss, self.requests),
        }
    }
}

/// Puts files one after the other, until there will be no more.
async fn put_all(archive: Archive, mut files: UnboundedReceiver<Waiting>) {
    let mut is_failing = false;
    while let Some(mut file) = files.recv().await {
        file.loss = match put(&archive, &file, &mut is_failing).await {
            true => None,
            false => Some(CaptureLoss::Store),
        };
    }
}

/// Puts a file, and tries again for half a minute and more; whether it is there.
async fn put(archive: &Archive, file: &Waiting, is_failing: &mut bool) -> bool {
    let mut pause = FIRST_PAUSE;
    for attempt in 1..=ATTEMPTS {
        let Err(error) = archive.put(&file.path, file.bytes.clone()).await else {
            if std::mem::take(is_failing) {
                tracing::info!("captured predictions are written again");
            }
            return true;
        };
        if !std::mem::replace(is_failing, true) {
            tracing::warn!(%error, "captured predictions cannot be written; they are lost if that goes on");
        }
        if attempt < ATTEMPTS {
            sleep(pause).await;
            pause *= 2;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use onnward_repository::RepositoryConfig;
    use tempfile::TempDir;

    use super::*;
    use onnward_telemetry::logging::LogFormat;
    use onnward_telemetry::logging::captured_log;

    #[tokio::test(start_paused = true)]
    async fn a_place_that_stays_down_costs_a_file_after_some_attempts_and_one_warning() {
        let (log, _guard) = captured_log(LogFormat::Json);
        let folder = TempDir::new().unwrap();
        let place = folder.path().join("captures");
        let location = place.display().to_string();
        let config = RepositoryConfig { location, ..RepositoryConfig::default() };
        let archive = Archive::open(&config).unwrap();
        std::fs::remove_dir(&place).unwrap();
        std::fs::write(&place, "in the way").unwrap();

        let metrics = Arc::new(Metrics::new().unwrap());
        let held = Arc::new(Held { bytes: AtomicUsize::new(4), limit: 4 });
        let (full, to_put) = unbounded_channel();
        let (model, bytes) = ("churn".to_owned(), Bytes::from_static(b"{}\n\n"));
        let loss = Some(CaptureLoss::Stopped);
        let (held_by, metrics_of) = (Arc::clone(&held), Arc::clone(&metrics));
        let path = "churn/1.jsonl".to_owned();
        full.send(Waiting { model, path, bytes, requests: 2, loss, held: held_by, metrics: metrics_of })
            .unwrap();
        drop(full);
        let start = Instant::now();
        put_all(archive, to_put).await;
        assert_eq!(start.elapsed().as_secs(), 31);
        assert_eq!(held.bytes.load(Ordering::Relaxed), 0);
        let text = String::from_utf8(metrics.render(&[]).unwrap()).unwrap();
        let line = r#"onnward_capture_lost_total{model="churn",reason="store"} 2"#;
        assert!(text.lines().any(|printed| printed == line), "{text}");
        assert_eq!(log.text().matches("cannot be written").count(), 1, "{}", log.text());
    }
}
