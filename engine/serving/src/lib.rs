//! The models that are served, and how they come into service.
//!
//! Requests submit rows to a [`batcher`]. Models flow the other way: the [`watcher`] observes a change in the
//! repository and fetches the version, the [`loader`] verifies it, and the [`registry`] is where both meet.

pub mod backoff;
pub mod batcher;
#[cfg(any(test, feature = "test-util"))]
pub mod fixtures;
pub mod loader;
pub mod monitor;
pub mod registry;
pub mod reload;
pub mod version;
pub mod watcher;
