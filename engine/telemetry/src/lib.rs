//! The engine's log, metrics and audit log.
//!
//! Only [`metrics`] names metrics and uses Prometheus; only [`logging`] names the fields of log lines.

pub mod audit;
pub mod logging;
pub mod metrics;
pub mod share;
