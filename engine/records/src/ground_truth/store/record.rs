//! The encoding of a request's predictions: a few bytes a row, because there are many.

use onnward_schemas::sha256_prefix;

use super::super::batch::PredictionBatch;
use super::StoreError;
use crate::prediction_id::PredictionId;

/// Encodes a request's predictions, little-endian: the version's number (4 bytes), a flag for keys (1 byte),
/// the probabilities (4 bytes each), and the keys' digests (8 bytes each) if there are any.
pub fn encode(version: u32, scored: &PredictionBatch, bytes: &mut Vec<u8>) {
    bytes.clear();
    bytes.extend(version.to_le_bytes());
    let has_keys = !scored.keys.is_empty();
    bytes.push(u8::from(has_keys));
    bytes.extend(scored.probabilities.iter().flat_map(|probability| probability.to_le_bytes()));
    if has_keys {
        let digests = keys_of(scored).map(|digest| digest.unwrap_or_default());
        bytes.extend(digests.flat_map(u64::to_le_bytes));
    }
}

/// Returns the key digest of each row.
pub fn keys_of(scored: &PredictionBatch) -> impl Iterator<Item = Option<u64>> {
    let model = &scored.by.model;
    (0..scored.probabilities.len()).map(move |row| scored.keys.get(row).map(|key| key_digest(model, key)))
}

/// Returns the digest under which the store finds a client's key: 64 bits that include the model's name. The
/// key itself is never stored; 0 means no key.
pub fn key_digest(model: &str, key: &str) -> u64 {
    sha256_prefix(format!("{model}\n{key}").as_bytes()).max(1)
}

/// The encoded predictions of a request.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// The version's number in the store.
    pub version: u32,
    probabilities: &'a [u8],
    keys: &'a [u8],
}

const HEAD: usize = 5;
const PROBABILITY: usize = size_of::<f32>();
const KEY: usize = size_of::<u64>();

impl<'a> Record<'a> {
    /// Reads what [`encode`] has written.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, StoreError> {
        let incomplete = || StoreError::Incomplete { what: "a prediction" };
        let (head, rest) = bytes.split_at_checked(HEAD).ok_or_else(incomplete)?;
        let (version, has_keys) = head.split_first_chunk().ok_or_else(incomplete)?;
        let row = PROBABILITY + if has_keys == [1] { KEY } else { 0 };
        let (probabilities, keys) = rest.split_at(rest.len() / row * PROBABILITY);
        Ok(Self { version: u32::from_le_bytes(*version), probabilities, keys })
    }

    /// Returns the number of rows.
    pub fn rows(&self) -> usize {
        self.probabilities.len() / PROBABILITY
    }

    /// Returns the probability of a row, if the row exists.
    pub fn probability(&self, row: usize) -> Option<f32> {
        let (chunks, _) = self.probabilities.as_chunks();
        chunks.get(row).map(|bytes| f32::from_le_bytes(*bytes))
    }

    /// Returns the digests of the rows' keys with the rows' ids, for rows with a key.
    pub fn keys(&self, first: PredictionId) -> impl Iterator<Item = (u64, PredictionId)> {
        let (chunks, _) = self.keys.as_chunks();
        let digests = chunks.iter().map(|bytes| u64::from_le_bytes(*bytes)).enumerate();
        digests.filter(|(_, digest)| *digest != 0).map(move |(row, digest)| (digest, first.of_row(row)))
    }
}
