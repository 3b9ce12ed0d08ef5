//! On what machine and when it was measured.

use serde::Serialize;

/// A machine, as its system tells.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Machine {
    /// The processor's model.
    pub processor: String,
    /// How many processors there are.
    pub processors: usize,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// The kernel's name and version.
    pub kernel: String,
    /// The day, in UTC.
    pub date: String,
}

impl Machine {
    /// This one, today. What the system does not tell is empty.
    pub fn of_this() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let after = |text: &str, name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.map(|rest| rest.trim_start_matches([' ', '\t', ':']).trim().to_owned()).unwrap_or_default()
        };
        let memory = after(&read("/proc/meminfo"), "MemTotal");
        let kib: u64 = memory.trim_end_matches("kB").trim().parse().unwrap_or_default();
        Self {
            processor: after(&read("/proc/cpuinfo"), "model name"),
            processors: crate::process::processors().len(),
            memory_bytes: kib * 1024,
            kernel: format!("{} {}", std::env::consts::OS, read("/proc/sys/kernel/osrelease").trim()),
            date: chrono::Utc::now().format("%Y-%m-%d").to_string(),
        }
    }
}
