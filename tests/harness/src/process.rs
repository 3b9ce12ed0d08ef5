//! Processes: what they use, their descendants, signals, and the processors on which threads may run.

#[cfg_attr(target_os = "linux", path = "process/linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "process/other_os.rs")]
mod platform;

use std::io;
use std::process::{Child, Command};
use std::thread;
use std::time::Duration;

use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

use crate::error::HarnessError;

pub use platform::{evict_from_page_cache, pin, processors};
pub use sysinfo::Signal;

/// A process and all its descendants.
#[derive(Debug, Clone)]
pub struct ProcessTree {
    ids: Vec<u32>,
}

/// The resources that one process has used so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Processor time in user and kernel mode, with that of its ended children.
    pub cpu: Duration,
    /// Resident memory, in bytes.
    pub resident_bytes: u64,
    /// The peak of resident memory, in bytes.
    pub peak_bytes: u64,
}

/// The resources that one process holds now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resources {
    /// Resident memory, in bytes.
    pub resident_bytes: u64,
    /// Open files, including sockets.
    pub file_handles: usize,
    /// Threads.
    pub threads: usize,
}

impl Resources {
    /// Returns what a process holds.
    ///
    /// # Errors
    /// [`HarnessError::System`] if the process has ended.
    pub fn of(id: u32) -> Result<Self, HarnessError> {
        let refresh = ProcessRefreshKind::nothing().with_memory().with_tasks();
        let system = refreshed(ProcessesToUpdate::Some(&[Pid::from_u32(id)]), refresh)?;
        let resources = system.process(Pid::from_u32(id)).and_then(|process| {
            // The main thread is not among the tasks.
            let threads = 1 + process.tasks().map_or(0, |tasks| tasks.len());
            Some(Self { resident_bytes: process.memory(), file_handles: process.open_files()?, threads })
        });
        resources.ok_or_else(|| cannot_inspect(id)(io::ErrorKind::NotFound.into()))
    }
}

impl Usage {
    /// Returns what a process has used.
    ///
    /// # Errors
    /// [`HarnessError::System`] if the process has ended, or on another system than Linux.
    pub fn of(id: u32) -> Result<Self, HarnessError> {
        platform::usage(id).map_err(cannot_inspect(id))
    }
}

/// Starts a program on these processors, or on all if there are none.
///
/// # Errors
/// The system's.
pub fn spawn_on(command: &mut Command, processors: &[usize]) -> io::Result<Child> {
    // A process inherits the affinity of the thread that starts it.
    let start = || {
        let _ = processors.is_empty() || pin(processors);
        command.spawn()
    };
    let spawned = thread::scope(|scope| scope.spawn(start).join());
    spawned.unwrap_or_else(|_| Err(io::Error::other("the thread that starts it has failed")))
}

/// Sends a signal to a process.
///
/// # Errors
/// [`HarnessError::System`] if the process does not exist or the system does not have the signal.
pub fn send_signal(id: u32, signal: Signal) -> Result<(), HarnessError> {
    let pid = Pid::from_u32(id);
    let system = refreshed(ProcessesToUpdate::Some(&[pid]), process_alone())?;
    let sent = system.process(pid).and_then(|process| process.kill_with(signal));
    let failed = HarnessError::system(format!("send {signal} to process {id}"));
    if sent == Some(true) { Ok(()) } else { Err(failed(io::ErrorKind::NotFound.into())) }
}

/// Raises the limit of open files of this process, and of what it starts from now on, to the most that the
/// system allows. Returns the limit.
pub fn raise_file_limit() -> Option<u64> {
    platform::raise_file_limit()
}

impl ProcessTree {
    /// Finds the descendants that a process has now.
    ///
    /// ```
    /// use onnward_harness::process::ProcessTree;
    ///
    /// let tree = ProcessTree::of(std::process::id());
    /// assert!(tree.descendants().is_empty());
    /// ```
    pub fn of(id: u32) -> Self {
        let mut ids = vec![id];
        // Where processes cannot be listed, no descendants are known.
        let Ok(system) = refreshed(ProcessesToUpdate::All, process_alone()) else {
            return Self { ids };
        };
        let mut seen = 0;
        while let Some(&parent) = ids.get(seen) {
            let parent = Some(Pid::from_u32(parent));
            let children = system.processes().iter().filter(|(_, process)| process.parent() == parent);
            ids.extend(children.map(|(pid, _)| pid.as_u32()));
            seen += 1;
        }
        Self { ids }
    }

    /// Returns the descendants.
    pub fn descendants(&self) -> &[u32] {
        self.ids.get(1..).unwrap_or_default()
    }

    /// Kills all descendants, but not the process itself.
    pub fn kill_descendants(&self) {
        for &id in self.descendants() {
            // A process that has ended needs no killing.
            let _ = send_signal(id, Signal::Kill);
        }
    }

    /// Returns the processor time that the processes have used in user and kernel mode, with that of their
    /// ended children.
    pub fn cpu(&self) -> Duration {
        self.ids.iter().filter_map(|&id| platform::cpu(id).ok()).sum()
    }

    /// Returns the memory of the processes, in bytes. For one process this is the resident set. For several
    /// it is the sum of proportional set sizes, in which each of n processes that share a page counts an nth
    /// of it.
    pub fn resident(&self) -> Option<u64> {
        match self.ids.as_slice() {
            [id] => Some(Resources::of(*id).ok()?.resident_bytes),
            ids => Some(ids.iter().filter_map(|&id| platform::proportional_bytes(id).ok()).sum()),
        }
    }
}

/// Resets the peak of a process's memory to what it holds now.
///
/// # Errors
/// As [`Usage::of`].
pub fn reset_peak(id: u32) -> Result<(), HarnessError> {
    platform::reset_peak(id).map_err(cannot_inspect(id))
}

/// Returns what to refresh if a process alone is wanted. By default sysinfo lists its threads like children.
fn process_alone() -> ProcessRefreshKind {
    ProcessRefreshKind::nothing().without_tasks()
}

fn refreshed(processes: ProcessesToUpdate<'_>, refresh: ProcessRefreshKind) -> Result<System, HarnessError> {
    let mut system = System::new()
        .map_err(|error| HarnessError::system("list processes")(io::Error::other(error.to_string())))?;
    system.refresh_processes_specifics(processes, true, refresh);
    Ok(system)
}

fn cannot_inspect(id: u32) -> impl FnOnce(io::Error) -> HarnessError {
    HarnessError::system(format!("inspect process {id}"))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::process::Stdio;
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_process_and_its_child_are_watched() {
        let own = ProcessTree::of(std::process::id());
        assert!(own.resident().unwrap() > 1024 * 1024);
        let mut shell = Command::new("sh").args(["-c", "sleep 5; :"]).stdout(Stdio::null()).spawn().unwrap();
        let start = Instant::now();
        while ProcessTree::of(shell.id()).descendants().is_empty() && start.elapsed() < Duration::from_secs(5)
        {
        }
        let tree = ProcessTree::of(shell.id());
        assert_eq!(tree.descendants().len(), 1);
        assert!(tree.resident().unwrap() > 0);
        tree.kill_descendants();
        // The shell goes on where its command was killed, and ends.
        assert!(shell.wait().unwrap().success());
        assert!(start.elapsed() < Duration::from_secs(5), "the command has ended by itself");
        assert!(send_signal(shell.id(), Signal::Term).is_err());
    }

    #[test]
    fn threads_are_no_descendants() {
        let (sender, receiver) = std::sync::mpsc::channel::<()>();
        thread::scope(|scope| {
            scope.spawn(move || receiver.recv());
            let threads = std::fs::read_dir("/proc/self/task").unwrap();
            let ids: Vec<u32> = threads
                .map(|thread| thread.unwrap().file_name().to_str().unwrap().parse().unwrap())
                .collect();
            let own = ProcessTree::of(std::process::id());
            assert!(
                ids.len() > 1 && !own.descendants().iter().any(|id| ids.contains(id)),
                "{own:?}: {ids:?}"
            );
            drop(sender);
        });
    }

    #[test]
    fn threads_and_open_files_are_counted() {
        let own = || Resources::of(std::process::id()).unwrap();
        let (sender, receiver) = std::sync::mpsc::channel::<()>();
        let files: Vec<_> = (0..100).map(|_| std::fs::File::open("/dev/null").unwrap()).collect();
        let more = own();
        std::thread::scope(|scope| {
            scope.spawn(move || receiver.recv());
            assert!(own().threads >= 2 && own().file_handles >= 100, "{more:?}");
            drop(sender);
        });
        drop(files);
        assert!(Resources::of(u32::MAX).is_err());
    }

    #[test]
    fn a_reset_peak_begins_anew() {
        let peak = || Usage::of(std::process::id()).unwrap().peak_bytes;
        let large = vec![1u8; 64 << 20];
        let before = peak();
        drop(std::hint::black_box(large));
        reset_peak(std::process::id()).unwrap();
        assert!(peak() + (32 << 20) < before, "{before} bytes, then {}", peak());
        assert!(Usage::of(u32::MAX).is_err());
    }

    #[test]
    fn work_shows_as_processor_time() {
        let own = ProcessTree::of(std::process::id());
        let before = own.cpu();
        let start = Instant::now();
        while own.cpu() < before + Duration::from_millis(20) {
            assert!(start.elapsed() < Duration::from_secs(10), "no processor time is counted");
        }
    }

    #[test]
    fn a_thread_is_pinned_and_its_siblings_are_not() {
        let all = processors();
        let first = all[..1].to_vec();
        let pinned = first.clone();
        let seen = std::thread::spawn(move || pin(&pinned).then(processors)).join().unwrap();
        assert_eq!(seen, Some(first));
        assert_eq!(processors(), all);
    }
}
