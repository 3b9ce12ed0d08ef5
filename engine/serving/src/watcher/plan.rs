use std::collections::BTreeSet;

use onnward_repository::ModelSnapshot;

use crate::registry::Slot;

/// The versions that stay loaded, the most needed first: the one that is served, the one before it, those that aliases
/// name, as many as `limit`.
pub fn kept(slot: &Slot, look: &ModelSnapshot, limit: usize) -> Vec<u64> {
    let serving = slot.serving.as_ref().map(|serving| serving.model.version);
    // A version that is no longer there is not gone back to.
    let previous = slot.previous.filter(|version| look.versions.contains_key(version));
    let named = look.aliases.values().copied().filter(|version| look.versions.contains_key(version));
    let mut kept = Vec::new();
    for version in serving.into_iter().chain(previous).chain(named) {
        if kept.len() < limit && !kept.contains(&version) {
            kept.push(version);
        }
    }
    kept
}

/// Those of the kept versions that are not loaded.
pub fn missing(slot: &Slot, kept: &[u64]) -> Vec<u64> {
    let loaded: BTreeSet<u64> = slot.loaded().into_iter().collect();
    kept.iter().copied().filter(|version| !loaded.contains(version)).collect()
}
