//! What the engine says of itself: its log, its metrics and its audit log.
//!
//! [`metrics`] alone names metrics and knows Prometheus; [`logging`] alone names the fields of log lines.

pub mod audit;
pub mod logging;
pub mod metrics;
pub mod share;
