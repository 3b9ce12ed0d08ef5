use std::collections::BTreeSet;

use onnward_repository::ModelSnapshot;

use crate::registry::ModelEntry;

/// Returns the versions to keep loaded, most important first: the serving one, the previous one, and those
/// that aliases name, up to `limit`.
pub fn retained_versions(entry: &ModelEntry, snapshot: &ModelSnapshot, limit: usize) -> Vec<u64> {
    let serving = entry.serving.as_ref().map(|serving| serving.model.version);
    // A version removed from the repository is not a rollback target.
    let previous = entry.previous.filter(|version| snapshot.versions.contains_key(version));
    let named = snapshot.aliases.values().copied().filter(|version| snapshot.versions.contains_key(version));
    let mut retained = Vec::new();
    for version in serving.into_iter().chain(previous).chain(named) {
        if retained.len() < limit && !retained.contains(&version) {
            retained.push(version);
        }
    }
    retained
}

/// Returns the retained versions that are not loaded.
pub fn versions_to_load(entry: &ModelEntry, retained: &[u64]) -> Vec<u64> {
    let loaded: BTreeSet<u64> = entry.loaded_versions().into_iter().collect();
    retained.iter().copied().filter(|version| !loaded.contains(version)).collect()
}
