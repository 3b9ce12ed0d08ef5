//! The messages between the engine and a process that runs one model.
//!
//! Each is a frame: its length in four bytes, and its content. The first request describes the model, and the
//! bytes of the file follow it without a frame. Every further request is a batch of rows.

use std::io::{self, Read, Write};
use std::path::PathBuf;

use ndarray::ArrayView2;
use onnward_schemas::GoldenValue;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::backend::{BackendChoice, BackendKind};
use crate::cross_check::Comparison;

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
    Failed { step: String, reason: String },
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
    /// A row that was scored, and its probability. Rows of an artifact are in its metadata.
    pub example: Option<(Vec<GoldenValue>, f32)>,
    /// The most memory that the process has taken, in bytes.
    pub peak_bytes: u64,
}

/// The response to a batch.
#[derive(Debug, Serialize, Deserialize)]
pub enum ScoreResponse {
    /// A number for each row follows, as a frame.
    Scored,
    Failed(String),
}

/// A batch of encoded rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Rows {
    pub rows: usize,
    pub columns: usize,
    /// Row after row.
    pub values: Vec<f32>,
    /// The strings that the rows keep.
    pub texts: Vec<String>,
}

impl Rows {
    pub fn of(matrix: ArrayView2<'_, f32>, texts: &[String]) -> Self {
        let values = matrix.iter().copied().collect();
        Self { rows: matrix.nrows(), columns: matrix.ncols(), values, texts: texts.to_vec() }
    }

    pub fn write(&self, output: &mut impl Write) -> io::Result<()> {
        write_json(output, &(self.rows, self.columns, &self.texts))?;
        write_numbers(output, &self.values)
    }

    /// Reads a batch. `None` if the other side has closed its end.
    pub fn read(input: &mut impl Read) -> io::Result<Option<Self>> {
        let Some(head) = read_frame_or_end(input)? else { return Ok(None) };
        let (rows, columns, texts) = serde_json::from_slice(&head)?;
        Ok(Some(Self { rows, columns, values: read_numbers(input)?, texts }))
    }
}

pub fn write_json(output: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    write_frame(output, &serde_json::to_vec(message)?)
}

pub fn parse_json<T: DeserializeOwned>(frame: &[u8]) -> io::Result<T> {
    Ok(serde_json::from_slice(frame)?)
}

pub fn write_numbers(output: &mut impl Write, numbers: &[f32]) -> io::Result<()> {
    let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    write_frame(output, &bytes)
}

pub fn parse_numbers(frame: &[u8]) -> Vec<f32> {
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
