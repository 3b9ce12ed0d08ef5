//! The messages between the engine and a process that runs one model.
//!
//! Each is a frame: its length in four bytes, and its content. The first request describes the model, and the
//! bytes of the file follow it without a frame. Every further request is a batch of rows.

use std::io::{self, Read, Write};
use std::path::PathBuf;

use onnward_schemas::{GoldenValue, Predictions, Rows, TaskKind};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::backend::{BackendChoice, BackendKind};
use crate::cross_check::Comparison;
use crate::description::PassedOver;
use crate::verify::LoadStep;

/// The largest frame. A batch of the largest request is far smaller.
const MAX_FRAME_BYTES: usize = 1 << 30;

/// The first request: open and test a model.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Open {
    pub name: String,
    pub sha256: String,
    pub fingerprint: Option<String>,
    pub config: Option<String>,
    pub backend: BackendChoice,
    pub library: Option<PathBuf>,
    pub max_batch_rows: Option<usize>,
    /// The most memory of the process, in bytes.
    pub memory: u64,
    /// The bytes of the file, which follow.
    pub file_bytes: u64,
}

/// The response to the first request.
#[derive(Debug, Serialize, Deserialize)]
pub enum OpenResponse {
    Opened(Opened),
    Failed { step: LoadStep, reason: String },
}

/// What opening and testing a model has shown.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Opened {
    /// The backend that runs it.
    pub backend: BackendKind,
    /// The cross-check of an artifact.
    pub comparison: Option<Comparison>,
    /// How often golden rows were replayed.
    pub replays: usize,
    /// A row that was scored, and its prediction. Rows of an artifact are in its metadata.
    pub example: Option<(Vec<GoldenValue>, Predictions)>,
    /// The backends that cannot run it.
    pub passed_over: Vec<PassedOver>,
    /// What is answered, which the test of an external file may have decided.
    pub task: TaskKind,
    /// The most memory that the process has taken, in bytes.
    pub peak_bytes: u64,
}

/// The response to a batch.
#[derive(Debug, Serialize, Deserialize)]
pub enum ScoreResponse {
    /// The prediction of each row.
    Scored(Predictions),
    Failed(String),
}

/// Writes a batch of encoded rows.
pub fn write_rows(output: &mut impl Write, rows: &Rows) -> io::Result<()> {
    write_json(output, &(rows.len, &rows.kept))?;
    write_numbers(output, &rows.values)
}

/// Reads a batch. `None` if the other side has closed its end.
pub fn read_rows(input: &mut impl Read) -> io::Result<Option<Rows>> {
    let Some(head) = read_frame_or_end(input)? else { return Ok(None) };
    let (len, kept) = parse_json(&head)?;
    Ok(Some(Rows { values: read_numbers(input)?, kept, len }))
}

pub fn write_json(output: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    write_frame(output, &serde_json::to_vec(message)?)
}

pub fn parse_json<T: DeserializeOwned>(frame: &[u8]) -> io::Result<T> {
    Ok(serde_json::from_slice(frame)?)
}

fn write_numbers(output: &mut impl Write, numbers: &[f32]) -> io::Result<()> {
    let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    write_frame(output, &bytes)
}

fn parse_numbers(frame: &[u8]) -> Vec<f32> {
    frame.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

fn read_numbers(input: &mut impl Read) -> io::Result<Vec<f32>> {
    read_frame_or_end(input)?
        .map(|frame| parse_numbers(&frame))
        .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

fn write_frame(output: &mut impl Write, content: &[u8]) -> io::Result<()> {
    let length = u32::try_from(content.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
    output.write_all(&length.to_le_bytes())?;
    output.write_all(content)
}

/// Reads a frame. `None` if the other side has closed its end before the frame.
pub fn read_frame_or_end(input: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    let mut read = 0;
    while read < length.len() {
        match input.read(&mut length[read..]) {
            Ok(0) if read == 0 => return Ok(None),
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(more) => read += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let length = u32::from_le_bytes(length) as usize;
    if length > MAX_FRAME_BYTES {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    // Grows as bytes arrive, whatever the length says.
    let mut content = Vec::new();
    input.take(length as u64).read_to_end(&mut content)?;
    if content.len() < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some(content))
}
