use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use onnward_repository::Archive;
use onnward_serving::backoff::Backoff;
use onnward_serving::registry::Registry;
use onnward_telemetry::metrics::{CaptureLoss, Metrics};
use tokio::sync::mpsc::{Receiver, UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::files::{File, Files};
use super::lines::lines;
use super::{MemoryBudget, Prediction};
use crate::capture::CaptureRules;

/// Formats predictions as lines of files, and uploads the files.
pub struct Writer {
    pub predictions: Receiver<Prediction>,
    pub files: Files,
    pub rules: CaptureRules,
    pub archive: Archive,
    pub budget: Arc<MemoryBudget>,
    pub registry: Arc<Registry>,
    pub metrics: Arc<Metrics>,
    /// The shutdown's timeout, once it has begun.
    pub end: watch::Receiver<Option<Duration>>,
    /// The redacted features that were looked for in the models.
    pub checked_features: BTreeSet<String>,
}

/// The attempts to upload a file. The store's client retries each of them.
const ATTEMPTS: u32 = 6;
const BACKOFF: Backoff = Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(16) };

impl Writer {
    /// Runs until shutdown.
    pub async fn run(mut self) {
        let (full, uploads) = unbounded_channel();
        let mut uploading = tokio::spawn(upload_all(self.archive.clone(), uploads));
        let within = self.collect(&full).await;
        drop(full);
        if timeout(within, &mut uploading).await.is_err() {
            // Files that are not uploaded are dropped with the task, and counted.
            uploading.abort();
            let _ = uploading.await;
        }
    }

    /// Sends complete files to the uploader, and all others at shutdown. Returns the time left for them.
    async fn collect(&mut self, full: &UnboundedSender<PendingFile>) -> Duration {
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

    fn send(&self, full: &UnboundedSender<PendingFile>, files: impl IntoIterator<Item = File>) {
        for File { model, path, bytes, requests } in files {
            let (budget, metrics) = (Arc::clone(&self.budget), Arc::clone(&self.metrics));
            let loss = Some(CaptureLoss::Stopped);
            // The receiver lives as long as this sender, except at shutdown.
            let _ =
                full.send(PendingFile { model, path, bytes: bytes.into(), requests, loss, budget, metrics });
        }
    }

    /// Adds a prediction's lines to its model's file. Returns the file if it is complete.
    fn add(&mut self, prediction: Prediction) -> Option<File> {
        self.warn_unknown_features(&prediction);
        let model = &prediction.model.name;
        let room = self.budget.room();
        let written = lines(&prediction, &self.rules, room);
        self.budget.release(prediction.body.len());
        let written = written.and_then(|written| match self.budget.try_reserve(written.len()) {
            true => Ok(written),
            false => Err(CaptureLoss::NoRoom),
        });
        match written {
            Ok(written) => self.files.add(model, &written, prediction.time),
            Err(loss) => {
                self.metrics.capture_lost(model, loss, 1);
                None
            }
        }
    }

    /// Warns about redacted features that no model has, because the name may be misspelled.
    fn warn_unknown_features(&mut self, prediction: &Prediction) {
        if self.checked_features.len() == self.rules.redact.len() || !self.registry.is_loaded() {
            return;
        }
        let serving = self.registry.serving();
        let schemas = || serving.iter().chain([&prediction.model]).map(|model| model.description.schema());
        for name in &self.rules.redact {
            let is_known = schemas()
                .any(|schema| schema.index_of(name).is_some() || schema.identifier.as_ref() == Some(name));
            if self.checked_features.insert(name.clone()) && !is_known {
                tracing::warn!(feature = name, "capture.redact names a feature that no served model has");
            }
        }
    }
}

/// A file to upload. Dropping it counts it as written, or as lost for this reason.
pub struct PendingFile {
    model: String,
    path: String,
    bytes: Bytes,
    requests: u64,
    loss: Option<CaptureLoss>,
    budget: Arc<MemoryBudget>,
    metrics: Arc<Metrics>,
}

impl Drop for PendingFile {
    fn drop(&mut self) {
        self.budget.release(self.bytes.len());
        match self.loss {
            None => self.metrics.captured(&self.model, self.requests),
            Some(loss) => self.metrics.capture_lost(&self.model, loss, self.requests),
        }
    }
}

/// Uploads files one after the other until the channel closes.
async fn upload_all(archive: Archive, mut files: UnboundedReceiver<PendingFile>) {
    let mut is_failing = false;
    while let Some(mut file) = files.recv().await {
        file.loss = match upload(&archive, &file, &mut is_failing).await {
            true => None,
            false => Some(CaptureLoss::Store),
        };
    }
}

/// Uploads a file with retries for about half a minute. Returns whether it succeeded.
async fn upload(archive: &Archive, file: &PendingFile, is_failing: &mut bool) -> bool {
    for attempt in 0..ATTEMPTS {
        let Err(error) = archive.put(&file.path, file.bytes.clone()).await else {
            if std::mem::take(is_failing) {
                tracing::info!("captured predictions are written again");
            }
            return true;
        };
        if !std::mem::replace(is_failing, true) {
            tracing::warn!(%error, "captured predictions cannot be written and will be lost unless this recovers");
        }
        if attempt + 1 < ATTEMPTS {
            sleep(BACKOFF.pause(attempt)).await;
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
        let budget = Arc::new(MemoryBudget { bytes: AtomicUsize::new(4), limit: 4 });
        let (full, uploads) = unbounded_channel();
        let (model, bytes) = ("churn".to_owned(), Bytes::from_static(b"{}\n\n"));
        let loss = Some(CaptureLoss::Stopped);
        let (held_by, metrics_of) = (Arc::clone(&budget), Arc::clone(&metrics));
        let path = "churn/1.jsonl".to_owned();
        full.send(PendingFile {
            model,
            path,
            bytes,
            requests: 2,
            loss,
            budget: held_by,
            metrics: metrics_of,
        })
        .unwrap();
        drop(full);
        let start = Instant::now();
        upload_all(archive, uploads).await;
        assert_eq!(start.elapsed().as_secs(), 31);
        assert_eq!(budget.bytes.load(Ordering::Relaxed), 0);
        let text = String::from_utf8(metrics.render(&[]).unwrap()).unwrap();
        let line = r#"onnward_capture_lost_total{model="churn",reason="store"} 2"#;
        assert!(text.lines().any(|printed| printed == line), "{text}");
        assert_eq!(log.text().matches("cannot be written").count(), 1, "{}", log.text());
    }
}
