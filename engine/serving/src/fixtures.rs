//! Loaders on backends that score by a function, and fetched versions for them.

// A test fails by panicking.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc)]

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use onnward_repository::FetchedModel;
use onnward_runtime::Verifier;
use onnward_runtime::backend::Backend;
use onnward_runtime::fixtures::Fake;
use onnward_schemas::{Manifest, sha256_hex};
use onnward_telemetry::metrics::Metrics;

use crate::batcher::{BatchingConfig, Workers};
use crate::loader::Loader;

/// Returns the bytes of an artifact as they come out of a repository.
pub fn fetched(bytes: Vec<u8>) -> FetchedModel {
    let manifest =
        Manifest { sha256: sha256_hex(&bytes), size_bytes: bytes.len() as u64, ..Manifest::default() };
    FetchedModel {
        manifest,
        manifest_text: String::new(),
        signatures: Vec::new(),
        config: None,
        bytes,
        from_cache: false,
    }
}

/// Returns a loader on these backends.
pub fn loader(backends: &[Fake]) -> Loader {
    let backends = backends.iter().map(|fake| Arc::new(*fake) as Arc<dyn Backend>).collect();
    let batching = BatchingConfig {
        workers: 2,
        max_batch_rows: Some(256),
        max_queue_rows: 1000,
        max_queue_delay: Duration::ZERO,
    };
    Loader {
        verifier: Verifier { sessions: 2, max_batch_rows: Some(256), ..Verifier::new(backends) },
        estimate_rows: 100,
        batching,
        workers: Workers::new(NonZeroUsize::MIN.saturating_add(3)),
        drift: None,
        metrics: Arc::new(Metrics::new().unwrap()),
    }
}
