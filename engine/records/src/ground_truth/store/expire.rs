use redb::ReadableTable;

use super::record::Record;
use super::tables::Tables;
use super::{Bounds, State, StoreError};
use crate::prediction_id::PredictionId;

/// How many predictions one transaction removes at most: what has expired all at once must not hold up what comes.
const MOST_AT_ONCE: u64 = 100_000;

impl State {
    /// Removes the oldest predictions that may not be kept any more, with their outcomes: whether there are more of them.
    pub fn expire(&mut self, tables: &mut Tables<'_>, bounds: Bounds, now: u64) -> Result<bool, StoreError> {
        let cutoff = PredictionId::first_of(now.saturating_sub(bounds.retention_millis));
        let too_many = self.rows.saturating_sub(bounds.max_predictions);
        let Some(end) = first_kept(tables, cutoff, too_many)? else { return Ok(false) };
        let mut removed = 0;
        for found in tables.predictions.extract_from_if(..end.before, |_, _| true)? {
            let (id, value) = found?;
            let id = PredictionId::from_u128(id.value());
            let record = Record::decode(value.value())?;
            let rows = record.rows() as u64;
            removed += rows;
            self.removed_until = self.removed_until.max(id.millis());
            self.versions.get_mut(record.version)?.predictions -= rows;
            for (digest, id) in record.keys(id) {
                tables.keys.remove((digest, id.as_u128()))?;
            }
        }
        self.rows -= removed;
        for found in tables.outcomes.extract_from_if(..end.before, |_, _| true)? {
            let (version, ..) = found?.1.value();
            self.versions.get_mut(version)?.outcomes -= 1;
        }
        self.versions.remove_empty();
        Ok(end.is_cut_short)
    }
}

/// Where what is kept begins.
struct End {
    before: u128,
    is_cut_short: bool,
}

/// Returns `None` if everything is kept.
fn first_kept(tables: &Tables<'_>, cutoff: u128, too_many: u64) -> Result<Option<End>, StoreError> {
    let mut rows = 0;
    let mut last = None;
    for found in tables.predictions.iter()? {
        let (id, value) = found?;
        let is_over = id.value() < cutoff || rows < too_many;
        let is_cut_short = is_over && rows >= MOST_AT_ONCE;
        if !is_over || is_cut_short {
            return Ok(last.map(|_| End { before: id.value(), is_cut_short }));
        }
        rows += Record::decode(value.value())?.rows() as u64;
        last = Some(id.value());
    }
    Ok(last.map(|_| End { before: u128::MAX, is_cut_short: false }))
}
