//! The machine and the day of a measurement.

use onnward_harness::process::processors;
use serde::Serialize;
use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};

/// A machine, as its system describes it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Machine {
    /// The processor's name.
    pub processor: String,
    /// The number of processors.
    pub processors: usize,
    /// Memory, in bytes.
    pub memory_bytes: u64,
    /// The kernel's name and version.
    pub kernel: String,
    /// The day, in UTC.
    pub date: String,
}

impl Machine {
    /// Describes this machine, today. What the system does not say is empty.
    ///
    /// ```
    /// use onnward_benches::machine::Machine;
    ///
    /// let machine = Machine::of_this();
    /// assert!(machine.processors >= 1 && machine.date.starts_with("20"));
    /// ```
    pub fn of_this() -> Self {
        let memory = MemoryRefreshKind::nothing().with_ram();
        let system = System::new_with_specifics(RefreshKind::nothing().with_memory(memory));
        let memory_bytes = system.map(|system| system.total_memory()).unwrap_or_default();
        let release = System::kernel_version().unwrap_or_default();
        Self {
            processor: processor(),
            processors: processors().len(),
            memory_bytes,
            kernel: format!("{} {release}", std::env::consts::OS),
            date: chrono::Utc::now().date_naive().to_string(),
        }
    }
}

/// Returns the processor's name.
pub fn processor() -> String {
    let system = System::new_with_specifics(RefreshKind::nothing().with_cpu(CpuRefreshKind::nothing()));
    let brand = system.ok().and_then(|system| Some(system.cpus().first()?.brand().trim().to_owned()));
    brand.filter(|brand| !brand.is_empty()).unwrap_or_else(|| "an unnamed processor".to_owned())
}
