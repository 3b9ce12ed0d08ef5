//! A real S3 server for the tests, where SeaweedFS has been fetched.

use std::sync::{Arc, Mutex, PoisonError, Weak};

pub use onnward_harness::seaweedfs::SeaweedFs;

use crate::support::root;

/// Returns the server that all running tests share, each with a prefix of its own. It is killed when the last
/// of them ends. Returns `None` only if `WITHOUT_SEAWEEDFS` is set, so that tests cannot pass because the
/// program is missing.
pub fn start() -> Option<Arc<SeaweedFs>> {
    static SHARED: Mutex<Weak<SeaweedFs>> = Mutex::new(Weak::new());
    // A test that could not start the server has failed and said why.
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(server) = shared.upgrade() {
        return Some(server);
    }
    let program = root().join("target/seaweedfs/bin/weed");
    if !program.is_file() {
        let allowed = std::env::var_os("WITHOUT_SEAWEEDFS").is_some();
        assert!(allowed, "run `make test`, which downloads SeaweedFS: {} is missing", program.display());
        eprintln!("Left out, as WITHOUT_SEAWEEDFS allows: tests that need an S3 server.");
        return None;
    }
    let server = Arc::new(SeaweedFs::start(&program).unwrap());
    *shared = Arc::downgrade(&server);
    Some(server)
}
