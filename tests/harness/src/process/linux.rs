//! The figures that sysinfo does not provide: processor time with that of ended children (a server's worker
//! processes come and go), peaks of memory, proportional set sizes, and processor affinity.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

use procfs::process::{MMapExtension, Process};
use procfs::{ProcError, ProcResult};
use rustix::fs::{Advice, fadvise};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::CpuSet;

use super::Usage;

pub fn cpu(id: u32) -> io::Result<Duration> {
    let stat = process(id).and_then(|process| process.stat()).map_err(failed)?;
    let of_children = [stat.cutime, stat.cstime].into_iter().filter_map(|ticks| u64::try_from(ticks).ok());
    let ticks = stat.utime + stat.stime + of_children.sum::<u64>();
    Ok(Duration::from_secs_f64(ticks as f64 / procfs::ticks_per_second() as f64))
}

pub fn usage(id: u32) -> io::Result<Usage> {
    let status = process(id).and_then(|process| process.status()).map_err(failed)?;
    // A process that has ended and is not waited for yet holds no memory.
    let bytes = |kib: Option<u64>| kib.unwrap_or_default() * 1024;
    Ok(Usage { cpu: cpu(id)?, resident_bytes: bytes(status.vmrss), peak_bytes: bytes(status.vmhwm) })
}

pub fn raise_file_limit() -> Option<u64> {
    let limits = getrlimit(Resource::Nofile);
    // If it cannot be raised it stays.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limits.maximum, ..limits });
    getrlimit(Resource::Nofile).current
}

/// Returns the proportional set size.
pub fn proportional_bytes(id: u32) -> io::Result<u64> {
    let rollup = process(id).and_then(|process| process.smaps_rollup()).map_err(failed)?;
    let sizes = rollup.memory_map_rollup.iter().map(|map| &map.extension);
    Ok(sizes.filter_map(|MMapExtension { map, .. }| map.get("Pss")).sum())
}

pub fn reset_peak(id: u32) -> io::Result<()> {
    // proc_pid_clear_refs(5): 5 resets the peak of the resident memory.
    std::fs::write(format!("/proc/{id}/clear_refs"), "5")
}

/// Returns the processors on which this thread may run; empty if the system does not say.
pub fn processors() -> Vec<usize> {
    let Ok(set) = rustix::thread::sched_getaffinity(None) else { return Vec::new() };
    (0..CpuSet::MAX_CPU).filter(|&processor| set.is_set(processor)).collect()
}

/// Restricts this thread, and what it starts from now on, to these processors. Returns whether the system did
/// so.
pub fn pin(processors: &[usize]) -> bool {
    let mut set = CpuSet::new();
    for &processor in processors {
        set.set(processor);
    }
    rustix::thread::sched_setaffinity(None, &set).is_ok()
}

/// Evicts a file from the system's page cache. What a program has mapped stays.
///
/// # Errors
/// The system's.
pub fn evict_from_page_cache(file: &Path) -> io::Result<()> {
    fadvise(&File::open(file)?, 0, None, Advice::DontNeed)?;
    Ok(())
}

fn process(id: u32) -> ProcResult<Process> {
    Process::new(i32::try_from(id).unwrap_or(i32::MAX))
}

fn failed(error: ProcError) -> io::Error {
    io::Error::other(error)
}
