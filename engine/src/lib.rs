//! The online half.

pub mod backend;
pub mod batcher;
pub mod check;
pub mod config;
pub mod golden;
pub mod loader;
pub mod metrics;
pub mod registry;
pub mod repository;
