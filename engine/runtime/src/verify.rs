//! From a file's bytes to a model that may serve. An artifact is opened, reduced to its subgraph, replayed on its golden
//! rows, warmed up, and compared with what another backend computes. An external ONNX file is opened, run on rows made
//! from its inputs, and warmed up.

mod error;
mod external;

use std::sync::Arc;
use std::time::Instant;

use ndarray::{Array2, ArrayView2, Axis};
use onnward_onnx::{Artifact, ArtifactError, ModelBounds};
use onnward_schemas::{Metadata, Rows};

pub use self::error::VerifyError;
pub use self::external::{SmokeTestError, smoke_test};
use crate::backend::{Backend, BackendError, BackendKind, Batch, Session};
use crate::costs::BatchCosts;
use crate::cross_check::{ComparedRows, Comparison};
use crate::description::Description;
use crate::golden::{self, GraphForm};
use crate::threads::RuntimeThreads;

/// Opens and verifies models on the backends that it was given.
#[derive(Clone)]
pub struct Verifier {
    /// The backends, the preferred one first.
    pub backends: Vec<Arc<dyn Backend>>,
    /// What a file may be; no backend is given one that is outside of them.
    pub bounds: ModelBounds,
    /// How many sessions a verified model has, one for each thread that scores; at least 1.
    pub sessions: usize,
    /// The largest batch that will be scored; `None` where that is not known.
    pub max_batch_rows: Option<usize>,
    /// Counts the threads that use a runtime.
    pub threads: RuntimeThreads,
}

/// A model file, as it is handed to a [`Verifier`].
#[derive(Debug, Clone, Copy)]
pub struct ModelFile<'a> {
    /// The bytes of the ONNX file.
    pub bytes: &'a [u8],
    /// Their SHA-256 in hexadecimal.
    pub sha256: &'a str,
    /// The fingerprint of the schema that its manifest promises, if it does.
    pub fingerprint: Option<&'a str>,
    /// The text of the `config.toml` beside an external file, if there is one.
    pub config: Option<&'a str>,
}

/// A model that has passed every check, ready to score.
pub struct VerifiedModel {
    /// The backend that runs it.
    pub backend: BackendKind,
    /// Its sessions, of which there is at least one.
    pub sessions: Sessions,
    /// What batches cost on one of its sessions.
    pub costs: BatchCosts,
    /// How it compares with another backend; `None` where no other is present or can run the model.
    pub comparison: Option<Comparison>,
    /// What is known of it.
    pub description: Description,
}

impl VerifiedModel {
    /// Scores rows on the first session and returns the probability of the positive label for each: `[rows]`.
    ///
    /// # Errors
    /// [`BackendError`] if the graph cannot be run on the rows.
    pub fn score(&mut self, rows: &Rows) -> Result<Vec<f32>, BackendError> {
        let features = self.description.schema().features.len();
        let failed = |reason: String| BackendError::Run { backend: self.backend, reason };
        let matrix = ArrayView2::from_shape((rows.len, features), &rows.values)
            .map_err(|error| failed(error.to_string()))?;
        let batch = match rows.texts.as_slice() {
            [] => Batch::Features(matrix),
            texts => Batch::FeaturesAndTexts(matrix, texts),
        };
        let session = self.sessions.first_mut().ok_or_else(|| failed("it has no session".to_owned()))?;
        session.score(batch)
    }
}

/// One for each thread that scores.
pub type Sessions = Vec<Box<dyn Session>>;

impl Verifier {
    /// Creates a verifier whose models have one session, with the default bounds.
    pub fn new(backends: Vec<Arc<dyn Backend>>) -> Self {
        Self {
            backends,
            bounds: ModelBounds::default(),
            sessions: 1,
            max_batch_rows: None,
            threads: RuntimeThreads::default(),
        }
    }

    /// Opens, verifies and warms up a model on the first backend that can open it, compares it with the next one that can,
    /// and keeps the first, unless the other is clearly faster. `replayed` is told of each replay of the golden rows
    /// whether it succeeded.
    ///
    /// It computes for a while: call it where blocking is allowed.
    ///
    /// # Errors
    /// [`VerifyError`]. A backend that computes something else than the trainer, or than the other backend, refuses the
    /// model: this must be noticed and not worked around.
    pub fn verify(
        &self,
        name: &str,
        file: &ModelFile<'_>,
        replayed: &dyn Fn(bool),
    ) -> Result<VerifiedModel, VerifyError> {
        let _guard = self.threads.enter();
        match Artifact::decode_within(file.bytes, &self.bounds) {
            Ok(artifact) => self.verify_artifact(name, artifact, file, replayed),
            Err(ArtifactError::External) => external::verify(self, name, file),
            Err(error) => Err(error.into()),
        }
    }

    fn verify_artifact(
        &self,
        name: &str,
        artifact: Artifact,
        file: &ModelFile<'_>,
        replayed: &dyn Fn(bool),
    ) -> Result<VerifiedModel, VerifyError> {
        let fingerprint = artifact.metadata.schema.fingerprint();
        if let Some(manifest) = file.fingerprint.filter(|manifest| *manifest != fingerprint) {
            return Err(VerifyError::Fingerprint { manifest: manifest.to_owned(), artifact: fingerprint });
        }
        let candidate = Candidate {
            name,
            sha256: file.sha256,
            full_graph: file.bytes,
            subgraph: artifact.encode_subgraph()?,
            metadata: &artifact.metadata,
            max_batch_rows: self.max_batch_rows,
            replayed,
        };
        let (chosen, comparison) = self.choose_backend(&candidate)?;
        Ok(VerifiedModel {
            backend: chosen.backend.kind(),
            sessions: self.sessions(&candidate, chosen.backend, chosen.session)?,
            costs: chosen.costs,
            comparison,
            description: Description::Artifact(Box::new(artifact.metadata)),
        })
    }

    /// Opens both graphs on the first backend that can.
    fn open(&self, candidate: &Candidate<'_>) -> Result<Opened<'_>, VerifyError> {
        let mut errors = Vec::new();
        for (index, backend) in self.backends.iter().enumerate() {
            let opened = backend
                .open(candidate.full_graph)
                .and_then(|full| Ok((full, backend.open(&candidate.subgraph)?)));
            match opened {
                Ok((full_graph, subgraph)) => {
                    let alternatives = self.backends.get(index + 1..).unwrap_or_default();
                    return Ok(Opened { backend: backend.as_ref(), full_graph, subgraph, alternatives });
                }
                Err(error) => {
                    let (model, backend) = (candidate.name, backend.kind().name());
                    tracing::warn!(model, backend, %error, "the backend is passed over");
                    errors.push(error);
                }
            }
        }
        Err(if errors.is_empty() { VerifyError::NoBackend } else { VerifyError::Open(errors) })
    }

    /// Verifies the candidate on the first backend that can open it, and compares it with an alternative; if that is
    /// clearly faster, verifies it there.
    fn choose_backend(
        &self,
        candidate: &Candidate<'_>,
    ) -> Result<(Measured<'_>, Option<Comparison>), VerifyError> {
        let opened = self.open(candidate)?;
        let (first, alternatives) = (opened.backend.kind(), opened.alternatives);
        let rows = ComparedRows::of(candidate.metadata, candidate.sha256);
        let mut session = candidate.warm_up(opened.backend, opened.full_graph, opened.subgraph)?;
        let costs = measure(session.as_mut(), &rows)?;
        let mut primary = Measured { backend: opened.backend, session, costs };
        let Some((mut alternative, comparison)) = compare(candidate, &rows, &mut primary, alternatives)?
        else {
            return Ok((primary, None));
        };
        if !alternative.costs.are_clearly_below(&primary.costs) {
            // Other work on the machine may have made it seem slow, and the choice lasts as long as the model serves.
            primary.measure_again(&rows)?;
            alternative.measure_again(&rows)?;
        }
        for Measured { backend, costs, .. } in [&primary, &alternative] {
            let (model, backend) = (candidate.name, backend.kind().name());
            tracing::debug!(model, backend, %costs, "what batches cost, for the choice of a backend");
        }
        if !alternative.costs.are_clearly_below(&primary.costs) {
            return Ok((primary, Some(comparison)));
        }
        match alternative.backend.open(candidate.full_graph) {
            Ok(full_graph) => {
                let session = candidate.warm_up(alternative.backend, full_graph, alternative.session)?;
                Ok((Measured { session, ..alternative }, Some(Comparison { with: first, ..comparison })))
            }
            Err(error) => {
                let (model, backend) = (candidate.name, alternative.backend.kind().name());
                tracing::warn!(model, backend, %error, "the faster backend is passed over");
                Ok((primary, Some(comparison)))
            }
        }
    }

    /// Makes as many verified and warm sessions as are asked for, of which there is one already.
    fn sessions(
        &self,
        candidate: &Candidate<'_>,
        backend: &dyn Backend,
        first: Box<dyn Session>,
    ) -> Result<Sessions, VerifyError> {
        let mut sessions = Vec::with_capacity(self.sessions);
        while sessions.len() + 1 < self.sessions {
            let mut session = match first.share() {
                Some(session) => session,
                None => backend.open(&candidate.subgraph).map_err(|error| VerifyError::Open(vec![error]))?,
            };
            candidate.replay(backend, session.as_mut(), GraphForm::Subgraph)?;
            candidate.run_first_sizes(session.as_mut())?;
            sessions.push(session);
        }
        sessions.push(first);
        Ok(sessions)
    }
}

/// An artifact on its way into service.
struct Candidate<'a> {
    name: &'a str,
    sha256: &'a str,
    full_graph: &'a [u8],
    /// The graph from `features` on.
    subgraph: Vec<u8>,
    metadata: &'a Metadata,
    max_batch_rows: Option<usize>,
    replayed: &'a dyn Fn(bool),
}

impl Candidate<'_> {
    /// Replays the golden rows on both graphs and warms up the session of the subgraph.
    fn warm_up(
        &self,
        backend: &dyn Backend,
        mut full_graph: Box<dyn Session>,
        mut session: Box<dyn Session>,
    ) -> Result<Box<dyn Session>, VerifyError> {
        self.replay(backend, full_graph.as_mut(), GraphForm::Full)?;
        drop(full_graph);
        self.replay(backend, session.as_mut(), GraphForm::Subgraph)?;
        self.run_first_sizes(session.as_mut())?;
        Ok(session)
    }

    fn replay(
        &self,
        backend: &dyn Backend,
        session: &mut dyn Session,
        form: GraphForm,
    ) -> Result<(), VerifyError> {
        let replayed = golden::replay(session, self.metadata, form);
        (self.replayed)(replayed.is_ok());
        replayed.map(drop).map_err(|source| VerifyError::Golden { backend: backend.kind(), source })
    }

    /// Runs the batch sizes that come first, so that no request pays for the first allocation of its size.
    fn run_first_sizes(&self, session: &mut dyn Session) -> Result<(), VerifyError> {
        let rows = golden::encoded_rows(self.metadata);
        warm_up_sizes(self.max_batch_rows).try_for_each(|size| {
            let batch = batch_from(rows.view(), 0, size);
            score(session, &batch)
        })
    }
}

/// A backend that has opened both graphs of a candidate.
struct Opened<'a> {
    backend: &'a dyn Backend,
    full_graph: Box<dyn Session>,
    subgraph: Box<dyn Session>,
    /// The backends after it, which have not been tried.
    alternatives: &'a [Arc<dyn Backend>],
}

/// A warm session of a candidate's subgraph, and what its batches cost.
struct Measured<'a> {
    backend: &'a dyn Backend,
    session: Box<dyn Session>,
    costs: BatchCosts,
}

impl Measured<'_> {
    fn measure_again(&mut self, rows: &ComparedRows<'_>) -> Result<(), VerifyError> {
        self.costs.lower(&measure(self.session.as_mut(), rows)?);
        Ok(())
    }
}

/// Returns the batch sizes that come first, up to the largest batch.
fn warm_up_sizes(max_batch_rows: Option<usize>) -> impl Iterator<Item = usize> {
    [1, 2, 8, 32, 256].into_iter().filter(move |size| max_batch_rows.is_none_or(|max| *size <= max))
}

/// Compares a candidate with the first of the alternatives that can run it; `None` if none of them can.
fn compare<'a>(
    candidate: &Candidate<'_>,
    rows: &ComparedRows<'_>,
    primary: &mut Measured<'_>,
    alternatives: &'a [Arc<dyn Backend>],
) -> Result<Option<(Measured<'a>, Comparison)>, VerifyError> {
    for backend in alternatives {
        let scored = backend.open(&candidate.subgraph).and_then(|mut session| {
            let scores = rows.score(backend.kind(), session.as_mut())?;
            Ok((session, scores))
        });
        match scored {
            Ok((mut session, theirs)) => {
                let ours = rows.score(primary.backend.kind(), primary.session.as_mut());
                let ours = ours.map_err(|source| VerifyError::WarmUp { rows: rows.len(), source })?;
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

/// Measures what batches of the compared rows cost. Each batch begins where the one before ended: a processor soon
/// predicts the path of rows that come again and again through a forest.
fn measure(session: &mut dyn Session, rows: &ComparedRows<'_>) -> Result<BatchCosts, VerifyError> {
    let mut next = 0;
    BatchCosts::measure(|size| {
        let batch = batch_from(rows.encoded(), next, size);
        next += size;
        let start = Instant::now();
        score(session, &batch)?;
        Ok(start.elapsed())
    })
}

/// Makes a batch of as many rows, taken from these in turn.
fn batch_from(rows: ArrayView2<'_, f32>, first: usize, size: usize) -> Array2<f32> {
    let indices: Vec<usize> = (first..first + size).map(|row| row % rows.nrows()).collect();
    rows.select(Axis(0), &indices)
}

fn score(session: &mut dyn Session, batch: &Array2<f32>) -> Result<(), VerifyError> {
    let scored = session.score(Batch::Features(batch.view()));
    scored.map(drop).map_err(|source| VerifyError::WarmUp { rows: batch.nrows(), source })
}
