//! What Linux tells of a process and those that it started, and on which processors a thread may run. Elsewhere there is
//! nothing to be known.

#[cfg_attr(target_os = "linux", path = "process/linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "process/elsewhere.rs")]
mod system;

use std::io;
use std::time::Duration;

use crate::error::HarnessError;

pub use system::{drop_from_memory, pin, processors};

/// A process and all that descend from it. Where there is no `/proc` it has used nothing.
#[derive(Debug, Clone)]
pub struct ProcessTree {
    ids: Vec<u32>,
}

/// What one process has used so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Used {
    /// Processor time, in user and kernel mode, with what ended children of it had used.
    pub cpu: Duration,
    /// Its resident memory, in bytes.
    pub resident_bytes: u64,
    /// The largest that its resident memory was, in bytes.
    pub peak_bytes: u64,
}

/// What one process holds now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Its resident memory, in bytes.
    pub resident_bytes: u64,
    /// Its open files, sockets included.
    pub file_handles: usize,
    /// Its threads.
    pub threads: u64,
}

/// What a process can be told by a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// To end in its own way: SIGTERM.
    End,
    /// To stand still: SIGSTOP.
    StandStill,
    /// To go on after that: SIGCONT.
    GoOn,
}

impl Held {
    /// What a process holds.
    ///
    /// # Errors
    /// [`HarnessError::System`] if it has ended, or where there is no `/proc`.
    pub fn by(id: u32) -> Result<Self, HarnessError> {
        system::held(id).map_err(told_of(id))
    }
}

/// Sends a process a signal.
///
/// # Errors
/// [`HarnessError::System`] if it is not there, or where this is not Linux.
pub fn tell(id: u32, what: Told) -> Result<(), HarnessError> {
    system::tell(id, what).map_err(HarnessError::system(format!("signal process {id}")))
}

/// Lets this process, and what it starts from now on, have as many open files as the system allows: how many those are.
pub fn raise_file_limit() -> Option<u64> {
    system::raise_file_limit()
}

impl ProcessTree {
    /// The process and those that descend from it now.
    pub fn of(id: u32) -> Self {
        let mut ids = vec![id];
        let mut seen = 0;
        while let Some(parent) = ids.get(seen) {
            let children = system::children(*parent);
            ids.extend(children);
            seen += 1;
        }
        Self { ids }
    }

    /// Those that descend from the process.
    pub fn descendants(&self) -> &[u32] {
        self.ids.get(1..).unwrap_or_default()
    }

    /// Kills all but the process itself.
    pub fn kill_descendants(&self) {
        self.descendants().iter().for_each(|&id| system::kill(id));
    }

    /// How much processor time they have used, in user and kernel mode, with what ended children of theirs had used.
    pub fn cpu(&self) -> Duration {
        self.ids.iter().filter_map(|&id| system::cpu(id).ok()).sum()
    }

    /// How much memory they hold, in bytes: of one process the resident set; of several the proportional set sizes, in
    /// which a page that n processes share counts as an nth for each.
    pub fn resident(&self) -> Option<u64> {
        match self.ids.as_slice() {
            [id] => Some(system::used(*id).ok()?.resident_bytes),
            ids => Some(ids.iter().filter_map(|&id| system::proportional_bytes(id).ok()).sum()),
        }
    }
}

impl Used {
    /// What a process has used.
    ///
    /// # Errors
    /// [`HarnessError::System`] if it has ended, or where there is no `/proc`.
    pub fn by(id: u32) -> Result<Self, HarnessError> {
        system::used(id).map_err(told_of(id))
    }
}

/// Lets the peak of a process's memory begin anew at what it holds now.
///
/// # Errors
/// As [`Used::by`].
pub fn forget_peak(id: u32) -> Result<(), HarnessError> {
    system::forget_peak(id).map_err(told_of(id))
}

fn told_of(id: u32) -> impl FnOnce(io::Error) -> HarnessError {
    HarnessError::system(format!("learn from the system what process {id} uses"))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::process::{Command, Stdio};
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
    }

    #[test]
    fn a_peak_that_is_forgotten_begins_anew() {
        let peak = || Used::by(std::process::id()).unwrap().peak_bytes;
        let large = vec![1u8; 64 << 20];
        let before = peak();
        drop(std::hint::black_box(large));
        forget_peak(std::process::id()).unwrap();
        assert!(peak() + (32 << 20) < before, "{before} bytes, then {}", peak());
        assert!(Used::by(u32::MAX).is_err());
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
