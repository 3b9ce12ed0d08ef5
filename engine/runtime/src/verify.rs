//! Verifies a file before it may serve. An artifact is opened, reduced to its subgraph, replayed on its
//! golden rows, warmed up, and cross-checked on another backend. An external ONNX file is opened,
//! smoke-tested on rows generated from its inputs, and warmed up.

mod error;
mod external;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use ndarray::{Array2, ArrayView2, Axis};
use onnward_onnx::{Artifact, ArtifactError, ModelBounds};
use onnward_schemas::{Metadata, Rows, Schema, sha256_hex};

pub use self::error::VerifyError;
pub use self::external::{SmokeTestError, smoke_test};
use crate::backend::{Backend, BackendError, BackendKind, Batch, Session, score_every_row};
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
    /// The limits of a model file. A file that exceeds them is never given to a backend.
    pub bounds: ModelBounds,
    /// The number of sessions of a verified model, one for each thread that scores; at least 1.
    pub sessions: usize,
    /// The largest batch that will be scored; `None` where that is not known.
    pub max_batch_rows: Option<usize>,
    /// Counts the threads that use a runtime.
    pub threads: RuntimeThreads,
}

/// A model file, as it is handed to a [`Verifier`].
#[derive(Debug, Clone)]
pub struct ModelFile<'a> {
    /// The bytes of the ONNX file.
    pub bytes: &'a [u8],
    /// Their SHA-256 in hexadecimal.
    pub sha256: Cow<'a, str>,
    /// The fingerprint of the schema in its manifest, if there is one.
    pub fingerprint: Option<&'a str>,
    /// The text of the `config.toml` beside an external file, if there is one.
    pub config: Option<&'a str>,
}

impl<'a> ModelFile<'a> {
    /// Creates a file from its bytes alone, and computes their digest.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, sha256: sha256_hex(bytes).into(), fingerprint: None, config: None }
    }

    /// Adds the text of the `config.toml` beside an external file.
    #[must_use]
    pub fn with_config(self, config: &'a str) -> Self {
        Self { config: Some(config), ..self }
    }
}

/// A model that has passed every check, ready to score.
pub struct VerifiedModel {
    /// The backend that runs it.
    pub backend: BackendKind,
    /// Its sessions, of which there is at least one.
    pub sessions: Sessions,
    /// The costs of batches on one of its sessions.
    pub costs: BatchCosts,
    /// The comparison with another backend; `None` if no other is present and can run the model.
    pub comparison: Option<Comparison>,
    /// Its description.
    pub description: Description,
}

impl VerifiedModel {
    /// Returns the schema of the model's rows.
    pub fn schema(&self) -> &Schema {
        self.description.schema()
    }

    /// Scores rows on the first session and returns the probability of the positive label for each: `[rows]`.
    ///
    /// # Errors
    /// [`BackendError`] if the graph cannot be run on the rows.
    pub fn score(&mut self, rows: &Rows) -> Result<Vec<f32>, BackendError> {
        let features = self.schema().features.len();
        let failed = |reason: String| BackendError::Run { backend: self.backend, reason };
        let matrix = ArrayView2::from_shape((rows.len, features), &rows.values)
            .map_err(|error| failed(error.to_string()))?;
        let batch = match rows.texts.as_slice() {
            [] => Batch::Features(matrix),
            texts => Batch::FeaturesAndTexts(matrix, texts),
        };
        let session = self.sessions.first_mut().ok_or_else(|| failed("it has no session".to_owned()))?;
        score_every_row(session.as_mut(), batch)
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

    /// Verifies a model: opens and warms it up on the first backend that can open it, and compares it with
    /// the next one that can. It keeps the first backend, unless the other is clearly faster.
    ///
    /// It computes for a while: call it where blocking is allowed.
    ///
    /// # Errors
    /// [`VerifyError`]. A backend that disagrees with the trainer or with the other backend fails the model,
    /// so that the fault is noticed and not worked around.
    pub fn verify(&self, name: &str, file: &ModelFile<'_>) -> Result<VerifiedModel, VerifyError> {
        self.verify_with(name, file, &|_| ())
    }

    /// Does the same as [`Verifier::verify`], and calls `replayed` after each replay of the golden rows with
    /// whether it succeeded.
    ///
    /// # Errors
    /// Those of [`Verifier::verify`].
    pub fn verify_with(
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
            sha256: &file.sha256,
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
                    tracing::warn!(model, backend, %error, "the backend is skipped");
                    errors.push(error);
                }
            }
        }
        Err(if errors.is_empty() { VerifyError::NoBackend } else { VerifyError::Open(errors) })
    }

    /// Verifies the candidate on the first backend that can open it and cross-checks it on another. If the
    /// other is clearly faster, it is verified, too, and chosen.
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
        if !alternative.costs.is_clearly_cheaper_than(&primary.costs) {
            // Other load may have distorted the first measurement, and the choice lasts as long as the model
            // serves.
            primary.remeasure(&rows)?;
            alternative.remeasure(&rows)?;
        }
        for Measured { backend, costs, .. } in [&primary, &alternative] {
            let (model, backend) = (candidate.name, backend.kind().name());
            tracing::debug!(model, backend, %costs, "measured batch costs for the choice of a backend");
        }
        if !alternative.costs.is_clearly_cheaper_than(&primary.costs) {
            return Ok((primary, Some(comparison)));
        }
        match alternative.backend.open(candidate.full_graph) {
            Ok(full_graph) => {
                let session = candidate.warm_up(alternative.backend, full_graph, alternative.session)?;
                Ok((Measured { session, ..alternative }, Some(Comparison { with: first, ..comparison })))
            }
            Err(error) => {
                let (model, backend) = (candidate.name, alternative.backend.kind().name());
                tracing::warn!(model, backend, %error, "the faster backend is skipped");
                Ok((primary, Some(comparison)))
            }
        }
    }

    /// Opens a verified, warm session for each thread that scores; `first` is one of them.
    fn sessions(
        &self,
        candidate: &Candidate<'_>,
        backend: &dyn Backend,
        first: Box<dyn Session>,
    ) -> Result<Sessions, VerifyError> {
        let mut sessions = Vec::with_capacity(self.sessions);
        while sessions.len() + 1 < self.sessions {
            let mut session = match first.try_clone() {
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

/// An artifact that is being verified.
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

    /// Runs the most likely batch sizes once, so that no request pays for the first allocation of its size.
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
    /// The backends after it, which have not opened the candidate.
    alternatives: &'a [Arc<dyn Backend>],
}

/// A warm session of a candidate's subgraph, and the costs of its batches.
struct Measured<'a> {
    backend: &'a dyn Backend,
    session: Box<dyn Session>,
    costs: BatchCosts,
}

impl Measured<'_> {
    fn remeasure(&mut self, rows: &ComparedRows<'_>) -> Result<(), VerifyError> {
        self.costs.take_minimum(&measure(self.session.as_mut(), rows)?);
        Ok(())
    }
}

/// Returns the most likely batch sizes, up to the largest batch.
fn warm_up_sizes(max_batch_rows: Option<usize>) -> impl Iterator<Item = usize> {
    [1, 2, 8, 32, 256].into_iter().filter(move |size| max_batch_rows.is_none_or(|max| *size <= max))
}

/// Cross-checks a candidate on the first of the alternatives that can run it. `None` if none can.
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
                tracing::warn!(model, with, %error, "the model is not cross-checked on this backend, which cannot run it");
            }
        }
    }
    Ok(None)
}

/// Measures the cost of batches. Each batch starts where the one before ended, because repeated rows train
/// the branch predictor and make a forest look faster than it is.
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

/// Builds a batch of `size` rows, cycling through `rows` from `first`.
fn batch_from(rows: ArrayView2<'_, f32>, first: usize, size: usize) -> Array2<f32> {
    let indices: Vec<usize> = (first..first + size).map(|row| row % rows.nrows()).collect();
    rows.select(Axis(0), &indices)
}

fn score(session: &mut dyn Session, batch: &Array2<f32>) -> Result<(), VerifyError> {
    let scored = score_every_row(session, Batch::Features(batch.view()));
    scored.map(drop).map_err(|source| VerifyError::WarmUp { rows: batch.nrows(), source })
}
