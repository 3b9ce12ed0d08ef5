//! The files of `monitoring/`: rules and alerts by their own tools, dashboards by their sources, and
//! everything on a real Prometheus that scrapes a real engine.

mod dashboards;
mod engine;
mod live;
mod queries;
mod rules;
mod runbook;
pub mod servers;
