//! On what machine and when it was measured.

use serde::Serialize;

use onnward_harness::process::processors;

/// A machine, as its system tells.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Machine {
    /// The processor's name.
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
        let memory = told("/proc/meminfo", "MemTotal").unwrap_or_default();
        let kib: u64 = memory.trim_end_matches("kB").trim().parse().unwrap_or_default();
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            processor: processor(),
            processors: processors().len(),
            memory_bytes: kib * 1024,
            kernel: format!("{} {}", std::env::consts::OS, release.trim()),
            date: chrono::Utc::now().format("%Y-%m-%d").to_string(),
        }
    }
}

/// The processor's name, where Linux has one.
pub fn processor() -> String {
    told("/proc/cpuinfo", "model name").unwrap_or_else(|| "an unnamed processor".to_owned())
}

/// The first value of this name in a file of lines `name: value`.
fn told(path: &str, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.split_once(':'));
    value.map(|(_, value)| value.trim().to_owned())
}
