//! From a file's bytes to a model that may serve. An artifact is opened, cut, proven on its golden rows, warmed, and compared
//! with what another backend computes; a foreign ONNX file is opened, tried on rows made from its inputs, and warmed.

mod error;
mod foreign;

use std::sync::Arc;

use ndarray::Axis;
use onnward_onnx::{Artifact, ArtifactError};
use onnward_repository::FetchedModel;
use onnward_schemas::{Manifest, Metadata};

pub use self::error::{LoadError, LoadStep};
pub use self::foreign::{TrialError, try_on};
use crate::backend::{Backend, BackendKind, Batch, Session};
use crate::batcher::{Batcher, RowWidth};
use crate::config::BatchingConfig;
use crate::crew::Crew;
use crate::differential::{ComparedRows, Comparison};
use crate::golden::{self, GraphForm};
use crate::metrics::Metrics;
use crate::registry::{Description, ServingModel};

/// Opens models on the backends that it was given.
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

impl Loader {
    /// Opens, proves and warms a model on the first backend that can open it, compares it with the next one that can, and
    /// starts its workers.
    ///
    /// It computes for a while: call it where blocking is allowed.
    ///
    /// # Errors
    /// [`LoadError`]. A backend that computes something else than the trainer, or than the other backend, refuses the model:
    /// it is to be noticed and not worked around.
    pub fn load(&self, name: &str, version: u64, fetched: &FetchedModel) -> Result<ServingModel, LoadError> {
        self.start(name, version, &fetched.manifest, self.prove_file(name, fetched)?)
    }

    /// The first part of [`Loader::load`], which computes: opens, proves, compares and warms.
    ///
    /// # Errors
    /// As [`Loader::load`].
    pub fn prove_file(&self, name: &str, fetched: &FetchedModel) -> Result<Proven, LoadError> {
        let _at_work = self.crew.enter();
        match Artifact::decode(&fetched.bytes) {
            Ok(artifact) => self.prove_artifact(name, artifact, fetched),
            Err(ArtifactError::Foreign) => foreign::prove(self, name, fetched),
            Err(error) => Err(error.into()),
        }
    }

    /// The second part of [`Loader::load`]: starts the workers, with the priority of the thread that calls it.
    ///
    /// # Errors
    /// [`LoadError::Thread`].
    pub fn start(
        &self,
        name: &str,
        version: u64,
        manifest: &Manifest,
        proven: Proven,
    ) -> Result<ServingModel, LoadError> {
        let Proven { backend, sessions, comparison, description } = proven;
        let metrics = self.metrics.model(name, version, backend.name());
        let width = RowWidth::of(description.schema());
        let batcher = Batcher::start(name, sessions, width, &self.batching, metrics, &self.crew)?;
        Ok(ServingModel {
            name: name.to_owned(),
            version,
            sha256: manifest.sha256.clone(),
            size_bytes: manifest.size_bytes,
            backend,
            comparison,
            description,
            batcher,
        })
    }

    fn prove_artifact(
        &self,
        name: &str,
        artifact: Artifact,
        fetched: &FetchedModel,
    ) -> Result<Proven, LoadError> {
        let fingerprint = artifact.metadata.schema.fingerprint();
        if let Some(manifest) = &fetched.manifest.fingerprint
            && *manifest != fingerprint
        {
            return Err(LoadError::Fingerprint { manifest: manifest.clone(), artifact: fingerprint });
        }
        let candidate = Candidate {
            name,
            sha256: &fetched.manifest.sha256,
            whole: &fetched.bytes,
            cut: artifact.encode_cut()?,
            metadata: &artifact.metadata,
        };
        let opened = self.open(&candidate)?;
        let backend = opened.backend.kind();
        let (sessions, comparison) = self.prove(&candidate, opened)?;
        Ok(Proven {
            backend,
            sessions,
            comparison,
            description: Description::Artifact(Box::new(artifact.metadata)),
        })
    }

    /// Opens both graphs on the first backend that can.
    fn open(&self, candidate: &Candidate<'_>) -> Result<Opened<'_>, LoadError> {
        let mut errors = Vec::new();
        for (index, backend) in self.backends.iter().enumerate() {
            let opened =
                backend.open(candidate.whole).and_then(|whole| Ok((whole, backend.open(&candidate.cut)?)));
            match opened {
                Ok((whole, cut)) => {
                    let others = self.backends.get(index + 1..).unwrap_or_default();
                    return Ok(Opened { backend: backend.as_ref(), whole, cut, others });
                }
                Err(error) => {
                    let (model, backend) = (candidate.name, backend.kind().name());
                    tracing::warn!(model, backend, %error, "the backend is passed over");
                    errors.push(error);
                }
            }
        }
        Err(if errors.is_empty() { LoadError::NoBackend } else { LoadError::Open(errors) })
    }

    /// Proves and warms a session for each worker, and compares the first with another backend.
    fn prove(
        &self,
        candidate: &Candidate<'_>,
        opened: Opened<'_>,
    ) -> Result<(Sessions, Option<Comparison>), LoadError> {
        let Opened { backend, mut whole, cut: mut session, others } = opened;
        let kind = backend.kind();
        let prove = |session: &mut dyn Session, form| {
            let replayed = golden::replay(session, candidate.metadata, form);
            replayed.map_err(|source| LoadError::Golden { backend: kind, source })
        };
        prove(whole.as_mut(), GraphForm::Whole)?;
        drop(whole);
        prove(session.as_mut(), GraphForm::Cut)?;
        warm_up(session.as_mut(), candidate.metadata, self.batching.max_batch_rows)?;
        let comparison = compare(candidate, (kind, session.as_mut()), others)?;

        let mut sessions = vec![session];
        while sessions.len() < self.batching.workers {
            let mut session = backend.open(&candidate.cut).map_err(|error| LoadError::Open(vec![error]))?;
            prove(session.as_mut(), GraphForm::Cut)?;
            warm_up(session.as_mut(), candidate.metadata, self.batching.max_batch_rows)?;
            sessions.push(session);
        }
        Ok((sessions, comparison))
    }
}

/// An artifact on its way into service.
struct Candidate<'a> {
    name: &'a str,
    sha256: &'a str,
    /// The whole graph.
    whole: &'a [u8],
    /// The graph cut at `features`.
    cut: Vec<u8>,
    metadata: &'a Metadata,
}

/// A backend that has opened both graphs of a candidate.
struct Opened<'a> {
    backend: &'a dyn Backend,
    whole: Box<dyn Session>,
    cut: Box<dyn Session>,
    /// The backends after it, which have not been tried.
    others: &'a [Arc<dyn Backend>],
}

/// One for each worker.
type Sessions = Vec<Box<dyn Session>>;

/// A model that has passed every check and has no workers yet.
pub struct Proven {
    backend: BackendKind,
    sessions: Sessions,
    comparison: Option<Comparison>,
    description: Description,
}

/// The batch sizes that come first.
const WARM_UP_SIZES: [usize; 4] = [1, 2, 32, 256];

/// Compares a session of the cut graph with the first of the other backends that can run it; `None` if none of them can.
fn compare(
    candidate: &Candidate<'_>,
    (backend, session): (BackendKind, &mut dyn Session),
    others: &[Arc<dyn Backend>],
) -> Result<Option<Comparison>, LoadError> {
    let rows = ComparedRows::of(candidate.metadata, candidate.sha256);
    for other in others {
        let scored = other.open(&candidate.cut);
        match scored.and_then(|mut session| rows.score(other.kind(), session.as_mut())) {
            Ok(theirs) => {
                let ours = rows.score(backend, session);
                let ours = ours.map_err(|source| LoadError::WarmUp { rows: rows.len(), source })?;
                return Ok(Some(rows.compare(&ours, &theirs)?));
            }
            Err(error) => {
                let (model, with) = (candidate.name, other.kind().name());
                tracing::warn!(model, with, %error, "the model is not compared with this backend, which cannot run it");
            }
        }
    }
    Ok(None)
}

/// Runs the batch sizes that come first, so that no request pays for the first allocation of its size.
fn warm_up(session: &mut dyn Session, metadata: &Metadata, max_batch_rows: usize) -> Result<(), LoadError> {
    let golden = golden::encoded_rows(metadata);
    for size in WARM_UP_SIZES.into_iter().filter(|size| *size <= max_batch_rows) {
        let indices: Vec<usize> = (0..size).map(|row| row % golden.nrows()).collect();
        let batch = golden.select(Axis(0), &indices);
        session
            .score(Batch::Features(batch.view()))
            .map_err(|source| LoadError::WarmUp { rows: size, source })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
