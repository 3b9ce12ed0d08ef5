//! Other systems than Linux: what is measured there is unknown.

use std::io;
use std::path::Path;
use std::time::Duration;

use super::Usage;

pub fn cpu(_: u32) -> io::Result<Duration> {
    Err(io::ErrorKind::Unsupported.into())
}

pub fn usage(_: u32) -> io::Result<Usage> {
    Err(io::ErrorKind::Unsupported.into())
}

pub fn raise_file_limit() -> Option<u64> {
    None
}

pub fn proportional_bytes(_: u32) -> io::Result<u64> {
    Err(io::ErrorKind::Unsupported.into())
}

pub fn reset_peak(_: u32) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Returns the processors on which this thread may run; empty, since the system does not say.
pub fn processors() -> Vec<usize> {
    Vec::new()
}

/// Restricts this thread, and what it starts from now on, to these processors. Returns whether the system did
/// so.
pub fn pin(_: &[usize]) -> bool {
    false
}

/// Evicts a file from the system's page cache. What a program has mapped stays.
///
/// # Errors
/// Always.
pub fn evict_from_page_cache(_: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
