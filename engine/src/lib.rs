//! The online half of Onnward: it loads the models of a repository and answers predictions over HTTP.
//!
//! Requests flow one way: [`http`] reads rows with the model's schema, [`batcher`] scores them in batches, the answer
//! goes back. [`app`] alone sees every part.

pub mod app;
pub mod batcher;
pub mod cli;
pub mod commands;
pub mod config;
pub mod http;
pub mod logging;
pub mod metrics;
pub mod registry;
pub mod shutdown;

#[cfg(test)]
mod fixtures;
