use std::io;
use std::path::Path;
use std::time::Duration;

use super::{Held, Told, Used};

pub fn children(_: u32) -> Vec<u32> {
    Vec::new()
}

pub fn cpu(_: u32) -> io::Result<Duration> {
    Err(io::ErrorKind::Unsupported.into())
}

pub fn used(_: u32) -> io::Result<Used> {
    Err(io::ErrorKind::Unsupported.into())
}

pub fn held(_: u32) -> io::Result<Held> {
    Err(io::ErrorKind::Unsupported.into())
}

pub fn tell(_: u32, _: Told) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

pub fn raise_file_limit() -> Option<u64> {
    None
}

pub fn proportional_bytes(_: u32) -> io::Result<u64> {
    Err(io::ErrorKind::Unsupported.into())
}

pub fn forget_peak(_: u32) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

pub fn kill(_: u32) {}

/// The processors on which this thread may run; empty where the system does not tell.
pub fn processors() -> Vec<usize> {
    Vec::new()
}

/// Lets this thread, and what it starts from now, run on these processors alone: whether the system did so.
pub fn pin(_: &[usize]) -> bool {
    false
}

/// Has the system drop what it keeps of a file in memory. What a program has mapped stays.
pub fn drop_from_memory(_: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
