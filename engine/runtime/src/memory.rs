//! The memory that models may take. A model that does not fit is refused before it is loaded, because the
//! system would end the whole process.
//!
//! A load is held against three bounds: the configured one on all models together, the limits of the
//! process's control groups, and the memory of the machine. The last two count everything that the process
//! takes, as the system measures it.

mod cgroup;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use thiserror::Error;

pub use self::cgroup::ProcessMemory;

/// The largest part of the process's limit that is kept free for requests.
const MAX_HEADROOM: u64 = 64 << 20;

/// The memory for models, shared by all who load some.
///
/// ```
/// use onnward_runtime::memory::MemoryBudget;
///
/// let budget = MemoryBudget::of_models(Some(1_000_000));
/// let mut reserved = budget.reserve(900_000)?;
/// let refused = budget.reserve(200_000).err().map(|error| error.to_string()).unwrap_or_default();
/// assert!(refused.contains("models.memory"), "{refused}");
///
/// // A model takes less once it is loaded.
/// reserved.loaded(300_000);
/// assert!(budget.reserve(200_000).is_ok());
/// # Ok::<(), onnward_runtime::memory::MemoryError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct MemoryBudget {
    /// The bound on all models together.
    limit: Option<u64>,
    /// Reads what the process takes and may take.
    process: Option<fn() -> Option<ProcessMemory>>,
    reserved: Arc<Mutex<Reserved>>,
}

/// The sums of all reservations, in bytes.
#[derive(Debug, Default)]
struct Reserved {
    /// Of models that are being loaded. The process may not have allocated it yet.
    loading: u64,
    /// Of loaded models.
    loaded: u64,
}

/// What is free under a bound.
struct Free {
    free: u64,
    limit: u64,
    bound: MemoryBound,
}

/// The memory of one model. It is free again when this is dropped.
#[derive(Debug, Default)]
pub struct MemoryReservation {
    budget: MemoryBudget,
    bytes: u64,
    is_loaded: bool,
}

/// A model that does not fit into memory.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[error(
    "it needs about {} of memory, and {} of {} are free: {}",
    Bytes(*.needed), Bytes(*.free), .bound.of(*.limit), .bound.remedy()
)]
pub struct MemoryError {
    /// The bytes that are needed beside what is taken.
    pub needed: u64,
    /// The bytes that are free.
    pub free: u64,
    /// The bound, in bytes.
    pub limit: u64,
    /// The origin of the bound.
    pub bound: MemoryBound,
}

/// The origin of a bound on memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoryBound {
    /// The configuration key `models.memory`.
    Models,
    /// A control group of the process, as a container has.
    ControlGroup,
    /// The machine.
    Machine,
}

impl MemoryBound {
    fn of(self, limit: u64) -> String {
        let limit = Bytes(limit);
        match self {
            Self::Models => format!("the {limit} of models.memory"),
            Self::ControlGroup => format!("the {limit} that the control group permits"),
            Self::Machine => format!("the machine's {limit}"),
        }
    }

    fn remedy(self) -> &'static str {
        match self {
            Self::Models => "raise models.memory, or publish a smaller model (fewer trees, larger leaves)",
            Self::ControlGroup => {
                "raise the container's memory limit, or publish a smaller model (fewer trees, larger leaves)"
            }
            Self::Machine => "use a larger machine, or publish a smaller model (fewer trees, larger leaves)",
        }
    }
}

/// Formats a size for people.
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MEBIBYTE: f64 = 1_048_576.0;
        let mebibytes = self.0 as f64 / MEBIBYTE;
        match mebibytes {
            small if small < 10.0 => write!(f, "{small:.1} MiB"),
            medium if medium < 10_240.0 => write!(f, "{medium:.0} MiB"),
            large => write!(f, "{:.1} GiB", large / 1024.0),
        }
    }
}

impl MemoryBudget {
    /// Creates a budget that bounds all models together by `limit`, and the process by its control groups and
    /// the machine. The process is bounded on Linux alone.
    pub fn of_process(limit: Option<u64>) -> Self {
        Self { process: Some(ProcessMemory::read), ..Self::of_models(limit) }
    }

    /// Creates a budget that only bounds all models together.
    pub fn of_models(limit: Option<u64>) -> Self {
        Self { limit, ..Self::default() }
    }

    /// Reserves memory for a load.
    ///
    /// # Errors
    /// [`MemoryError`] if it does not fit.
    pub fn reserve(&self, bytes: u64) -> Result<MemoryReservation, MemoryError> {
        let mut reservation = MemoryReservation { budget: self.clone(), bytes: 0, is_loaded: false };
        reservation.grow(bytes)?;
        Ok(reservation)
    }

    /// Reserves half of what is free, at most `most`.
    ///
    /// # Errors
    /// [`MemoryError`] if that is less than `least`.
    pub fn reserve_half(&self, most: u64, least: u64) -> Result<MemoryReservation, MemoryError> {
        let free = self.bounds(&self.reserved()).into_iter().map(|bound| bound.free).min();
        self.reserve(free.map_or(most, |free| most.min(free / 2)).max(least))
    }

    /// Returns an error if `bytes` more do not fit.
    fn check(&self, reserved: &Reserved, bytes: u64) -> Result<(), MemoryError> {
        match self.bounds(reserved).into_iter().find(|bound| bytes > bound.free) {
            None => Ok(()),
            Some(Free { free, limit, bound }) => Err(MemoryError { needed: bytes, free, limit, bound }),
        }
    }

    /// Returns what is free under each bound.
    fn bounds(&self, reserved: &Reserved) -> Vec<Free> {
        let free = |limit: u64, taken: u64, bound| Free { free: limit.saturating_sub(taken), limit, bound };
        let models = self
            .limit
            .map(|limit| free(limit, reserved.loading.saturating_add(reserved.loaded), MemoryBound::Models));
        let process = self.process.and_then(|read| read()).map(|ProcessMemory { limit, taken, bound }| {
            let headroom = (limit / 10).min(MAX_HEADROOM);
            // What a load has already allocated counts twice, until the load has ended.
            free(limit, taken.saturating_add(headroom).saturating_add(reserved.loading), bound)
        });
        models.into_iter().chain(process).collect()
    }

    fn reserved(&self) -> std::sync::MutexGuard<'_, Reserved> {
        self.reserved.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MemoryReservation {
    /// Returns the reserved bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Makes the reservation at least this large. After an error it is what it was before.
    ///
    /// # Errors
    /// [`MemoryError`] if it does not fit.
    pub fn grow(&mut self, bytes: u64) -> Result<(), MemoryError> {
        let more = bytes.saturating_sub(self.bytes);
        if more > 0 {
            let mut reserved = self.budget.reserved();
            self.budget.check(&reserved, more)?;
            let sum = if self.is_loaded { &mut reserved.loaded } else { &mut reserved.loading };
            *sum += more;
            self.bytes += more;
        }
        Ok(())
    }

    /// Marks the model as loaded, which now takes this much.
    pub fn loaded(&mut self, bytes: u64) {
        let mut reserved = self.budget.reserved();
        self.release(&mut reserved);
        reserved.loaded += bytes;
        drop(reserved);
        (self.bytes, self.is_loaded) = (bytes, true);
    }

    fn release(&self, reserved: &mut Reserved) {
        let sum = if self.is_loaded { &mut reserved.loaded } else { &mut reserved.loading };
        *sum = sum.saturating_sub(self.bytes);
    }
}

impl Drop for MemoryReservation {
    fn drop(&mut self) {
        let mut reserved = self.budget.reserved();
        self.release(&mut reserved);
    }
}

/// Returns freed memory to the system. ONNX Runtime allocates with the C library, which otherwise keeps what
/// a load needed for a moment.
pub fn return_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        #[expect(unsafe_code)]
        unsafe extern "C" {
            fn malloc_trim(pad: usize) -> i32;
        }
        // SAFETY: it takes a number, may be called at any time by any thread, and frees only unused memory.
        #[expect(unsafe_code)]
        unsafe {
            malloc_trim(0);
        }
    }
}

#[cfg(test)]
mod tests;
