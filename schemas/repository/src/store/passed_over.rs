//! Names in a store that cannot be those of a model's files.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// The maximum number of names that are reported.
const MAX_REPORTED: usize = 100;
/// The maximum number of characters of a name that are reported.
const MAX_NAME_CHARS: usize = 200;

/// Reports what a listing leaves out, once each.
#[derive(Debug, Default)]
pub struct PassedOver {
    reported: Mutex<BTreeSet<String>>,
}

impl PassedOver {
    /// Reports a name, unless it was reported before.
    pub fn report(&self, name: &str, problem: &str) {
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        if reported.len() >= MAX_REPORTED || reported.contains(name) {
            return;
        }
        let path: String = name.chars().take(MAX_NAME_CHARS).collect();
        tracing::warn!(?path, problem, "this is no file of a model, and is passed over");
        reported.insert(name.to_owned());
        if reported.len() == MAX_REPORTED {
            tracing::warn!("more names are passed over, and not reported");
        }
    }

    /// Returns the names that were reported.
    pub fn reported(&self) -> Vec<String> {
        self.reported.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}
