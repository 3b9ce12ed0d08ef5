//! The encoding of a request's predictions: a few bytes a row, because there are many.

use onnward_schemas::{ClassPredictions, NumberSlice, PredictedValues, Predictions, sha256_prefix};

use super::super::batch::PredictionBatch;
use super::StoreError;
use crate::prediction_id::PredictionId;

/// Encodes a request's predictions, little-endian: the version's number (4 bytes), flags (1 byte), the predictions,
/// and the keys' digests (8 bytes each) if there are any.
///
/// The flags are 1 if there are keys, and the form in the bits above. Form 0: probabilities, 4 bytes each. Form 1:
/// numbers, 8 bytes each. Form 2: the number of probabilities of a row (2 bytes), and then of each row the class's
/// index (4 bytes) and the probabilities (4 bytes each). Older engines read form 0 alone.
pub fn encode(version: u32, scored: &PredictionBatch, bytes: &mut Vec<u8>) {
    let form = Form::of(&scored.predictions);
    bytes.clear();
    bytes.extend(version.to_le_bytes());
    let has_keys = !scored.keys.is_empty();
    bytes.push(form.flags() | u8::from(has_keys));
    match &scored.predictions.values {
        PredictedValues::Probabilities(numbers) => {
            bytes.extend(numbers.to_single().iter().flat_map(|probability| probability.to_le_bytes()));
        }
        PredictedValues::Numbers(numbers) => {
            bytes.extend(numbers.as_slice().iter().flat_map(f64::to_le_bytes));
        }
        PredictedValues::Classes(classes) => encode_classes(classes, form, bytes),
        PredictedValues::Outputs(_) => {}
    }
    if has_keys {
        let digests = keys_of(scored).map(|digest| digest.unwrap_or_default());
        bytes.extend(digests.flat_map(u64::to_le_bytes));
    }
}

fn encode_classes(classes: &ClassPredictions, form: Form, bytes: &mut Vec<u8>) {
    let Form::Classes { probabilities: width } = form else { return };
    bytes.extend(width.to_le_bytes());
    let all = classes.probabilities.as_ref().map(|all| all.to_single());
    for (row, index) in classes.indices.iter().enumerate() {
        bytes.extend(index.to_le_bytes());
        let width = usize::from(width);
        let of_row = all.as_ref().and_then(|all| all.get(row * width..(row + 1) * width));
        bytes.extend(of_row.unwrap_or_default().iter().flat_map(|probability| probability.to_le_bytes()));
    }
}

/// Returns the key digest of each row.
pub fn keys_of(scored: &PredictionBatch) -> impl Iterator<Item = Option<u64>> {
    let model = &scored.by.model;
    (0..scored.predictions.len()).map(move |row| scored.keys.get(row).map(|key| key_digest(model, key)))
}

/// Returns the digest under which the store finds a client's key: 64 bits that include the model's name. The
/// key itself is never stored; 0 means no key.
pub fn key_digest(model: &str, key: &str) -> u64 {
    sha256_prefix(format!("{model}\n{key}").as_bytes()).max(1)
}

/// The form of a request's predictions, by the model's task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Probabilities,
    Numbers,
    Classes {
        /// The number of probabilities of a row; 0 if the model has none.
        probabilities: u16,
    },
}

impl Form {
    /// Returns the form of predictions. Outputs of an external graph are not stored, and have no bytes.
    fn of(predictions: &Predictions) -> Self {
        match &predictions.values {
            PredictedValues::Probabilities(_) => Self::Probabilities,
            PredictedValues::Numbers(_) => Self::Numbers,
            PredictedValues::Classes(classes) => {
                // A label has at most 1,000 classes.
                Self::Classes { probabilities: u16::try_from(classes.width()).unwrap_or_default() }
            }
            PredictedValues::Outputs(_) => Self::Classes { probabilities: 0 },
        }
    }

    /// Returns the form's bits among the flags.
    fn flags(self) -> u8 {
        match self {
            Self::Probabilities => 0,
            Self::Numbers => 1 << 1,
            Self::Classes { .. } => 2 << 1,
        }
    }

    /// Reads the form of these flags, and returns it with what follows.
    fn decode(flags: u8, rest: &[u8]) -> Option<(Self, &[u8])> {
        match flags >> 1 {
            0 => Some((Self::Probabilities, rest)),
            1 => Some((Self::Numbers, rest)),
            2 => {
                let (width, rest) = rest.split_first_chunk()?;
                Some((Self::Classes { probabilities: u16::from_le_bytes(*width) }, rest))
            }
            _ => None,
        }
    }

    /// Returns the number of bytes of a row.
    fn row_bytes(self) -> usize {
        match self {
            Self::Probabilities => size_of::<f32>(),
            Self::Numbers => size_of::<f64>(),
            Self::Classes { probabilities } => {
                size_of::<u32>() + usize::from(probabilities) * size_of::<f32>()
            }
        }
    }
}

/// The stored prediction of a row.
#[derive(Debug, Clone, PartialEq)]
pub enum StoredPrediction {
    /// The probability of the positive label.
    Probability(f32),
    /// A number.
    Number(f64),
    /// The index of a class, and the probabilities of all classes if the model has them.
    Class(u32, Option<Vec<f32>>),
}

impl StoredPrediction {
    /// Returns the probabilities of all classes, if there are any.
    pub fn probabilities(&self) -> Option<NumberSlice<'_>> {
        match self {
            Self::Class(_, Some(probabilities)) => Some(NumberSlice::Single(probabilities)),
            Self::Class(_, None) | Self::Probability(_) | Self::Number(_) => None,
        }
    }
}

/// The encoded predictions of a request.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// The version's number in the store.
    pub version: u32,
    form: Form,
    predictions: &'a [u8],
    keys: &'a [u8],
}

const HEAD: usize = 5;
const KEY: usize = size_of::<u64>();

impl<'a> Record<'a> {
    /// Reads what [`encode`] has written.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, StoreError> {
        let incomplete = || StoreError::Incomplete { what: "a prediction" };
        let (head, rest) = bytes.split_at_checked(HEAD).ok_or_else(incomplete)?;
        let (version, flags) = head.split_first_chunk().ok_or_else(incomplete)?;
        let flags = flags.first().copied().ok_or_else(incomplete)?;
        let (form, rest) = Form::decode(flags, rest).ok_or_else(incomplete)?;
        let (prediction, key) = (form.row_bytes(), if flags & 1 == 1 { KEY } else { 0 });
        let (predictions, keys) = rest.split_at(rest.len() / (prediction + key) * prediction);
        Ok(Self { version: u32::from_le_bytes(*version), form, predictions, keys })
    }

    /// Returns the number of rows.
    pub fn rows(&self) -> usize {
        self.predictions.len() / self.form.row_bytes()
    }

    /// Returns the prediction of a row. `None` if there is no such row, or if the model failed on it.
    pub fn prediction(&self, row: usize) -> Option<StoredPrediction> {
        let bytes = self.predictions.chunks_exact(self.form.row_bytes()).nth(row)?;
        match self.form {
            Form::Probabilities => {
                Some(StoredPrediction::Probability(f32::from_le_bytes(*bytes.first_chunk()?)))
            }
            Form::Numbers => {
                let number = f64::from_le_bytes(*bytes.first_chunk()?);
                number.is_finite().then_some(StoredPrediction::Number(number))
            }
            Form::Classes { probabilities } => {
                let (index, rest) = bytes.split_first_chunk()?;
                let index = u32::from_le_bytes(*index);
                let (chunks, _) = rest.as_chunks();
                let all = || chunks.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
                let all = (probabilities > 0).then(all);
                (index != ClassPredictions::NONE).then_some(StoredPrediction::Class(index, all))
            }
        }
    }

    /// Returns the digests of the rows' keys with the rows' ids, for rows with a key.
    pub fn keys(&self, first: PredictionId) -> impl Iterator<Item = (u64, PredictionId)> {
        let (chunks, _) = self.keys.as_chunks();
        let digests = chunks.iter().map(|bytes| u64::from_le_bytes(*bytes)).enumerate();
        digests.filter(|(_, digest)| *digest != 0).map(move |(row, digest)| (digest, first.of_row(row)))
    }
}
