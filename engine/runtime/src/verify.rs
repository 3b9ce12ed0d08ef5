//! Verifies a file before it may serve. An artifact is opened, reduced to its subgraph, replayed on its
//! golden rows, warmed up, and cross-checked on another backend. An external ONNX file is opened,
//! smoke-tested on rows generated from its inputs, and warmed up.

mod error;
mod external;
mod graphs;
mod isolated;
mod step;

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ndarray::{Array2, ArrayView2, Axis};
use onnward_onnx::{Artifact, ArtifactError, ExternalModel, ForestSlices, MemoryDemand, ModelBounds};
use onnward_schemas::{Metadata, Predictions, Rows, Schema, sha256_hex};

pub use self::error::VerifyError;
pub use self::external::{SmokeTestError, smoke_test};
use self::graphs::ArtifactGraphs;
pub use self::step::LoadStep;
use crate::backend::{Backend, BackendError, BackendKind, Batch, Session, score_every_row};
use crate::costs::{BatchCosts, measure_costs};
use crate::cross_check::{ComparedRows, Comparison};
use crate::description::Description;
use crate::golden::{self, GraphForm};
use crate::isolation::{Isolation, Tested};
use crate::memory::{MemoryBudget, MemoryReservation, return_freed_memory};
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
    /// The memory that models may take.
    pub memory: MemoryBudget,
    /// How models are opened whose file does not bound what they take. `None` opens every model here.
    pub isolation: Option<Isolation>,
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

/// The observer of a verification that is under way.
pub struct Progress<'a> {
    /// Called after each replay of the golden rows with whether it succeeded.
    pub replayed: &'a dyn Fn(bool),
    /// Whether the model is not wanted any more. The verification then ends before its next part.
    pub cancelled: &'a AtomicBool,
}

impl Progress<'_> {
    /// Checks whether the model is still wanted.
    ///
    /// # Errors
    /// [`VerifyError::Cancelled`].
    fn check(&self) -> Result<(), VerifyError> {
        if self.cancelled.load(Ordering::Relaxed) { Err(VerifyError::Cancelled) } else { Ok(()) }
    }
}

/// Reports nothing, and is never cancelled.
impl Default for Progress<'_> {
    fn default() -> Self {
        static NEVER: AtomicBool = AtomicBool::new(false);
        Self { replayed: &|_| (), cancelled: &NEVER }
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
    /// The rows on which they were measured.
    pub sample: Rows,
    /// The comparison with another backend; `None` if no other is present and can run the model.
    pub comparison: Option<Comparison>,
    /// Its description.
    pub description: Description,
    /// The memory that it takes, as far as it is known from its file.
    pub memory: MemoryReservation,
}

impl VerifiedModel {
    /// Returns the schema of the model's rows.
    pub fn schema(&self) -> &Schema {
        self.description.schema()
    }

    /// Scores rows on the first session and returns the prediction for each.
    ///
    /// # Errors
    /// [`BackendError`] if the graph cannot be run on the rows.
    pub fn score(&mut self, rows: &Rows) -> Result<Predictions, BackendError> {
        let features = self.schema().features.len();
        let failed = |reason: String| BackendError::Run { backend: self.backend, reason };
        let matrix = ArrayView2::from_shape((rows.len, features), &rows.values)
            .map_err(|error| failed(error.to_string()))?;
        let batch = match rows.kept.as_slice() {
            [] => Batch::Features(matrix),
            kept => Batch::FeaturesAndKept(matrix, kept),
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
            memory: MemoryBudget::default(),
            isolation: None,
            threads: RuntimeThreads::default(),
        }
    }

    /// Verifies a model: opens and warms it up on the first backend that can open it, and compares it with
    /// the next one that can. A forest is first opened on a backend that packs forests.
    ///
    /// It computes for a while: call it where blocking is allowed.
    ///
    /// # Errors
    /// [`VerifyError`]. A backend that disagrees with the trainer or with the other backend fails the model,
    /// so that the fault is noticed and not worked around.
    pub fn verify(&self, name: &str, file: &ModelFile<'_>) -> Result<VerifiedModel, VerifyError> {
        self.verify_with(name, file, &Progress::default())
    }

    /// Does the same as [`Verifier::verify`], and reports its progress.
    ///
    /// # Errors
    /// Those of [`Verifier::verify`], and [`VerifyError::Cancelled`].
    pub fn verify_with(
        &self,
        name: &str,
        file: &ModelFile<'_>,
        progress: &Progress<'_>,
    ) -> Result<VerifiedModel, VerifyError> {
        let mut decoded = self.decode(name, file)?;
        self.test_isolated(name, file, &mut decoded, progress.cancelled)?;
        self.verify_decoded(name, file, decoded, progress)
    }

    /// Decodes a model file. This is the first part of [`Verifier::verify`].
    ///
    /// # Errors
    /// [`VerifyError::Artifact`], [`VerifyError::External`], [`VerifyError::Memory`].
    pub fn decode(&self, name: &str, file: &ModelFile<'_>) -> Result<Decoded, VerifyError> {
        let memory = self.memory.reserve(self.bounds.decoded_bytes(file.bytes)?)?;
        let model = match Artifact::decode_within(file.bytes, &self.bounds) {
            Ok(artifact) => DecodedModel::Artifact(Box::new(artifact)),
            Err(ArtifactError::External) => {
                let model = ExternalModel::decode_within(name, file.bytes, file.config, &self.bounds)?;
                DecodedModel::External(Box::new(model))
            }
            Err(error) => return Err(error.into()),
        };
        // Nothing is told of a model that is opened here in any case.
        let demand = if self.isolation.is_some() { model.memory_demand() } else { MemoryDemand::Bounded };
        Ok(Decoded { model, memory, demand, tested: None })
    }

    /// Opens and tests a model in a process of its own if [`Decoded::needs_isolated_test`]. This is the second
    /// part of [`Verifier::verify`]. It may take as long as the timeout, unless `cancelled` becomes true.
    ///
    /// # Errors
    /// [`VerifyError::Isolated`], [`VerifyError::Memory`].
    pub fn test_isolated(
        &self,
        name: &str,
        file: &ModelFile<'_>,
        decoded: &mut Decoded,
        cancelled: &AtomicBool,
    ) -> Result<(), VerifyError> {
        if let Some(isolation) = self.isolation.as_ref().filter(|_| decoded.needs_isolated_test()) {
            decoded.tested =
                Some(isolation.test(name, file, self.max_batch_rows, &self.memory, cancelled)?);
        }
        Ok(())
    }

    /// Opens, tests and warms up a decoded model. This is the last part of [`Verifier::verify`].
    ///
    /// # Errors
    /// Those of [`Verifier::verify`].
    pub fn verify_decoded(
        &self,
        name: &str,
        file: &ModelFile<'_>,
        decoded: Decoded,
        progress: &Progress<'_>,
    ) -> Result<VerifiedModel, VerifyError> {
        let _guard = self.threads.enter();
        let verified = isolated::verify(self, name, decoded, file, progress);
        return_freed_memory();
        verified
    }

    /// Verifies a model in this process.
    fn verify_here(
        &self,
        name: &str,
        model: DecodedModel,
        file: &ModelFile<'_>,
        memory: MemoryReservation,
        progress: &Progress<'_>,
    ) -> Result<VerifiedModel, VerifyError> {
        match model {
            DecodedModel::Artifact(artifact) => self.verify_artifact(name, *artifact, file, memory, progress),
            DecodedModel::External(model) => external::verify(self, name, *model, file, memory, progress),
        }
    }

    fn verify_artifact(
        &self,
        name: &str,
        artifact: Artifact,
        file: &ModelFile<'_>,
        mut memory: MemoryReservation,
        progress: &Progress<'_>,
    ) -> Result<VerifiedModel, VerifyError> {
        let fingerprint = artifact.metadata.schema.fingerprint();
        if let Some(manifest) = file.fingerprint.filter(|manifest| *manifest != fingerprint) {
            return Err(VerifyError::Fingerprint { manifest: manifest.to_owned(), artifact: fingerprint });
        }
        let packs = self.backends.iter().any(|backend| backend.packs_forests());
        let mut compared = None;
        let compare_parts = |parts: ForestSlices<'_>, metadata: &Metadata| {
            compared =
                self.cross_check_parts(name, &ComparedRows::of(metadata, &file.sha256), parts, progress)?;
            Ok(())
        };
        let (graphs, metadata) =
            ArtifactGraphs::of(artifact, file.bytes, &self.bounds, packs, &mut memory, compare_parts)?;
        let candidate = Candidate {
            name,
            graphs: &graphs,
            metadata: &metadata,
            max_batch_rows: self.max_batch_rows,
            progress,
        };
        let (backend, session) = self.open(&candidate, &mut memory)?;
        let rows = ComparedRows::of(&metadata, &file.sha256);
        let mut primary = Primary { backend, session };
        let sample = rows.to_rows();
        progress.check()?;
        let costs = measure_costs(primary.session.as_mut(), &sample)
            .map_err(|source| VerifyError::WarmUp { rows: sample.len, source })?;
        tracing::debug!(model = name, backend = backend.kind().name(), %costs, "measured batch costs");
        let comparison = match compared {
            None if !graphs.is_large() => self.cross_check(&candidate, &rows, &mut primary, &mut memory)?,
            compared => compared,
        };
        let sessions = self.sessions(&candidate, primary)?;
        memory.loaded(graphs.loaded_bytes(backend, self.sessions));
        Ok(VerifiedModel {
            backend: backend.kind(),
            sessions,
            costs,
            sample,
            comparison,
            description: Description::Artifact(Box::new(metadata)),
            memory,
        })
    }

    /// Returns the backends in the order in which they are tried for a candidate. A forest is scored fastest,
    /// and takes the least memory, where it is packed: a decision that no measurement on a busy machine can
    /// turn around.
    fn by_preference(&self, candidate: &Candidate<'_>) -> Vec<&dyn Backend> {
        let mut backends: Vec<&dyn Backend> = self.backends.iter().map(Arc::as_ref).collect();
        backends.sort_by_key(|backend| !(candidate.graphs.has_forests() && backend.packs_forests()));
        backends
    }

    /// Verifies and warms up a candidate on the first backend that can open it.
    fn open(
        &self,
        candidate: &Candidate<'_>,
        memory: &mut MemoryReservation,
    ) -> Result<(&dyn Backend, Box<dyn Session>), VerifyError> {
        let mut errors = Vec::new();
        for backend in self.by_preference(candidate) {
            memory.grow(candidate.graphs.loading_bytes(backend, self.sessions))?;
            match candidate.verify_on(backend) {
                Err(VerifyError::Open(failed)) => {
                    for error in &failed {
                        let (model, backend) = (candidate.name, backend.kind().name());
                        tracing::warn!(model, backend, %error, "the backend is skipped");
                    }
                    errors.extend(failed);
                }
                other => return Ok((backend, other?)),
            }
        }
        Err(if errors.is_empty() { VerifyError::NoBackend } else { VerifyError::Open(errors) })
    }

    /// Compares a candidate's scores with those of another backend: the first that can run it. `None` if none
    /// can.
    fn cross_check(
        &self,
        candidate: &Candidate<'_>,
        rows: &ComparedRows<'_>,
        primary: &mut Primary<'_>,
        memory: &mut MemoryReservation,
    ) -> Result<Option<Comparison>, VerifyError> {
        let is_other = |backend: &&dyn Backend| backend.kind() != primary.backend.kind();
        let others: Vec<_> = self.by_preference(candidate).into_iter().filter(is_other).collect();
        for other in others {
            candidate.progress.check()?;
            memory.grow(candidate.graphs.loading_bytes(other, 1))?;
            let compared = compare(candidate, rows, primary, other);
            if let Some(comparison) = not_cross_checked(candidate.name, other, compared)? {
                return Ok(Some(comparison));
            }
        }
        Ok(None)
    }

    /// Compares the backend that packs forests with another one on a large forest, a few of its trees at a
    /// time. `None` if there is no other, or if it cannot run the trees.
    fn cross_check_parts(
        &self,
        name: &str,
        rows: &ComparedRows<'_>,
        parts: ForestSlices<'_>,
        progress: &Progress<'_>,
    ) -> Result<Option<Comparison>, VerifyError> {
        let find = |packs: bool| self.backends.iter().find(|backend| backend.packs_forests() == packs);
        let (Some(primary), Some(other)) = (find(true), find(false)) else { return Ok(None) };
        let compared = compare_parts(rows, primary.as_ref(), other.as_ref(), parts, progress);
        not_cross_checked(name, other.as_ref(), compared)
    }

    /// Opens a verified, warm session for each thread that scores; the primary one is one of them.
    fn sessions(&self, candidate: &Candidate<'_>, primary: Primary<'_>) -> Result<Sessions, VerifyError> {
        let Primary { backend, session: first } = primary;
        let mut sessions = Vec::with_capacity(self.sessions);
        while sessions.len() + 1 < self.sessions {
            candidate.progress.check()?;
            let mut session = match first.try_clone() {
                Some(session) => session,
                None => candidate.graphs.open(backend, GraphForm::Subgraph)?,
            };
            candidate.replay(backend, session.as_mut(), GraphForm::Subgraph)?;
            candidate.run_first_sizes(session.as_mut())?;
            sessions.push(session);
        }
        sessions.push(first);
        Ok(sessions)
    }
}

/// A decoded model file, and the memory that is reserved for it.
pub struct Decoded {
    model: DecodedModel,
    memory: MemoryReservation,
    demand: MemoryDemand,
    /// The process that has tested it.
    tested: Option<Tested>,
}

impl Decoded {
    /// Returns whether the model must be tested in a process of its own, because its file does not bound what
    /// it takes.
    pub fn needs_isolated_test(&self) -> bool {
        self.demand != MemoryDemand::Bounded && self.tested.is_none()
    }
}

enum DecodedModel {
    Artifact(Box<Artifact>),
    External(Box<ExternalModel>),
}

impl DecodedModel {
    fn memory_demand(&self) -> MemoryDemand {
        match self {
            Self::Artifact(artifact) => artifact.memory_demand(),
            Self::External(model) => model.memory_demand(),
        }
    }
}

/// An artifact that is being verified.
struct Candidate<'a> {
    name: &'a str,
    graphs: &'a ArtifactGraphs<'a>,
    metadata: &'a Metadata,
    max_batch_rows: Option<usize>,
    progress: &'a Progress<'a>,
}

impl Candidate<'_> {
    /// Replays the golden rows on both graphs and warms up the session of the subgraph. One graph is open at
    /// a time.
    fn verify_on(&self, backend: &dyn Backend) -> Result<Box<dyn Session>, VerifyError> {
        self.progress.check()?;
        let mut full_graph = self.graphs.open(backend, GraphForm::Full)?;
        self.replay(backend, full_graph.as_mut(), GraphForm::Full)?;
        drop(full_graph);
        self.progress.check()?;
        let mut session = self.graphs.open(backend, GraphForm::Subgraph)?;
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
        (self.progress.replayed)(replayed.is_ok());
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

/// The backend that a candidate was verified on, and its warm session of the subgraph.
struct Primary<'a> {
    backend: &'a dyn Backend,
    session: Box<dyn Session>,
}

/// Returns the most likely batch sizes, up to the largest batch.
fn warm_up_sizes(max_batch_rows: Option<usize>) -> impl Iterator<Item = usize> {
    [1, 2, 8, 32, 256].into_iter().filter(move |size| max_batch_rows.is_none_or(|max| *size <= max))
}

/// The reason why two backends were not compared.
enum CompareError {
    /// The other backend cannot run the model, which may serve without a comparison.
    Other(BackendError),
    /// The model must not serve.
    Verify(VerifyError),
}

/// Compares the scores of the primary session with those of another backend.
fn compare(
    candidate: &Candidate<'_>,
    rows: &ComparedRows<'_>,
    primary: &mut Primary<'_>,
    other: &dyn Backend,
) -> Result<Comparison, CompareError> {
    let scored = candidate
        .graphs
        .open_on_other(other)
        .and_then(|mut session| rows.score(other.kind(), session.as_mut()));
    let theirs = scored.map_err(CompareError::Other)?;
    let ours = rows.score(primary.backend.kind(), primary.session.as_mut());
    let ours = ours.map_err(|source| VerifyError::WarmUp { rows: rows.len(), source })?;
    Ok(rows.compare(&ours, &theirs).map_err(VerifyError::from)?)
}

/// Compares two backends on a large forest, a few of its trees at a time. The sum over all trees is exact, so
/// the forest agrees if its parts do.
fn compare_parts(
    rows: &ComparedRows<'_>,
    primary: &dyn Backend,
    other: &dyn Backend,
    parts: ForestSlices<'_>,
    progress: &Progress<'_>,
) -> Result<Comparison, CompareError> {
    let failed = |reason: &str| {
        CompareError::Other(BackendError::Open { backend: other.kind(), reason: reason.to_owned() })
    };
    let mut compared: Option<Comparison> = None;
    for part in parts {
        progress.check()?;
        let part = part.ok_or_else(|| failed("its trees cannot be separated to compare a few at a time"))?;
        let score =
            |backend: &dyn Backend| rows.score(backend.kind(), backend.open(&part, rows.task())?.as_mut());
        let ours = score(primary).map_err(CompareError::Other)?;
        let theirs = score(other).map_err(CompareError::Other)?;
        let comparison = rows.compare(&ours, &theirs).map_err(VerifyError::from)?;
        let most = compared.map_or(0.0, |before| before.max_difference).max(comparison.max_difference);
        compared = Some(Comparison { max_difference: most, ..comparison });
    }
    compared.ok_or_else(|| failed("it has no trees"))
}

/// Logs that a model is not cross-checked on a backend that cannot run it.
fn not_cross_checked(
    model: &str,
    with: &dyn Backend,
    compared: Result<Comparison, CompareError>,
) -> Result<Option<Comparison>, VerifyError> {
    match compared {
        Ok(comparison) => Ok(Some(comparison)),
        Err(CompareError::Verify(error)) => Err(error),
        Err(CompareError::Other(error)) => {
            let with = with.kind().name();
            tracing::warn!(model, with, %error, "the model is not cross-checked on this backend, which cannot run it");
            Ok(None)
        }
    }
}

impl<E: Into<VerifyError>> From<E> for CompareError {
    fn from(error: E) -> Self {
        Self::Verify(error.into())
    }
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
