//! The graphs of an artifact, in the form that takes the least memory.

use onnward_onnx::{Artifact, ArtifactError, ForestSlices, ModelBounds, OutputReader};
use onnward_schemas::{Metadata, Task};

use super::VerifyError;
use crate::backend::{Backend, BackendError, Forests, PackedGraph, Session};
use crate::golden::GraphForm;
use crate::memory::MemoryReservation;

/// The most splits of a forest that is opened as it is written, on a backend that does not pack it, for a
/// comparison. ONNX Runtime takes some 10 MiB for these.
const MAX_WHOLE_SPLITS: u64 = 1 << 13;
/// The number of parts in which a larger forest is compared, so that each takes about as much as its file.
const COMPARED_PARTS: u64 = 64;

/// The bytes of a packed split and its leaf.
const PACKED_SPLIT_BYTES: u64 = 40;
/// The bytes that a runtime takes for a split and its leaf as they are written, while it opens the graph and
/// afterwards. Measured on ONNX Runtime 1.23.
const OPEN_SPLIT_BYTES: [u64; 2] = [1200, 800];
/// The same for a node of the operators up to ai.onnx.ml 4, which name each node's mode in a string.
const OPEN_NODE_BYTES: [u64; 2] = [200, 120];
/// The bytes that a runtime takes for a byte of the file beside forests, while it opens the graph and
/// afterwards: the file, the decoded messages, and the tensors.
const OPEN_FILE_FACTOR: [u64; 2] = [4, 3];
/// The bytes that a runtime takes for any graph: operators, and buffers for batches.
const OPEN_GRAPH_BYTES: u64 = 4 << 20;

/// The full graph and the subgraph of an artifact.
pub struct ArtifactGraphs<'a> {
    file: &'a [u8],
    bounds: ModelBounds,
    task: Task,
    /// The number of splits of all forests.
    splits: u64,
    /// The subgraph as it is written. It is left out if the forest is large and packed.
    subgraph: Option<Vec<u8>>,
    packed: Option<Packed>,
}

/// Both graphs with the same packed forests.
struct Packed {
    full: PackedGraph,
    subgraph: PackedGraph,
    forest_bytes: u64,
}

impl<'a> ArtifactGraphs<'a> {
    /// Takes an artifact apart, and packs its forests if `packs` and if all of them can be packed. `file` is
    /// its encoding. `memory` grows by what packing takes. A large forest is first handed to `compare`, a few
    /// trees at a time, because beside the packed forest its lists would be one copy too many.
    pub fn of(
        mut artifact: Artifact,
        file: &'a [u8],
        bounds: &ModelBounds,
        packs: bool,
        memory: &mut MemoryReservation,
        compare: impl FnOnce(ForestSlices<'_>, &Metadata) -> Result<(), VerifyError>,
    ) -> Result<(Self, Metadata), VerifyError> {
        let splits = artifact.forest_splits() as u64;
        let task = artifact.metadata.schema.label.task.clone();
        let mut graphs = Self { file, bounds: *bounds, task, splits, subgraph: None, packed: None };
        if !packs || splits == 0 {
            graphs.subgraph = Some(artifact.encode_subgraph()?);
            return Ok((graphs, artifact.into_metadata()));
        }
        memory.grow(memory.bytes().saturating_add(splits.saturating_mul(PACKED_SPLIT_BYTES)))?;
        if splits <= MAX_WHOLE_SPLITS {
            graphs.subgraph = Some(artifact.encode_subgraph()?);
        }
        let lists = artifact.take_forests();
        if let (None, [forest]) = (&graphs.subgraph, lists.as_slice()) {
            let max_splits = MAX_WHOLE_SPLITS.max(splits / COMPARED_PARTS) as usize;
            compare(artifact.forest_slices(forest, max_splits)?, &artifact.metadata)?;
        }
        let (full, subgraph) = (artifact.encode(), artifact.encode_subgraph()?);
        let metadata = artifact.into_metadata();
        match Forests::pack(lists) {
            Some(forests) => {
                graphs.packed = Some(Packed {
                    forest_bytes: forests.bytes() as u64,
                    full: PackedGraph::new(full, forests.clone()),
                    subgraph: PackedGraph::new(subgraph, forests),
                });
            }
            None => graphs.subgraph = Some(graphs.decode()?.encode_subgraph()?),
        }
        Ok((graphs, metadata))
    }

    /// Returns whether there are packed forests.
    pub fn has_forests(&self) -> bool {
        self.packed.is_some()
    }

    /// Opens one of the graphs on a backend.
    pub fn open(&self, backend: &dyn Backend, form: GraphForm) -> Result<Box<dyn Session>, VerifyError> {
        let (task, output) = (&self.task, OutputReader::of_artifact(&self.task));
        let opened = match (&self.packed, form) {
            (Some(packed), GraphForm::Full) if backend.packs_forests() => {
                backend.open_packed(&packed.full, &output)
            }
            (Some(packed), GraphForm::Subgraph) if backend.packs_forests() => {
                backend.open_packed(&packed.subgraph, &output)
            }
            (_, GraphForm::Full) => backend.open(self.file, task),
            (_, GraphForm::Subgraph) => match &self.subgraph {
                Some(subgraph) => backend.open(subgraph, task),
                None => backend.open(&self.decode()?.encode_subgraph()?, task),
            },
        };
        opened.map_err(|error| VerifyError::Open(vec![error]))
    }

    /// Opens the subgraph on a backend that it is compared with.
    pub fn open_on_other(&self, backend: &dyn Backend) -> Result<Box<dyn Session>, BackendError> {
        match &self.subgraph {
            Some(subgraph) => backend.open(subgraph, &self.task),
            None => Err(BackendError::Open { backend: backend.kind(), reason: "it is too large".to_owned() }),
        }
    }

    /// Returns whether the forest is too large to be opened as it is written.
    pub fn is_large(&self) -> bool {
        self.subgraph.is_none()
    }

    /// Decodes the file again, since its forests were taken out.
    fn decode(&self) -> Result<Artifact, ArtifactError> {
        Artifact::decode_within(self.file, &self.bounds)
    }

    /// Estimates the bytes that opening the graphs on a backend takes at most, for this number of sessions.
    pub fn loading_bytes(&self, backend: &dyn Backend, sessions: usize) -> u64 {
        match &self.packed {
            // What packing takes was reserved.
            Some(_) if backend.packs_forests() => 0,
            _ => {
                let others = sessions.saturating_sub(1) as u64;
                let [opening, open] = self.open_bytes();
                opening.saturating_add(others.saturating_mul(open))
            }
        }
    }

    /// Estimates the bytes that the model takes on a backend, with this number of sessions.
    pub fn loaded_bytes(&self, backend: &dyn Backend, sessions: usize) -> u64 {
        match &self.packed {
            Some(packed) if backend.packs_forests() => packed.forest_bytes.saturating_add(OPEN_GRAPH_BYTES),
            _ => self.open_bytes()[1].saturating_mul(sessions as u64),
        }
    }

    /// Estimates the bytes of a graph that is opened as it is written: while it is opened, and afterwards.
    fn open_bytes(&self) -> [u64; 2] {
        match self.splits {
            0 => open_bytes(self.file.len(), 0),
            splits => {
                OPEN_SPLIT_BYTES.map(|bytes| splits.saturating_mul(bytes).saturating_add(OPEN_GRAPH_BYTES))
            }
        }
    }
}

/// Estimates the bytes that a runtime takes for a file with this number of nodes in trees: while it is opened,
/// and afterwards.
pub fn open_bytes(file: usize, tree_nodes: usize) -> [u64; 2] {
    let tree_bytes = OPEN_NODE_BYTES.map(|bytes| bytes.saturating_mul(tree_nodes as u64));
    let file_bytes = OPEN_FILE_FACTOR.map(|factor| factor.saturating_mul(file as u64));
    [0, 1].map(|stage| tree_bytes[stage].saturating_add(file_bytes[stage]).saturating_add(OPEN_GRAPH_BYTES))
}
