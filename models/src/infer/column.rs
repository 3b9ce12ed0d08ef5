//! What is remembered of a column while its table is read.

use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use onnward_schemas::is_missing_text;

/// How many different values of a column are remembered.
const MOST_VALUES: usize = 200;
/// The longest cell that is remembered as a value, in bytes.
const LONGEST_VALUE: usize = 100;
/// How many cells are looked at to see whether a column repeats itself.
const MOST_UNIQUE: usize = 50_000;

/// What is remembered of a column.
pub(super) struct ColumnStats {
    pub name: String,
    pub rows: u64,
    /// How many cells hold no value.
    pub missing: u64,
    /// A word that was read as no value.
    pub missing_word: Option<String>,
    /// How many cells hold a number.
    pub numbers: u64,
    /// Whether every number is whole.
    pub whole: bool,
    /// Whether the cells are whole numbers, each one more than the one above.
    pub counts_rows: bool,
    pub min: f64,
    pub max: f64,
    /// A cell that is not a number.
    pub text: Option<String>,
    /// Each value with how many cells hold it; `None` where there are too many to remember.
    pub values: Option<BTreeMap<String, u64>>,
    /// Hashes of the cells; `None` once a cell has come twice, or the column cannot be an identifier.
    unique: Option<HashSet<u64>>,
    last: f64,
}

impl ColumnStats {
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            rows: 0,
            missing: 0,
            missing_word: None,
            numbers: 0,
            whole: true,
            counts_rows: true,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            text: None,
            values: Some(BTreeMap::new()),
            unique: Some(HashSet::new()),
            last: f64::NAN,
        }
    }

    /// Takes the next cell, without blanks around it.
    pub fn add(&mut self, cell: &str) {
        self.rows += 1;
        if is_missing_text(cell) {
            self.missing += 1;
            self.unique = None;
            if !cell.is_empty() && self.missing_word.is_none() {
                self.missing_word = Some(cell.to_owned());
            }
            return;
        }
        match number(cell) {
            Some(number) => self.add_number(number),
            None => {
                self.counts_rows = false;
                self.text.get_or_insert_with(|| cell.chars().take(LONGEST_VALUE).collect());
            }
        }
        self.remember(cell);
    }

    fn add_number(&mut self, number: f64) {
        let whole = number.fract() == 0.0;
        self.numbers += 1;
        self.whole &= whole;
        self.counts_rows &= whole && (self.last.is_nan() || number == self.last + 1.0);
        self.last = number;
        self.min = self.min.min(number);
        self.max = self.max.max(number);
        if !whole {
            self.unique = None;
        }
    }

    fn remember(&mut self, cell: &str) {
        if let Some(values) = &mut self.values {
            if let Some(count) = values.get_mut(cell) {
                *count += 1;
            } else if values.len() < MOST_VALUES && cell.len() <= LONGEST_VALUE {
                values.insert(cell.to_owned(), 1);
            } else {
                self.values = None;
            }
        }
        if let Some(unique) = &mut self.unique
            && unique.len() < MOST_UNIQUE
        {
            let mut hasher = DefaultHasher::new();
            cell.hash(&mut hasher);
            if !unique.insert(hasher.finish()) {
                self.unique = None;
            }
        }
    }

    /// How many cells hold a value.
    pub fn filled(&self) -> u64 {
        self.rows - self.missing
    }

    /// Whether every cell with a value holds a number.
    pub fn is_numeric(&self) -> bool {
        self.numbers == self.filled()
    }

    /// Whether each row has a text or a whole number of its own.
    pub fn is_unique(&self) -> bool {
        self.unique.is_some()
    }

    /// The values, numbers by size, then texts by their letters; `None` where there are too many to remember.
    pub fn sorted_values(&self) -> Option<Vec<&str>> {
        let mut values: Vec<&str> = self.values.as_ref()?.keys().map(String::as_str).collect();
        let size = |value: &&str| number(value).unwrap_or(f64::INFINITY);
        values.sort_by(|a, b| size(a).total_cmp(&size(b)));
        Some(values)
    }

    /// The values of a column that has exactly two.
    pub fn pair(&self) -> Option<[&str; 2]> {
        self.sorted_values()?.try_into().ok()
    }

    /// How many cells hold `value`.
    pub fn count(&self, value: &str) -> u64 {
        self.values.as_ref().and_then(|values| values.get(value)).copied().unwrap_or_default()
    }
}

/// The number that a cell holds. A code with leading zeros, such as a postcode, is a text, and so is what single
/// precision cannot hold.
pub(super) fn number(cell: &str) -> Option<f64> {
    let digits = cell.strip_prefix(['-', '+']).unwrap_or(cell).as_bytes();
    if matches!(digits, [b'0', second, ..] if second.is_ascii_digit()) {
        return None;
    }
    cell.parse::<f64>().ok().filter(|number| number.abs() <= f64::from(f32::MAX))
}
