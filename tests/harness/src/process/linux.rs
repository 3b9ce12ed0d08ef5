use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

use procfs::process::{MMapExtension, Process};
use procfs::{ProcError, ProcResult};
use rustix::fs::{Advice, fadvise};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};
use rustix::thread::CpuSet;

use super::{Held, Told, Used};

/// What the process's threads have started.
pub fn children(id: u32) -> Vec<u32> {
    let tasks = process(id).and_then(|process| process.tasks());
    tasks
        .into_iter()
        .flatten()
        .filter_map(|task| task.and_then(|task| task.children()).ok())
        .flatten()
        .collect()
}

pub fn cpu(id: u32) -> io::Result<Duration> {
    let stat = process(id).and_then(|process| process.stat()).map_err(failed)?;
    let of_children = [stat.cutime, stat.cstime].into_iter().filter_map(|ticks| u64::try_from(ticks).ok());
    let ticks = stat.utime + stat.stime + of_children.sum::<u64>();
    Ok(Duration::from_secs_f64(ticks as f64 / procfs::ticks_per_second() as f64))
}

pub fn used(id: u32) -> io::Result<Used> {
    let status = process(id).and_then(|process| process.status()).map_err(failed)?;
    // A process that has ended and is not waited for yet holds none.
    let bytes = |kib: Option<u64>| kib.unwrap_or_default() * 1024;
    Ok(Used { cpu: cpu(id)?, resident_bytes: bytes(status.vmrss), peak_bytes: bytes(status.vmhwm) })
}

pub fn held(id: u32) -> io::Result<Held> {
    let process = process(id).map_err(failed)?;
    let status = process.status().map_err(failed)?;
    let file_handles = process.fd_count().map_err(failed)?;
    let resident_bytes = status.vmrss.unwrap_or_default() * 1024;
    Ok(Held { resident_bytes, file_handles, threads: status.threads })
}

pub fn tell(id: u32, what: Told) -> io::Result<()> {
    let signal = match what {
        Told::End => Signal::TERM,
        Told::StandStill => Signal::STOP,
        Told::GoOn => Signal::CONT,
    };
    let id = i32::try_from(id).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::NotFound)?;
    Ok(kill_process(id, signal)?)
}

pub fn raise_file_limit() -> Option<u64> {
    let limits = getrlimit(Resource::Nofile);
    // Where it cannot be raised it stays.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limits.maximum, ..limits });
    getrlimit(Resource::Nofile).current
}

/// The proportional set size.
pub fn proportional_bytes(id: u32) -> io::Result<u64> {
    let rollup = process(id).and_then(|process| process.smaps_rollup()).map_err(failed)?;
    let sizes = rollup.memory_map_rollup.iter().map(|map| &map.extension);
    Ok(sizes.filter_map(|MMapExtension { map, .. }| map.get("Pss")).sum())
}

pub fn forget_peak(id: u32) -> io::Result<()> {
    // proc_pid_clear_refs(5): 5 is the peak of the resident memory.
    std::fs::write(format!("/proc/{id}/clear_refs"), "5")
}

/// Kills a process; one that has ended already needs no killing.
pub fn kill(id: u32) {
    if let Some(id) = i32::try_from(id).ok().and_then(Pid::from_raw) {
        let _ = kill_process(id, Signal::KILL);
    }
}

/// The processors on which this thread may run; empty where the system does not tell.
pub fn processors() -> Vec<usize> {
    let Ok(set) = rustix::thread::sched_getaffinity(None) else { return Vec::new() };
    (0..CpuSet::MAX_CPU).filter(|&processor| set.is_set(processor)).collect()
}

/// Lets this thread, and what it starts from now, run on these processors alone: whether the system did so.
pub fn pin(processors: &[usize]) -> bool {
    let mut set = CpuSet::new();
    for &processor in processors {
        set.set(processor);
    }
    rustix::thread::sched_setaffinity(None, &set).is_ok()
}

/// Has the system drop what it keeps of a file in memory. What a program has mapped stays.
pub fn drop_from_memory(file: &Path) -> io::Result<()> {
    fadvise(&File::open(file)?, 0, None, Advice::DontNeed)?;
    Ok(())
}

fn process(id: u32) -> ProcResult<Process> {
    Process::new(i32::try_from(id).unwrap_or(i32::MAX))
}

fn failed(error: ProcError) -> io::Error {
    io::Error::other(error)
}
