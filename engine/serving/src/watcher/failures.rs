use std::collections::BTreeMap;
use std::time::Duration;

use onnward_repository::Stamp;
use tokio::time::Instant;

use super::pace::backoff;
use crate::registry::Problem;
use crate::watcher::WatchConfig;

/// The versions of a model that failed to load, so that none is tried again without a reason: a wrong file stays wrong
/// until it changes, a store that failed may answer next time.
#[derive(Debug, Default)]
pub struct Failures {
    by_version: BTreeMap<u64, Failure>,
}

#[derive(Debug)]
struct Failure {
    problem: Problem,
    stamp: Option<Stamp>,
    /// Absent where trying again cannot help.
    next_try: Option<Instant>,
    in_a_row: u32,
}

impl Failures {
    /// Whether there is a reason to try a version whose files have this stamp.
    pub fn allow(&self, version: u64, stamp: Option<&Stamp>) -> bool {
        let Some(failure) = self.by_version.get(&version) else { return true };
        let is_changed = failure.stamp.as_ref() != stamp;
        is_changed || failure.next_try.is_some_and(|next_try| Instant::now() >= next_try)
    }

    /// What went wrong with a version when it was last tried.
    pub fn problem(&self, version: u64) -> Option<&Problem> {
        self.by_version.get(&version).map(|failure| &failure.problem)
    }

    /// Notes a version's failure; one that may pass is tried again, later each time.
    pub fn add(
        &mut self,
        version: u64,
        problem: Problem,
        stamp: Option<&Stamp>,
        may_pass: bool,
        config: WatchConfig,
    ) {
        let before = self.by_version.get(&version).map_or(0, |failure| failure.in_a_row);
        let in_a_row = before.saturating_add(1);
        let pause: Duration = backoff(config, before);
        let next_try = may_pass.then(|| Instant::now() + pause);
        self.by_version.insert(version, Failure { problem, stamp: stamp.cloned(), next_try, in_a_row });
    }

    /// Forgets what failed of a version.
    pub fn forget(&mut self, version: u64) {
        self.by_version.remove(&version);
    }

    /// Forgets everything that failed for good, so that it is tried again.
    pub fn forget_all(&mut self) {
        self.by_version.clear();
    }
}
