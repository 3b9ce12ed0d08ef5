use std::fs;
use std::path::Path;

use super::*;

const MIB: u64 = 1 << 20;

#[test]
fn reservations_of_any_order_never_exceed_the_bound_and_leave_nothing_behind() {
    use rand::{RngExt, SeedableRng};
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(5);
    let budget = MemoryBudget::of_models(Some(1000));
    let mut held: Vec<MemoryReservation> = Vec::new();
    for _ in 0..20_000 {
        let bytes = random.random_range(0..600);
        match random.random_range(0..4) {
            0 => held.extend(budget.reserve(bytes)),
            1 if !held.is_empty() => drop(held.swap_remove(random.random_range(0..held.len()))),
            2 => drop(held.last_mut().map(|last| last.grow(bytes))),
            _ => {
                if let Some(last) = held.last_mut() {
                    last.loaded(bytes.min(last.bytes()));
                }
            }
        }
        let sum: u64 = held.iter().map(MemoryReservation::bytes).sum();
        assert!(sum <= 1000, "{sum}");
        let reserved = budget.reserved();
        assert_eq!(reserved.loading + reserved.loaded, sum);
    }
    held.clear();
    assert!(budget.reserve(1000).is_ok());
}

#[test]
fn the_process_keeps_room_for_requests() {
    let process =
        || Some(ProcessMemory { limit: 512 * MIB, taken: 100 * MIB, bound: MemoryBound::ControlGroup });
    let budget = MemoryBudget { process: Some(process), ..MemoryBudget::default() };
    let first = budget.reserve(300 * MIB).unwrap();
    let error = budget.reserve(100 * MIB).unwrap_err();
    assert_eq!(
        error.to_string(),
        "it needs about 100 MiB of memory, and 61 MiB of the 512 MiB that the control group permits are free: \
         raise the container's memory limit, or publish a smaller model (fewer trees, larger leaves)"
    );
    // Once the first is loaded, the system's figure has it.
    drop(first);
    assert!(budget.reserve(360 * MIB).is_ok());
}

fn write(root: &Path, files: &[(&str, &str)]) {
    for (path, text) in files {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

const MEMINFO: (&str, &str) = ("proc/meminfo", "MemTotal:  1000 kB\nMemFree: 1 kB\nMemAvailable:   900 kB\n");

fn read(files: &[(&str, &str)]) -> Option<(u64, u64, MemoryBound)> {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), files);
    ProcessMemory::read_below(root.path()).map(|memory| (memory.limit, memory.taken, memory.bound))
}

#[test]
fn the_tightest_of_all_bounds_counts() {
    assert_eq!(read(&[]), None);
    assert_eq!(read(&[MEMINFO]), Some((1_024_000, 102_400, MemoryBound::Machine)));
    // Version 2: the limit of the pod is tighter than the container's, which has none.
    let nested = [
        MEMINFO,
        ("proc/self/cgroup", "0::/pod/container\n"),
        ("sys/fs/cgroup/pod/container/memory.max", "max\n"),
        ("sys/fs/cgroup/pod/container/memory.current", "70000\n"),
        ("sys/fs/cgroup/pod/memory.max", "100000\n"),
        ("sys/fs/cgroup/pod/memory.current", "80000\n"),
        ("sys/fs/cgroup/pod/memory.stat", "anon 5\ninactive_file 20000\nactive_file 10000\n"),
    ];
    assert_eq!(read(&nested), Some((100_000, 50_000, MemoryBound::ControlGroup)));
    // Version 1, in a container that is shown the host's path.
    let container = [
        MEMINFO,
        ("proc/self/cgroup", "5:cpu,memory:/docker/abc\n1:name=systemd:/docker/abc\n0::/docker/abc\n"),
        ("sys/fs/cgroup/memory/memory.limit_in_bytes", "90000\n"),
        ("sys/fs/cgroup/memory/memory.usage_in_bytes", "60000\n"),
        ("sys/fs/cgroup/memory/memory.stat", "total_inactive_file 1000\ninactive_file 7\n"),
    ];
    let read_v1 = read(&container).unwrap();
    assert_eq!(read_v1, (90_000, 59_000, MemoryBound::ControlGroup));
    // No limit: 2⁶³ rounded down to a page.
    let unlimited = [MEMINFO, container[1], (container[2].0, "9223372036854771712\n"), container[3]];
    assert_eq!(read(&unlimited).unwrap().2, MemoryBound::Machine);
}

#[cfg(target_os = "linux")]
#[test]
fn this_process_has_memory() {
    let memory = ProcessMemory::read().unwrap();
    assert!(memory.taken > 0 && memory.limit > memory.taken, "{memory:?}");
}

#[test]
fn freed_memory_can_be_returned_at_any_time() {
    return_freed_memory();
}
