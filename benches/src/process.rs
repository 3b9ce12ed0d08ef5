//! What Linux tells of a process and those that it started, and on which processors a thread may run.

use std::fs;
use std::time::Duration;

/// A process and all that descend from it. Where there is no `/proc` it has used nothing.
#[derive(Debug, Clone)]
pub struct ProcessTree {
    ids: Vec<u32>,
}

impl ProcessTree {
    /// The process and those that descend from it now.
    pub fn of(id: u32) -> Self {
        let mut ids = vec![id];
        let mut seen = 0;
        while let Some(parent) = ids.get(seen) {
            let children = children(*parent);
            ids.extend(children);
            seen += 1;
        }
        Self { ids }
    }

    /// How much processor time they have used, in user and kernel mode, with what ended children of theirs had used.
    pub fn cpu(&self) -> Duration {
        self.ids.iter().filter_map(|&id| cpu(id)).sum()
    }

    /// How much memory they hold, in bytes: of one process the resident set; of several the proportional set sizes, in
    /// which a page that n processes share counts as an nth for each.
    pub fn resident(&self) -> Option<u64> {
        match self.ids.as_slice() {
            [id] => field_of(&format!("/proc/{id}/status"), "VmRSS:"),
            ids => {
                Some(ids.iter().filter_map(|id| field_of(&format!("/proc/{id}/smaps_rollup"), "Pss:")).sum())
            }
        }
    }
}

fn children(id: u32) -> Vec<u32> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{id}/task")) else { return Vec::new() };
    let lists =
        tasks.filter_map(Result::ok).filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<u32>>())
        .collect()
}

/// `utime`, `stime`, `cutime` and `cstime` of `/proc/[pid]/stat` (proc(5)).
#[cfg(target_os = "linux")]
fn cpu(id: u32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The second field is a name, which may hold blanks and brackets.
    let (_, fields) = stat.rsplit_once(')')?;
    let times = fields.split_whitespace().skip(11).take(4);
    let ticks: u64 = times.filter_map(|time| time.parse::<u64>().ok()).sum();
    Some(Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64))
}

#[cfg(not(target_os = "linux"))]
fn cpu(_: u32) -> Option<Duration> {
    None
}

/// A field of a file of `/proc` that is told in KiB, in bytes.
fn field_of(path: &str, name: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// The processors on which this thread may run; empty where the system does not tell.
#[cfg(target_os = "linux")]
pub fn processors() -> Vec<usize> {
    let Ok(set) = rustix::thread::sched_getaffinity(None) else { return Vec::new() };
    (0..rustix::thread::CpuSet::MAX_CPU).filter(|&processor| set.is_set(processor)).collect()
}

/// Lets this thread, and what it starts from now, run on these processors alone: whether the system did so.
#[cfg(target_os = "linux")]
pub fn pin(processors: &[usize]) -> bool {
    let mut set = rustix::thread::CpuSet::new();
    for &processor in processors {
        set.set(processor);
    }
    rustix::thread::sched_setaffinity(None, &set).is_ok()
}

/// The processors on which this thread may run; empty where the system does not tell.
#[cfg(not(target_os = "linux"))]
pub fn processors() -> Vec<usize> {
    Vec::new()
}

/// Lets this thread, and what it starts from now, run on these processors alone: whether the system did so.
#[cfg(not(target_os = "linux"))]
pub fn pin(_: &[usize]) -> bool {
    false
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
        while ProcessTree::of(shell.id()).ids.len() < 2 && start.elapsed() < Duration::from_secs(5) {}
        let tree = ProcessTree::of(shell.id());
        assert_eq!(tree.ids.len(), 2);
        assert!(tree.resident().unwrap() > 0);
        shell.kill().unwrap();
        shell.wait().unwrap();
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
