//! From a file's bytes to a model that may serve. An artifact is opened, cut, proven on its golden rows, warmed, and compared
//! with what another backend computes; a foreign ONNX file is opened, tried on rows made from its inputs, and warmed.

mod error;
mod foreign;

use std::sync::Arc;
use std::time::Instant;

use ndarray::{Array2, ArrayView2, Axis};
use onnward_onnx::{Artifact, ArtifactError, ModelBounds};
use onnward_repository::FetchedModel;
use onnward_schemas::{Manifest, Metadata};

pub use self::error::{LoadError, LoadStep};
pub use self::foreign::{TrialError, try_on};
use crate::backend::{Backend, BackendKind, Batch, Session};
use crate::batcher::costs::BatchCosts;
use crate::batcher::{Batcher, RowWidth};
use crate::config::{BatchingConfig, DriftConfig};
use crate::crew::Crew;
use crate::differential::{ComparedRows, Comparison};
use crate::drift::Drift;
use crate::golden::{self, GraphForm};
use crate::metrics::Metrics;
use crate::monitor::Monitor;
use crate::outcomes::estimate::Estimator;
use crate::outcomes::version::ModelVersion;
use crate::registry::{Description, ServingModel};

/// Opens models on the backends that it was given.
#[derive(Clone)]
pub struct Loader {
    /// The backends, the preferred one first.
    pub backends: Vec<Arc<dyn Backend>>,
    /// What a file may be; no backend is given one that is outside of them.
    pub bounds: ModelBounds,
    /// How rows are batched.
    pub batching: BatchingConfig,
    /// How live rows are compared with the training rows of an artifact; `None`: they are not.
    pub drift: Option<DriftConfig>,
    /// How many of the last scores an estimate of how good they are covers at least.
    pub estimate_rows: usize,
    /// Where the batches are counted.
    pub metrics: Arc<Metrics>,
    /// Who counts the threads that use a runtime.
    pub crew: Crew,
}

impl Loader {
    /// Opens, proves and warms a model on the first backend that can open it, compares it with the next one that can, and
    /// starts its workers on the first, unless the other is clearly faster.
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
        match Artifact::decode_within(&fetched.bytes, &self.bounds) {
            Ok(artifact) => self.prove_artifact(name, artifact, fetched),
            Err(ArtifactError::External) => foreign::prove(self, name, fetched),
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
        let Proven { backend, sessions, costs, comparison, description } = proven;
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
        let batcher =
            Batcher::start(name, sessions, &costs, width, &self.batching, Arc::clone(&monitor), &self.crew)?;
        let max_batch_rows = batcher.max_batch_rows();
        tracing::debug!(model = name, version, %backend, %costs, max_batch_rows, "what batches cost");
        Ok(ServingModel {
            name: name.to_owned(),
            version,
            sha256: manifest.sha256.clone(),
            size_bytes: manifest.size_bytes,
            backend,
            comparison,
            identity: Arc::new(ModelVersion::new(name, version, description.schema())),
            description,
            costs,
            monitor,
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
            cut: artifact.encode_subgraph()?,
            metadata: &artifact.metadata,
        };
        let (ready, comparison) = self.prove(&candidate)?;
        Ok(Proven {
            backend: ready.backend.kind(),
            sessions: self.sessions(&candidate, ready.backend, ready.session)?,
            costs: ready.costs,
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

    /// Proves the candidate on the first backend that can open it, and compares it with another; if that is clearly faster,
    /// proves it there.
    fn prove(&self, candidate: &Candidate<'_>) -> Result<(Measured<'_>, Option<Comparison>), LoadError> {
        let opened = self.open(candidate)?;
        let (first, others) = (opened.backend.kind(), opened.others);
        let rows = ComparedRows::of(candidate.metadata, candidate.sha256);
        let mut session = self.make_ready(candidate, opened.backend, opened.whole, opened.cut)?;
        let costs = measure(session.as_mut(), &rows)?;
        let mut ready = Measured { backend: opened.backend, session, costs };
        let Some((mut rival, comparison)) = compare(candidate, &rows, &mut ready, others)? else {
            return Ok((ready, None));
        };
        if !rival.costs.are_clearly_below(&ready.costs) {
            // What else the machine did may have made it seem slow, and the choice is for as long as the model serves.
            ready.measure_again(&rows)?;
            rival.measure_again(&rows)?;
        }
        for Measured { backend, costs, .. } in [&ready, &rival] {
            let (model, backend) = (candidate.name, backend.kind().name());
            tracing::debug!(model, backend, %costs, "what batches cost, for the choice of a backend");
        }
        if !rival.costs.are_clearly_below(&ready.costs) {
            return Ok((ready, Some(comparison)));
        }
        match rival.backend.open(candidate.whole) {
            Ok(whole) => {
                let session = self.make_ready(candidate, rival.backend, whole, rival.session)?;
                Ok((Measured { session, ..rival }, Some(Comparison { with: first, ..comparison })))
            }
            Err(error) => {
                let (model, backend) = (candidate.name, rival.backend.kind().name());
                tracing::warn!(model, backend, %error, "the faster backend is passed over");
                Ok((ready, Some(comparison)))
            }
        }
    }

    /// Replays the golden rows on both graphs and warms the cut one.
    fn make_ready(
        &self,
        candidate: &Candidate<'_>,
        backend: &dyn Backend,
        mut whole: Box<dyn Session>,
        mut session: Box<dyn Session>,
    ) -> Result<Box<dyn Session>, LoadError> {
        self.replay(candidate, backend, whole.as_mut(), GraphForm::Whole)?;
        drop(whole);
        self.replay(candidate, backend, session.as_mut(), GraphForm::Cut)?;
        warm_up(session.as_mut(), candidate.metadata, self.batching.max_batch_rows)?;
        Ok(session)
    }

    /// A proven and warm session for each worker, of which there is one already.
    fn sessions(
        &self,
        candidate: &Candidate<'_>,
        backend: &dyn Backend,
        first: Box<dyn Session>,
    ) -> Result<Sessions, LoadError> {
        let mut sessions = Vec::with_capacity(self.batching.workers);
        while sessions.len() + 1 < self.batching.workers {
            let mut session = match first.share() {
                Some(session) => session,
                None => backend.open(&candidate.cut).map_err(|error| LoadError::Open(vec![error]))?,
            };
            self.replay(candidate, backend, session.as_mut(), GraphForm::Cut)?;
            warm_up(session.as_mut(), candidate.metadata, self.batching.max_batch_rows)?;
            sessions.push(session);
        }
        sessions.push(first);
        Ok(sessions)
    }

    fn replay(
        &self,
        candidate: &Candidate<'_>,
        backend: &dyn Backend,
        session: &mut dyn Session,
        form: GraphForm,
    ) -> Result<(), LoadError> {
        let replayed = golden::replay(session, candidate.metadata, form);
        self.metrics.golden_replayed(candidate.name, replayed.is_ok());
        replayed.map(drop).map_err(|source| LoadError::Golden { backend: backend.kind(), source })
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

/// A session of a candidate's cut graph that is warm and has been measured.
struct Measured<'a> {
    backend: &'a dyn Backend,
    session: Box<dyn Session>,
    costs: BatchCosts,
}

impl Measured<'_> {
    fn measure_again(&mut self, rows: &ComparedRows<'_>) -> Result<(), LoadError> {
        self.costs.lower(&measure(self.session.as_mut(), rows)?);
        Ok(())
    }
}

/// One for each worker.
type Sessions = Vec<Box<dyn Session>>;

/// A model that has passed every check and has no workers yet.
pub struct Proven {
    backend: BackendKind,
    sessions: Sessions,
    costs: BatchCosts,
    comparison: Option<Comparison>,
    description: Description,
}

/// The batch sizes that come first.
const WARM_UP_SIZES: [usize; 5] = [1, 2, 8, 32, 256];

/// Compares a candidate with the first of the other backends that can run it; `None` if none of them can.
fn compare<'a>(
    candidate: &Candidate<'_>,
    rows: &ComparedRows<'_>,
    ready: &mut Measured<'_>,
    others: &'a [Arc<dyn Backend>],
) -> Result<Option<(Measured<'a>, Comparison)>, LoadError> {
    for backend in others {
        let scored = backend.open(&candidate.cut).and_then(|mut session| {
            let scores = rows.score(backend.kind(), session.as_mut())?;
            Ok((session, scores))
        });
        match scored {
            Ok((mut session, theirs)) => {
                let ours = rows.score(ready.backend.kind(), ready.session.as_mut());
                let ours = ours.map_err(|source| LoadError::WarmUp { rows: rows.len(), source })?;
                let comparison = rows.compare(&ours, &theirs)?;
                let costs = measure(session.as_mut(), rows)?;
                return Ok(Some((Measured { backend: backend.as_ref(), session, costs }, comparison)));
            }
            Err(error) => {
                let (model, with) = (candidate.name, backend.kind().name());
                tracing::warn!(model, with, %error, "the model is not compared with this backend, which cannot run it");
            }
        }
    }
    Ok(None)
}

/// Runs the batch sizes that come first, so that no request pays for the first allocation of its size.
fn warm_up(
    session: &mut dyn Session,
    metadata: &Metadata,
    max_batch_rows: Option<usize>,
) -> Result<(), LoadError> {
    let rows = golden::encoded_rows(metadata);
    let may_come = |size: &usize| max_batch_rows.is_none_or(|max| *size <= max);
    WARM_UP_SIZES.into_iter().filter(may_come).try_for_each(|size| {
        let batch = batch_from(rows.view(), 0, size);
        score(session, &batch)
    })
}

/// What batches of the compared rows cost. Each batch begins where the one before ended: a processor soon knows the way of
/// rows that come again and again through a forest.
fn measure(session: &mut dyn Session, rows: &ComparedRows<'_>) -> Result<BatchCosts, LoadError> {
    let mut next = 0;
    BatchCosts::measure(|size| {
        let batch = batch_from(rows.encoded(), next, size);
        next += size;
        let start = Instant::now();
        score(session, &batch)?;
        Ok(start.elapsed())
    })
}

/// A batch of as many rows, taken from these in turn.
fn batch_from(rows: ArrayView2<'_, f32>, first: usize, size: usize) -> Array2<f32> {
    let indices: Vec<usize> = (first..first + size).map(|row| row % rows.nrows()).collect();
    rows.select(Axis(0), &indices)
}

fn score(session: &mut dyn Session, batch: &Array2<f32>) -> Result<(), LoadError> {
    let scored = session.score(Batch::Features(batch.view()));
    scored.map(drop).map_err(|source| LoadError::WarmUp { rows: batch.nrows(), source })
}

#[cfg(test)]
mod tests;
