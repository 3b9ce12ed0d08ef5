use std::collections::BTreeMap;

use onnward_repository::Stamp;
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::registry::LoadFailure;

/// The versions of a model that failed to load. A wrong file stays wrong until it changes, while a store that
/// failed may answer next time. So no version is retried without a reason.
#[derive(Debug, Default)]
pub struct Failures {
    by_version: BTreeMap<u64, FailedVersion>,
    /// Whether the version that was served last could not be loaded from the cache.
    cached_failed: bool,
}

#[derive(Debug)]
struct FailedVersion {
    failure: LoadFailure,
    stamp: Option<Stamp>,
    /// The time of the next try. Absent if a retry cannot help.
    retry_at: Option<Instant>,
    consecutive: u32,
}

impl Failures {
    /// Returns whether to try a version whose files have this stamp.
    pub fn may_retry(&self, version: u64, stamp: Option<&Stamp>) -> bool {
        let Some(failed) = self.by_version.get(&version) else { return true };
        let is_changed = failed.stamp.as_ref() != stamp;
        is_changed || failed.retry_at.is_some_and(|retry_at| Instant::now() >= retry_at)
    }

    /// Returns a version's last failure.
    pub fn last(&self, version: u64) -> Option<&LoadFailure> {
        self.by_version.get(&version).map(|failed| &failed.failure)
    }

    /// Records a version's failure. A transient one is retried with increasing `backoff`; without, the
    /// version is retried only when its files change.
    pub fn record(
        &mut self,
        version: u64,
        failure: LoadFailure,
        stamp: Option<&Stamp>,
        backoff: Option<Backoff>,
    ) {
        let earlier = self.by_version.get(&version).map_or(0, |failed| failed.consecutive);
        let consecutive = earlier.saturating_add(1);
        let retry_at = backoff.map(|backoff| Instant::now() + backoff.pause(earlier));
        let failed = FailedVersion { failure, stamp: stamp.cloned(), retry_at, consecutive };
        self.by_version.insert(version, failed);
    }

    /// Returns whether to try the version that was served last, from the cache.
    pub fn may_try_cached(&self) -> bool {
        !self.cached_failed
    }

    /// Records the failure of the version that was served last, from the cache.
    pub fn record_cached(&mut self) {
        self.cached_failed = true;
    }

    /// Forgets the failures of a version.
    pub fn forget(&mut self, version: u64) {
        self.by_version.remove(&version);
    }

    /// Forgets all failures, so that every version is tried again.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}
