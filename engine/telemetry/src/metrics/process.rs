//! The process metrics, under the names that Prometheus's client libraries use. Only Linux provides them.
//!
//! Prometheus' own collector (`prometheus`, feature `process`) has seven of the nine. It counts processor
//! time in whole seconds: at a scrape every 15 s, a rate in steps of 6.7 % of a core. Here a step is 10 ms.
//! It would also bring a second version of `procfs`.

use prometheus::{Counter, Gauge, IntCounter, IntGauge, Registry};

use super::{counter, float_counter, float_gauge, gauge};

/// The process metrics, read at each scrape.
#[derive(Debug)]
pub struct ProcessMetrics {
    cpu_seconds: Counter,
    resident_bytes: IntGauge,
    virtual_bytes: IntGauge,
    open_fds: IntGauge,
    max_fds: IntGauge,
    threads: IntGauge,
    start_time: Gauge,
    read_bytes: IntCounter,
    written_bytes: IntCounter,
}

impl ProcessMetrics {
    /// Registers the metrics. `None` on a system other than Linux.
    pub fn new(r: &Registry) -> prometheus::Result<Option<Self>> {
        if !cfg!(target_os = "linux") {
            return Ok(None);
        }
        let metrics = Self {
            cpu_seconds: float_counter(
                r,
                "process_cpu_seconds_total",
                "Total user and system processor time in seconds.",
            )?,
            resident_bytes: gauge(r, "process_resident_memory_bytes", "Resident memory size in bytes.")?,
            virtual_bytes: gauge(r, "process_virtual_memory_bytes", "Address space of the process.")?,
            open_fds: gauge(r, "process_open_fds", "Open file descriptors.")?,
            max_fds: gauge(r, "process_max_fds", "Maximum number of open file descriptors.")?,
            threads: gauge(r, "process_threads", "Threads of the process.")?,
            start_time: float_gauge(
                r,
                "process_start_time_seconds",
                "Start time of the process, in seconds since 1970 (UTC).",
            )?,
            read_bytes: counter(
                r,
                "onnward_process_read_bytes_total",
                "Bytes read from disks for the process.",
            )?,
            written_bytes: counter(
                r,
                "onnward_process_written_bytes_total",
                "Bytes written to disks for the process.",
            )?,
        };
        metrics.set_start_time();
        Ok(Some(metrics))
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use procfs::process::{LimitValue, Process};
    use procfs::{ProcResult, boot_time_secs, page_size, ticks_per_second};

    use super::ProcessMetrics;
    use crate::metrics::to_i64;

    impl ProcessMetrics {
        /// Reads the process's state. Unreadable values stay unchanged, because a sandbox may hide some.
        pub fn read(&self) {
            let Ok(process) = Process::myself() else { return };
            let parts = [self.read_stat(&process), self.read_files(&process), self.read_io(&process)];
            for error in parts.into_iter().filter_map(Result::err) {
                tracing::debug!(%error, "some process metrics are unavailable");
            }
        }

        fn read_stat(&self, process: &Process) -> ProcResult<()> {
            let stat = process.stat()?;
            self.cpu_seconds.reset();
            self.cpu_seconds.inc_by((stat.utime + stat.stime) as f64 / ticks_per_second() as f64);
            self.resident_bytes.set(to_i64(stat.rss.saturating_mul(page_size())));
            self.virtual_bytes.set(to_i64(stat.vsize));
            self.threads.set(stat.num_threads);
            Ok(())
        }

        fn read_files(&self, process: &Process) -> ProcResult<()> {
            self.open_fds.set(to_i64(process.fd_count()? as u64));
            if let LimitValue::Value(limit) = process.limits()?.max_open_files.soft_limit {
                self.max_fds.set(to_i64(limit));
            }
            Ok(())
        }

        fn read_io(&self, process: &Process) -> ProcResult<()> {
            let io = process.io()?;
            for (counter, bytes) in [(&self.read_bytes, io.read_bytes), (&self.written_bytes, io.write_bytes)]
            {
                counter.reset();
                counter.inc_by(bytes);
            }
            Ok(())
        }

        pub(super) fn set_start_time(&self) {
            let started = Process::myself().and_then(|process| process.stat());
            if let (Ok(stat), Ok(boot)) = (started, boot_time_secs()) {
                self.start_time.set(boot as f64 + stat.starttime as f64 / ticks_per_second() as f64);
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
impl ProcessMetrics {
    pub fn read(&self) {}

    fn set_start_time(&self) {}
}
