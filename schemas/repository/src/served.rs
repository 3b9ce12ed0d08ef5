//! What engines serve, by what the repository says.

use crate::DEFAULT_ALIAS;
use crate::inventory::ModelStatus;
use crate::pointer::{Pointer, PointerChange};
use crate::watch::Target;

impl ModelStatus {
    /// Returns the version that an engine serves that follows `alias`: the pin's, else the alias's, else the
    /// highest.
    pub fn served(&self, alias: &str) -> Option<u64> {
        let pinned = self.pin.as_ref().map(|pin| pin.version);
        let named = self.aliases.iter().find(|found| found.alias == alias).map(|found| found.version);
        let highest = self.versions.iter().map(|found| found.version).max();
        Target::decide(pinned, (alias, named), highest).map(|target| target.version)
    }

    /// Returns the versions that engines serve before and after a move: those that follow the alias that
    /// moves, or the default alias if the pin moves. Both are the same if engines notice nothing.
    pub fn served_by_move(&self, change: &PointerChange) -> (Option<u64>, Option<u64>) {
        let pointer = change.pointer();
        let alias = match &pointer {
            Pointer::Alias(alias) => alias.as_str(),
            Pointer::Pin => DEFAULT_ALIAS,
        };
        let before = self.served(alias);
        let mut after = self.clone();
        match pointer {
            Pointer::Pin => after.pin = None,
            Pointer::Alias(_) => after.aliases.retain(|found| found.alias != alias),
        }
        let after = match (change.to, &pointer, &after.pin) {
            // A pin hides what an alias names.
            (Some(_), Pointer::Alias(_), Some(pin)) => Some(pin.version),
            (Some(to), _, _) => Some(to),
            (None, _, _) => after.served(alias),
        };
        (before, after)
    }
}
