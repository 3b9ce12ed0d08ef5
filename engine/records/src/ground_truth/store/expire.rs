use redb::ReadableTable;

use super::outcome::StoredOutcome;
use super::record::Record;
use super::tables::Tables;
use super::{Bounds, State, StoreError};
use crate::prediction_id::PredictionId;

/// The most predictions that one transaction removes, so that many expired ones do not delay new ones.
const MAX_EXPIRED_PER_TRANSACTION: u64 = 100_000;

impl State {
    /// Removes the oldest expired predictions with their outcomes. Returns whether more are left.
    pub fn expire(&mut self, tables: &mut Tables<'_>, bounds: Bounds, now: u64) -> Result<bool, StoreError> {
        let cutoff = PredictionId::lower_bound(now.saturating_sub(bounds.retention_millis));
        let too_many = self.rows.saturating_sub(bounds.max_predictions);
        let Some(end) = retention_cutoff(tables, cutoff, too_many)? else { return Ok(false) };
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
        StoredOutcome::remove_before(tables, end.before, |version| {
            self.versions.get_mut(version)?.outcomes -= 1;
            Ok(())
        })?;
        self.versions.remove_empty();
        Ok(end.has_more)
    }
}

/// The cutoff below which predictions are removed.
struct RetentionCutoff {
    before: u128,
    has_more: bool,
}

/// Returns the cutoff below which predictions expire. `None` if none expires.
fn retention_cutoff(
    tables: &Tables<'_>,
    cutoff: u128,
    too_many: u64,
) -> Result<Option<RetentionCutoff>, StoreError> {
    let mut rows = 0;
    let mut last = None;
    for found in tables.predictions.iter()? {
        let (id, value) = found?;
        let is_over = id.value() < cutoff || rows < too_many;
        let has_more = is_over && rows >= MAX_EXPIRED_PER_TRANSACTION;
        if !is_over || has_more {
            return Ok(last.map(|_| RetentionCutoff { before: id.value(), has_more }));
        }
        rows += Record::decode(value.value())?.rows() as u64;
        last = Some(id.value());
    }
    Ok(last.map(|_| RetentionCutoff { before: u128::MAX, has_more: false }))
}
