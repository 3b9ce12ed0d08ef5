//! Turns a fetched version into one that can answer requests: verifies it and prepares its batcher.

mod error;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use onnward_quality::drift::{Drift, DriftConfig};
use onnward_quality::estimate::TaskEstimator;
use onnward_repository::FetchedModel;
use onnward_rows::RowParser;
use onnward_runtime::verify::{Decoded, Progress};
use onnward_runtime::{ModelFile, VerifiedModel, Verifier};
use onnward_schemas::{Manifest, Metadata};
use onnward_telemetry::metrics::Metrics;

pub use onnward_runtime::verify::LoadStep;

pub use self::error::{LoadError, Recovery};
use crate::batcher::{Batcher, BatchingConfig, RowWidth, Workers};
use crate::monitor::Monitor;
use crate::registry::ServingModel;
use crate::version::ModelVersion;

/// Loads fetched versions.
///
/// ```
/// use std::num::NonZeroUsize;
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// # use onnward_repository::FetchedModel;
/// use onnward_runtime::Verifier;
/// # use onnward_schemas::{Manifest, sha256_hex};
/// use onnward_serving::batcher::{BatchingConfig, Workers};
/// use onnward_serving::loader::{LoadStep, Loader};
/// use onnward_telemetry::metrics::Metrics;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let batching = BatchingConfig {
///     workers: 1,
///     max_batch_rows: None,
///     max_queue_rows: 1000,
///     max_queue_delay: Duration::ZERO,
/// };
/// let verifier = Verifier::new(Vec::new());
/// let metrics = Arc::new(Metrics::new()?);
/// let workers = Workers::new(NonZeroUsize::MIN);
/// let loader = Loader { verifier, batching, workers, drift: None, estimate_rows: 1000, metrics };
///
/// // In an engine, a fetcher reads the files of the version.
/// # let bytes = b"not an ONNX file".to_vec();
/// # let (sha256, size_bytes) = (sha256_hex(&bytes), bytes.len() as u64);
/// # let manifest = Manifest { sha256, size_bytes, ..Manifest::default() };
/// # let (manifest_text, signatures) = (String::new(), Vec::new());
/// # let config = None;
/// # let fetched =
/// #     FetchedModel { manifest, manifest_text, signatures, config, bytes, from_cache: false };
/// let error = loader.load("churn", 1, &fetched).err().ok_or("it is not a model")?;
/// assert_eq!(error.step(), LoadStep::Artifact);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Loader {
    /// Opens and verifies model files.
    pub verifier: Verifier,
    /// The settings of batching.
    pub batching: BatchingConfig,
    /// The threads that run the batches of all models.
    pub workers: Workers,
    /// Drift settings for artifacts. `None` disables drift.
    pub drift: Option<DriftConfig>,
    /// The minimum number of the latest scores that an estimate of performance covers.
    pub estimate_rows: usize,
    /// The metrics of the batches.
    pub metrics: Arc<Metrics>,
}

impl Loader {
    /// Verifies a version and prepares it to answer requests.
    ///
    /// It computes for a while: call it on a blocking thread.
    ///
    /// # Errors
    /// [`LoadError`].
    pub fn load(&self, name: &str, version: u64, fetched: &FetchedModel) -> Result<ServingModel, LoadError> {
        let progress = Progress { replayed: &self.replayed(name), ..Progress::default() };
        let verified = self.verifier.verify_with(name, &file_of(fetched), &progress)?;
        self.start(name, version, &fetched.manifest, verified)
    }

    /// Verifies a version, unless it must first be tested in a process of its own. It ends early if `cancelled`
    /// becomes true.
    ///
    /// # Errors
    /// Those of [`Loader::load`].
    pub fn begin(
        &self,
        name: &str,
        fetched: &FetchedModel,
        cancelled: &AtomicBool,
    ) -> Result<Verification, LoadError> {
        let decoded = self.verifier.decode(name, &file_of(fetched))?;
        if decoded.needs_isolated_test() {
            return Ok(Verification::NeedsIsolatedTest(Box::new(decoded)));
        }
        Ok(Verification::Done(Box::new(self.finish(name, fetched, decoded, cancelled)?)))
    }

    /// Tests a version in a process of its own, for as long as it may take, unless `cancelled` becomes true.
    ///
    /// # Errors
    /// Those of [`Loader::load`].
    pub fn test_isolated(
        &self,
        name: &str,
        fetched: &FetchedModel,
        decoded: &mut Decoded,
        cancelled: &AtomicBool,
    ) -> Result<(), LoadError> {
        Ok(self.verifier.test_isolated(name, &file_of(fetched), decoded, cancelled)?)
    }

    /// Verifies a version that was tested. It ends early if `cancelled` becomes true.
    ///
    /// # Errors
    /// Those of [`Loader::load`].
    pub fn finish(
        &self,
        name: &str,
        fetched: &FetchedModel,
        decoded: Decoded,
        cancelled: &AtomicBool,
    ) -> Result<VerifiedModel, LoadError> {
        let progress = Progress { replayed: &self.replayed(name), cancelled };
        Ok(self.verifier.verify_decoded(name, &file_of(fetched), decoded, &progress)?)
    }

    /// Returns what counts the replays of a model's golden rows.
    fn replayed(&self, name: &str) -> impl Fn(bool) {
        |succeeded| self.metrics.golden_replayed(name, succeeded)
    }

    /// Prepares a verified version to answer requests. This is the second part of [`Loader::load`]. The first call
    /// starts a worker thread, with the priority of the calling thread.
    ///
    /// # Errors
    /// [`LoadError::Thread`].
    pub fn start(
        &self,
        name: &str,
        version: u64,
        manifest: &Manifest,
        verified: VerifiedModel,
    ) -> Result<ServingModel, LoadError> {
        let VerifiedModel { backend, sessions, costs, sample, comparison, description, memory } = verified;
        let inference = self.metrics.inference(name, version, backend.name());
        let business = self.metrics.business(name, version, description.schema());
        let of_artifact = |metadata: &Metadata| {
            self.drift.map(|config| Drift::new(&metadata.schema, &metadata.profile, config))
        };
        let drift = description.metadata().and_then(of_artifact);
        let profile = description.metadata().map(|metadata| &metadata.profile);
        let estimator = TaskEstimator::of(&description.schema().label.task, profile, self.estimate_rows);
        let monitor = Monitor::new(inference).with_business(business).with_drift(drift);
        let monitor = Arc::new(monitor.with_estimator(estimator));
        let width = RowWidth::of(description.schema());
        let batcher = Batcher::start(
            sessions,
            &costs,
            width,
            &self.batching,
            Arc::clone(&monitor),
            &self.workers,
            &self.verifier.threads,
            sample,
        )?;
        let max_batch_rows = batcher.max_batch_rows();
        tracing::debug!(model = name, version, %backend, %costs, max_batch_rows, "measured batch costs");
        Ok(ServingModel {
            name: name.to_owned(),
            version,
            sha256: manifest.sha256.clone(),
            size_bytes: manifest.size_bytes,
            backend,
            comparison,
            parser: RowParser::new(description.schema().clone()),
            identity: Arc::new(ModelVersion::new(name, version, &manifest.sha256, description.schema())),
            description,
            memory,
            monitor,
            batcher,
        })
    }
}

/// How far [`Loader::begin`] has come.
pub enum Verification {
    /// The version is verified.
    Done(Box<VerifiedModel>),
    /// The version must be tested in a process of its own.
    NeedsIsolatedTest(Box<Decoded>),
}

fn file_of(fetched: &FetchedModel) -> ModelFile<'_> {
    ModelFile {
        bytes: &fetched.bytes,
        sha256: fetched.manifest.sha256.as_str().into(),
        fingerprint: fetched.manifest.fingerprint.as_deref(),
        config: fetched.config.as_deref(),
    }
}

#[cfg(test)]
mod tests;
