//! Statistics of a column, collected while its table is read.

use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use onnward_schemas::is_missing_text;

/// The maximum number of different values that are recorded.
const MOST_VALUES: usize = 200;
/// The longest cell that is recorded as a value, in bytes.
const LONGEST_VALUE: usize = 100;
/// The number of cells that are checked for repeated values.
const MOST_UNIQUE: usize = 50_000;

/// The statistics of a column.
pub(super) struct ColumnStats {
    pub name: String,
    pub rows: u64,
    /// The number of cells without a value.
    pub missing: u64,
    /// The words that were read as missing values, each with the number of its cells.
    pub missing_words: BTreeMap<String, u64>,
    /// The number of cells with a number.
    pub numbers: u64,
    /// Whether every number is whole.
    pub whole: bool,
    /// Whether the cells are whole numbers, each one more than the one above.
    pub counts_rows: bool,
    pub min: f64,
    pub max: f64,
    /// A cell that is not a number.
    pub text: Option<String>,
    /// The number of cells with each value; `None` if there are too many values.
    pub values: Option<BTreeMap<String, u64>>,
    /// Hashes of the cells; `None` once a cell has occurred twice, or if the column cannot be an identifier.
    unique: Option<HashSet<u64>>,
    last: f64,
}

impl ColumnStats {
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            rows: 0,
            missing: 0,
            missing_words: BTreeMap::new(),
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

    /// Adds the next cell, trimmed.
    pub fn add(&mut self, cell: &str) {
        self.rows += 1;
        if is_missing_text(cell) {
            self.missing += 1;
            self.unique = None;
            if !cell.is_empty() {
                *self.missing_words.entry(cell.to_owned()).or_default() += 1;
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
        self.record(cell);
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

    fn record(&mut self, cell: &str) {
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

    /// Returns the column with a word for no value as a value like others.
    pub fn with_word(&self, is_value: impl Fn(&str) -> bool) -> Self {
        let (words, missing_words): (BTreeMap<_, _>, BTreeMap<_, _>) =
            self.missing_words.clone().into_iter().partition(|(word, _)| is_value(word));
        let mut values = self.values.clone();
        if let Some(values) = &mut values {
            values.extend(words.clone());
        }
        Self {
            name: self.name.clone(),
            missing: self.missing - words.values().sum::<u64>(),
            missing_words,
            text: self.text.clone().or_else(|| words.keys().next().cloned()),
            values,
            unique: None,
            ..*self
        }
    }

    /// Returns the number of cells with a value.
    pub fn filled(&self) -> u64 {
        self.rows - self.missing
    }

    /// Reports whether every value is a number.
    pub fn is_numeric(&self) -> bool {
        self.numbers == self.filled()
    }

    /// Reports whether each row has a different text or whole number.
    pub fn is_unique(&self) -> bool {
        self.unique.is_some()
    }

    /// Returns the values, numbers in order, then texts in order; `None` if there are too many.
    pub fn sorted_values(&self) -> Option<Vec<&str>> {
        let mut values: Vec<&str> = self.values.as_ref()?.keys().map(String::as_str).collect();
        let size = |value: &&str| number(value).unwrap_or(f64::INFINITY);
        values.sort_by(|a, b| size(a).total_cmp(&size(b)));
        Some(values)
    }

    /// Returns the values of a column that has exactly two.
    pub fn pair(&self) -> Option<[&str; 2]> {
        self.sorted_values()?.try_into().ok()
    }

    /// Returns the number of cells with this value.
    pub fn count(&self, value: &str) -> u64 {
        self.values.as_ref().and_then(|values| values.get(value)).copied().unwrap_or_default()
    }
}

/// Parses a number. A code with leading zeros, such as a postcode, is a text, and so is a number beyond
/// single precision.
pub(super) fn number(cell: &str) -> Option<f64> {
    let digits = cell.strip_prefix(['-', '+']).unwrap_or(cell).as_bytes();
    if matches!(digits, [b'0', second, ..] if second.is_ascii_digit()) {
        return None;
    }
    cell.parse::<f64>().ok().filter(|number| number.abs() <= f64::from(f32::MAX))
}
