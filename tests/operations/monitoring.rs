//! What `monitoring/` holds: its rules and alerts by their own tools, its dashboards by their sources, and all of it on a real
//! Prometheus that scrapes a real engine.

mod dashboards;
mod engine;
mod live;
mod queries;
mod rules;
mod runbook;
pub mod servers;
