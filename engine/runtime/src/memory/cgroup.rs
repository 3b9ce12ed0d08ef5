//! Reads how much memory the process takes and may take: `cgroups(7)`, the kernel's
//! `admin-guide/cgroup-v2.rst` and `cgroup-v1/memory.rst`, `proc_meminfo(5)`.

use std::fs;
use std::path::{Path, PathBuf};

use super::MemoryBound;

/// The memory of the process and its neighbours in the tightest bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessMemory {
    /// The bound, in bytes.
    pub limit: u64,
    /// What is taken of it, without caches of files, which the system gives back.
    pub taken: u64,
    /// The origin of the bound.
    pub bound: MemoryBound,
}

/// The names of a control group's files, by the version of the interface.
struct Interface {
    limit: &'static str,
    usage: &'static str,
    /// The entries of `memory.stat` that the system gives back before it ends a process.
    caches: [&'static str; 2],
}

const V1: Interface = Interface {
    limit: "memory.limit_in_bytes",
    usage: "memory.usage_in_bytes",
    caches: ["total_inactive_file", "total_active_file"],
};
const V2: Interface =
    Interface { limit: "memory.max", usage: "memory.current", caches: ["inactive_file", "active_file"] };

/// Version 1 writes a limit near 2⁶³ where there is none.
const NO_LIMIT: u64 = 1 << 60;

impl ProcessMemory {
    /// Reads the bound with the least memory left. `None` where the system shows none.
    pub fn read() -> Option<Self> {
        Self::read_below(Path::new("/"))
    }

    /// Reads the files below `root` instead of those of the system.
    pub(super) fn read_below(root: &Path) -> Option<Self> {
        let groups = control_groups(root).into_iter().filter_map(|(folder, files)| of_group(&folder, &files));
        groups.chain(of_machine(root)).min_by_key(|memory| memory.limit.saturating_sub(memory.taken))
    }
}

/// Returns the folders of the process's control groups for memory, each with those above it.
fn control_groups(root: &Path) -> Vec<(PathBuf, Interface)> {
    let lines = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let mut groups = Vec::new();
    for line in lines.lines() {
        // hierarchy-ID:controller-list:cgroup-path
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let mount = root.join("sys/fs/cgroup");
        let (mount, is_v2) = match controllers.split(',').any(|controller| controller == "memory") {
            true => (mount.join("memory"), false),
            false if controllers.is_empty() => (mount, true),
            false => continue,
        };
        // In a container the path may be the host's, which is not mounted there.
        let own = mount.join(path.trim_start_matches('/'));
        let own = if own.is_dir() { own } else { mount.clone() };
        for folder in own.ancestors().take_while(|folder| folder.starts_with(&mount)) {
            groups.push((folder.to_owned(), if is_v2 { V2 } else { V1 }));
        }
    }
    groups
}

fn of_group(folder: &Path, files: &Interface) -> Option<ProcessMemory> {
    let number = |file: &str| fs::read_to_string(folder.join(file)).ok()?.trim().parse::<u64>().ok();
    // Without a limit, version 2 writes "max".
    let limit = number(files.limit).filter(|limit| *limit < NO_LIMIT)?;
    let stat = fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
    let caches = files.caches.iter().filter_map(|name| entry(&stat, name)).sum();
    let taken = number(files.usage)?.saturating_sub(caches);
    Some(ProcessMemory { limit, taken, bound: MemoryBound::ControlGroup })
}

fn of_machine(root: &Path) -> Option<ProcessMemory> {
    let text = fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let bytes = |name: &str| entry(&text, name).map(|kibibytes: u64| kibibytes.saturating_mul(1024));
    let (limit, available) = (bytes("MemTotal:")?, bytes("MemAvailable:")?);
    Some(ProcessMemory { limit, taken: limit.saturating_sub(available), bound: MemoryBound::Machine })
}

/// Returns the number after a name at the start of a line.
fn entry(text: &str, name: &str) -> Option<u64> {
    let mut words = text.lines().map(str::split_whitespace);
    words.find_map(|mut words| (words.next()? == name).then(|| words.next()?.parse().ok())?)
}
