use redb::{Table, TableDefinition, WriteTransaction};

use super::StoreError;

/// The predictions of a request by the id of the first: see [`super::record`].
pub const PREDICTIONS: TableDefinition<'_, u128, &[u8]> = TableDefinition::new("predictions");
/// The predictions under each key: the key's digest and the prediction's id.
pub const KEYS: TableDefinition<'_, (u64, u128), ()> = TableDefinition::new("keys");
/// The outcomes by the ids of their predictions.
pub const OUTCOMES: TableDefinition<'_, u128, OutcomeRow> = TableDefinition::new("outcomes");
/// The outcomes of models of several classes, by the ids of their predictions.
pub const CLASS_OUTCOMES: TableDefinition<'_, u128, ClassOutcomeRow> = TableDefinition::new("class_outcomes");
/// The outcomes of models of a number, by the ids of their predictions.
pub const NUMBER_OUTCOMES: TableDefinition<'_, u128, NumberOutcomeRow> =
    TableDefinition::new("number_outcomes");
/// The classes of the versions of several classes, as JSON, and the empty text for versions of a number, by the
/// versions' numbers in the store. Binary versions have none.
pub const TASKS: TableDefinition<'_, u32, &str> = TableDefinition::new("tasks");
/// The versions by their numbers in the store.
pub const VERSIONS: TableDefinition<'_, u32, VersionRow> = TableDefinition::new("versions");
/// The artifacts' digests and when they predicted last, by the versions' numbers in the store.
///
/// A table of its own: stores of older engines have none, and older engines still read this store.
pub const ARTIFACTS: TableDefinition<'_, u32, ArtifactRow> = TableDefinition::new("artifacts");
/// Properties of the whole store.
pub const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

/// The version's number, the probability, whether the label is positive, when it turned out, and when it
/// arrived. Figures are computed from it without reading the prediction.
pub type OutcomeRow = (u32, f32, bool, u64, u64);

/// The version's number, the predicted and the label's class, the probability of the label's class with the number of
/// more probable ones, when it turned out, and when it arrived.
pub type ClassOutcomeRow = (u32, u32, u32, Option<(f32, u32)>, u64, u64);

/// The version's number, the predicted number, the label, when it turned out, and when it arrived.
pub type NumberOutcomeRow = (u32, f64, f64, u64, u64);

/// The model's name and version, its threshold, its label's positive and negative value, and the numbers of
/// predictions and outcomes. A model of another task has no threshold and empty values: see [`TASKS`].
pub type VersionRow = (&'static str, u64, f64, &'static str, &'static str, u64, u64);

/// The artifact's SHA-256, in hexadecimal, and when it made its last prediction, in milliseconds since 1970.
pub type ArtifactRow = (&'static str, u64);

/// The tables of one transaction.
pub struct Tables<'t> {
    pub predictions: Table<'t, u128, &'static [u8]>,
    pub keys: Table<'t, (u64, u128), ()>,
    pub outcomes: Table<'t, u128, OutcomeRow>,
    pub class_outcomes: Table<'t, u128, ClassOutcomeRow>,
    pub number_outcomes: Table<'t, u128, NumberOutcomeRow>,
    pub tasks: Table<'t, u32, &'static str>,
    pub versions: Table<'t, u32, VersionRow>,
    pub artifacts: Table<'t, u32, ArtifactRow>,
    pub meta: Table<'t, &'static str, u64>,
    /// A buffer for encoding.
    pub buffer: Vec<u8>,
}

impl<'t> Tables<'t> {
    pub fn open(transaction: &'t WriteTransaction) -> Result<Self, StoreError> {
        Ok(Self {
            predictions: transaction.open_table(PREDICTIONS)?,
            keys: transaction.open_table(KEYS)?,
            outcomes: transaction.open_table(OUTCOMES)?,
            class_outcomes: transaction.open_table(CLASS_OUTCOMES)?,
            number_outcomes: transaction.open_table(NUMBER_OUTCOMES)?,
            tasks: transaction.open_table(TASKS)?,
            versions: transaction.open_table(VERSIONS)?,
            artifacts: transaction.open_table(ARTIFACTS)?,
            meta: transaction.open_table(META)?,
            buffer: Vec::new(),
        })
    }
}
