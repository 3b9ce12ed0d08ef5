//! The ids of predictions.

use onnward_quality::time::millis_now;
use serde::{Serialize, Serializer};
use uuid::Uuid;
use uuid::fmt::Hyphenated;

/// The id of one prediction: a UUID of version 7 (RFC 9562, section 5.7), whose first 48 bits are the time in
/// milliseconds.
///
/// The rows of one request share its time and its 54 random bits. The last 20 bits are the row's index. So
/// each prediction has its own id, ids are ordered like their rows, and an id reveals its neighbours.
/// ```
/// use onnward_records::prediction_id::PredictionId;
///
/// let first = PredictionId::made(1_763_805_600_123, 17);
/// let third = first.of_row(2);
/// assert_eq!((third.millis(), third.row()), (1_763_805_600_123, 2));
/// assert_eq!(PredictionId::parse(third.text().as_str()), Some(third));
/// assert!(first < third);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PredictionId(u128);

const ROW_BITS: u32 = 20;
const ROW_MASK: u128 = (1 << ROW_BITS) - 1;
const ROW_DIGITS: usize = ROW_BITS as usize / 4;
const VERSION: u128 = 7 << 76;
const VARIANT: u128 = 0b10 << 62;

impl PredictionId {
    /// The most rows of one request with ids of their own.
    pub const MAX_ROWS: usize = 1 << ROW_BITS;

    /// Creates the id of the first row of a request answered now.
    pub fn now() -> Self {
        Self::made(millis_now(), rand::random())
    }

    /// Creates the id of the first row of a request at a time, in milliseconds since 1970. Uses 48 bits of
    /// the time and 54 bits of `random`.
    pub fn made(millis: u64, random: u64) -> Self {
        let random = u128::from(random);
        let time = u128::from(millis) << 80;
        let high = (random >> 52 & 0xfff) << 64;
        let low = (random & ((1 << 42) - 1)) << ROW_BITS;
        Self(time | VERSION | high | VARIANT | low)
    }

    /// Parses an id. `None` if the text is not a UUID of version 7.
    pub fn parse(text: &str) -> Option<Self> {
        let uuid = Uuid::try_parse(text).ok()?;
        (uuid.get_version_num() == 7).then(|| Self(uuid.as_u128()))
    }

    /// Returns the id of a row of the same request. Rows from [`PredictionId::MAX_ROWS`] on would share ids.
    pub fn of_row(self, row: usize) -> Self {
        Self(self.0 & !ROW_MASK | row as u128 & ROW_MASK)
    }

    /// Returns the row's index in its request.
    pub fn row(self) -> usize {
        (self.0 & ROW_MASK) as usize
    }

    /// Returns when the prediction was made, in milliseconds since 1970.
    pub fn millis(self) -> u64 {
        (self.0 >> 80) as u64
    }

    /// Returns the id as a number. Ids are ordered like their numbers.
    pub fn as_u128(self) -> u128 {
        self.0
    }

    /// Creates the id with this number.
    pub fn from_u128(number: u128) -> Self {
        Self(number)
    }

    /// Returns a number below every id of this millisecond and above every earlier id.
    pub fn lower_bound(millis: u64) -> u128 {
        u128::from(millis) << 80
    }

    /// Returns the id as text.
    pub fn text(self) -> IdText {
        let mut text = [0; Hyphenated::LENGTH];
        Uuid::from_u128(self.0).hyphenated().encode_lower(&mut text);
        IdText(text)
    }
}

impl Serialize for PredictionId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.text().serialize(serializer)
    }
}

/// The text of an id: 36 characters of ASCII.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdText([u8; Hyphenated::LENGTH]);

impl IdText {
    /// Returns the text of another row's id of the same request. Only the last digits differ.
    pub fn of_row(mut self, row: usize) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let digits = self.0.iter_mut().rev().take(ROW_DIGITS).enumerate();
        for (place, digit) in digits {
            *digit = DIGITS[row >> (4 * place) & 0xf];
        }
        self
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl Serialize for IdText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn an_id_is_a_uuid_of_version_7_that_tells_its_time_and_row() {
        let id = PredictionId::made(1_763_805_600_123, u64::MAX).of_row(1_023);
        let uuid = Uuid::parse_str(id.text().as_str()).unwrap();
        assert_eq!((uuid.get_version_num(), uuid.get_variant()), (7, uuid::Variant::RFC4122));
        assert_eq!(uuid.as_u128(), id.as_u128());
        assert_eq!((id.millis(), id.row()), (1_763_805_600_123, 1_023));
        assert_eq!(PredictionId::parse(id.text().as_str()), Some(id));
        assert_eq!(PredictionId::parse(&id.text().as_str().to_uppercase()), Some(id));
        for other in ["", "17", "3f1c6a52-7d0e-4f0e-9d55-0c1d2e3f4a5b"] {
            assert_eq!(PredictionId::parse(other), None, "{other}");
        }
    }

    #[test]
    fn the_text_of_a_row_is_that_of_its_id() {
        let id = PredictionId::now();
        for row in [0, 1, 9, 10, 15, 16, 255, 4_096, 65_535, 999_999, PredictionId::MAX_ROWS - 1] {
            assert_eq!(id.text().of_row(row), id.of_row(row).text());
            assert_eq!(id.of_row(row).of_row(0), id);
        }
    }

    #[test]
    fn ids_are_ordered_as_time_and_rows_are_and_are_different() {
        let (early, late) = (PredictionId::made(1_000, u64::MAX), PredictionId::made(1_001, 0));
        assert!(early < early.of_row(1) && early.of_row(PredictionId::MAX_ROWS - 1) < late);
        assert!(
            early.as_u128() < PredictionId::lower_bound(1_001)
                && PredictionId::lower_bound(1_001) < late.as_u128()
        );
        let ids: HashSet<PredictionId> = (0..100_000).map(|_| PredictionId::now()).collect();
        assert_eq!(ids.len(), 100_000);
    }
}
