//! A real S3 server for the tests, where SeaweedFS has been fetched.

use std::sync::{Arc, Mutex, PoisonError, Weak};

pub use onnward_harness::seaweedfs::SeaweedFs;

use crate::support::root;

/// The server of all tests that ask at the same time, each for a prefix of its own; it is killed when the last of them
/// ends. `None` only if `WITHOUT_SEAWEEDFS` is set, so that a missing program cannot make the tests pass by testing nothing.
pub fn start() -> Option<Arc<SeaweedFs>> {
    static SHARED: Mutex<Weak<SeaweedFs>> = Mutex::new(Weak::new());
    // A test that could not start it has told why.
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(server) = shared.upgrade() {
        return Some(server);
    }
    let program = root().join("target/seaweedfs/bin/weed");
    if !program.is_file() {
        let allowed = std::env::var_os("WITHOUT_SEAWEEDFS").is_some();
        assert!(allowed, "run `make test`, which fetches SeaweedFS: {} is not there", program.display());
        eprintln!("Left out, as WITHOUT_SEAWEEDFS allows: what needs an S3 server.");
        return None;
    }
    let server = Arc::new(SeaweedFs::start(&program).unwrap());
    *shared = Arc::downgrade(&server);
    Some(server)
}
