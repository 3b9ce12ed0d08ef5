//! From an artifact's bytes to a model that may serve: opened, cut, proven on its golden rows, warmed.

use std::sync::Arc;

use ndarray::Axis;
use onnward_onnx::{Artifact, ArtifactError};
use onnward_repository::FetchedModel;
use onnward_schemas::Metadata;
use thiserror::Error;

use crate::backend::{Backend, BackendError, BackendKind, Batch, Session};
use crate::batcher::Batcher;
use crate::config::BatchingConfig;
use crate::crew::Crew;
use crate::golden::{self, GoldenError, GraphForm};
use crate::metrics::Metrics;
use crate::registry::ServingModel;

/// Opens artifacts on the backends that it was given.
#[derive(Clone)]
pub struct Loader {
    /// The backends, the preferred one first.
    pub backends: Vec<Arc<dyn Backend>>,
    /// How rows are batched.
    pub batching: BatchingConfig,
    /// Where the batches are counted.
    pub metrics: Arc<Metrics>,
    /// Who counts the threads that use a runtime.
    pub crew: Crew,
}

/// Why an artifact is not served.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The file is not an artifact, or contradicts itself.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// The file is not the one that its manifest describes.
    #[error("the manifest has the fingerprint {manifest:?}, the artifact {artifact:?}: publish it again")]
    Fingerprint {
        /// The manifest's.
        manifest: String,
        /// The artifact's.
        artifact: String,
    },
    /// The backend cannot open or run it.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The backend computes something else than the trainer did.
    #[error("on {backend}, {source}")]
    Golden {
        /// The backend.
        backend: BackendKind,
        /// How it differs.
        source: GoldenError,
    },
    /// There is no thread for a worker.
    #[error("cannot start a worker thread: {0}")]
    Thread(#[from] std::io::Error),
    /// Nothing to run it on.
    #[error("no backend is available")]
    NoBackend,
}

impl Loader {
    /// Opens, proves and warms a model on the first backend that passes, and starts its workers.
    ///
    /// It computes for a while: call it where blocking is allowed.
    ///
    /// # Errors
    /// [`LoadError`], of the last backend tried.
    pub fn load(&self, name: &str, version: u64, fetched: &FetchedModel) -> Result<ServingModel, LoadError> {
        let _at_work = self.crew.enter();
        let artifact = Artifact::decode(&fetched.bytes)?;
        let fingerprint = artifact.metadata.schema.fingerprint();
        if let Some(manifest) = &fetched.manifest.fingerprint
            && *manifest != fingerprint
        {
            return Err(LoadError::Fingerprint { manifest: manifest.clone(), artifact: fingerprint });
        }
        let cut = artifact.encode_cut()?;
        let (backend, sessions) = self.open(name, &fetched.bytes, &cut, &artifact.metadata)?;

        let metrics = self.metrics.model(name, version, backend.name());
        let features = artifact.metadata.schema.features.len();
        let batcher = Batcher::start(name, sessions, features, &self.batching, metrics, &self.crew)?;
        Ok(ServingModel {
            name: name.to_owned(),
            version,
            sha256: fetched.manifest.sha256.clone(),
            size_bytes: fetched.manifest.size_bytes,
            backend,
            metadata: artifact.metadata,
            batcher,
        })
    }

    fn open(
        &self,
        name: &str,
        whole: &[u8],
        cut: &[u8],
        metadata: &Metadata,
    ) -> Result<(BackendKind, Vec<Box<dyn Session>>), LoadError> {
        let mut failure = LoadError::NoBackend;
        for backend in &self.backends {
            match self.open_on(backend.as_ref(), whole, cut, metadata) {
                Ok(sessions) => return Ok((backend.kind(), sessions)),
                Err(error) => {
                    tracing::warn!(model = name, backend = backend.kind().name(), %error, "the backend is passed over");
                    failure = error;
                }
            }
        }
        Err(failure)
    }

    fn open_on(
        &self,
        backend: &dyn Backend,
        whole: &[u8],
        cut: &[u8],
        metadata: &Metadata,
    ) -> Result<Vec<Box<dyn Session>>, LoadError> {
        let golden = |source| LoadError::Golden { backend: backend.kind(), source };
        golden::replay(backend.open(whole)?.as_mut(), metadata, GraphForm::Whole).map_err(golden)?;
        let mut sessions = Vec::with_capacity(self.batching.workers);
        for _ in 0..self.batching.workers {
            let mut session = backend.open(cut)?;
            golden::replay(session.as_mut(), metadata, GraphForm::Cut).map_err(golden)?;
            warm_up(session.as_mut(), metadata, self.batching.max_batch_rows)?;
            sessions.push(session);
        }
        Ok(sessions)
    }
}

/// Runs the batch sizes that come first, so that no request pays for the first allocation of its size.
fn warm_up(
    session: &mut dyn Session,
    metadata: &Metadata,
    max_batch_rows: usize,
) -> Result<(), BackendError> {
    const SIZES: [usize; 4] = [1, 2, 32, 256];
    let golden = golden::encoded_rows(metadata);
    for size in SIZES.into_iter().filter(|size| *size <= max_batch_rows) {
        let indices: Vec<usize> = (0..size).map(|row| row % golden.nrows()).collect();
        session.score(Batch::Features(golden.select(Axis(0), &indices).view()))?;
    }
    Ok(())
}

impl LoadError {
    pub fn step(&self) -> &'static str { "load" }
    pub fn may_pass(&self) -> bool { matches!(self, Self::Thread(_)) }
}
