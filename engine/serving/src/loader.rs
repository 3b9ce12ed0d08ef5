//! From a fetched version to one that can answer requests: it is verified, and its workers are started.

mod error;

use std::sync::Arc;

use onnward_quality::drift::{Drift, DriftConfig};
use onnward_quality::estimate::Estimator;
use onnward_repository::FetchedModel;
use onnward_rows::RowParser;
use onnward_runtime::{ModelFile, VerifiedModel, Verifier};
use onnward_schemas::{Manifest, Metadata};
use onnward_telemetry::metrics::Metrics;

pub use self::error::{LoadError, LoadStep};
use crate::batcher::{Batcher, BatchingConfig, RowWidth};
use crate::monitor::Monitor;
use crate::registry::ServingModel;
use crate::version::ModelVersion;

/// Loads fetched versions.
#[derive(Clone)]
pub struct Loader {
    /// Opens and verifies model files.
    pub verifier: Verifier,
    /// How rows are batched.
    pub batching: BatchingConfig,
    /// How live rows are compared with the training rows of an artifact; `None`: they are not.
    pub drift: Option<DriftConfig>,
    /// How many of the last scores an estimate of how good they are covers at least.
    pub estimate_rows: usize,
    /// Where the batches are counted.
    pub metrics: Arc<Metrics>,
}

impl Loader {
    /// Verifies a version and starts its workers.
    ///
    /// It computes for a while: call it where blocking is allowed.
    ///
    /// # Errors
    /// [`LoadError`].
    pub fn load(&self, name: &str, version: u64, fetched: &FetchedModel) -> Result<ServingModel, LoadError> {
        self.start(name, version, &fetched.manifest, self.verify(name, fetched)?)
    }

    /// Runs the first part of [`Loader::load`], which computes.
    ///
    /// # Errors
    /// As [`Loader::load`].
    pub fn verify(&self, name: &str, fetched: &FetchedModel) -> Result<VerifiedModel, LoadError> {
        let file = ModelFile {
            bytes: &fetched.bytes,
            sha256: fetched.manifest.sha256.as_str().into(),
            fingerprint: fetched.manifest.fingerprint.as_deref(),
            config: fetched.config.as_deref(),
        };
        let replayed = |succeeded| self.metrics.golden_replayed(name, succeeded);
        Ok(self.verifier.verify_with(name, &file, &replayed)?)
    }

    /// Runs the second part of [`Loader::load`]: starts the workers, with the priority of the calling thread.
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
        let VerifiedModel { backend, sessions, costs, comparison, description } = verified;
        let inference = self.metrics.inference(name, version, backend.name());
        let business = self.metrics.business(name, version, description.schema());
        let of_artifact = |metadata: &Metadata| {
            self.drift.map(|config| Drift::new(&metadata.schema, &metadata.profile, config))
        };
        let drift = description.metadata().and_then(of_artifact);
        let estimator = Estimator::new(description.schema().threshold, self.estimate_rows);
        let monitor = Monitor::new(inference).with_business(business).with_drift(drift);
        let monitor = Arc::new(monitor.with_estimator(estimator));
        let width = RowWidth::of(description.schema());
        let threads = &self.verifier.threads;
        let batcher =
            Batcher::start(name, sessions, &costs, width, &self.batching, Arc::clone(&monitor), threads)?;
        let max_batch_rows = batcher.max_batch_rows();
        tracing::debug!(model = name, version, %backend, %costs, max_batch_rows, "what batches cost");
        Ok(ServingModel {
            name: name.to_owned(),
            version,
            sha256: manifest.sha256.clone(),
            size_bytes: manifest.size_bytes,
            backend,
            comparison,
            parser: RowParser::new(description.schema().clone()),
            identity: Arc::new(ModelVersion::new(name, version, description.schema())),
            description,
            costs,
            monitor,
            batcher,
        })
    }
}

#[cfg(test)]
mod tests;
