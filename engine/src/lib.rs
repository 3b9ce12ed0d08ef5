//! The online half of Onnward: it loads the models of a repository and answers predictions over HTTP.
//!
//! Requests flow one way: [`http`] reads rows with the model's schema, [`batcher`] scores them in batches, the answer
//! goes back. Models flow the other way: [`onnward_repository`] reads them, [`loader`] proves them on a [`backend`], and
//! [`registry`] is where the two meet. [`app`] alone sees every part.

pub mod answer;
pub mod app;
pub mod backend;
pub mod batcher;
pub mod check;
pub mod cli;
pub mod commands;
pub mod config;
pub mod golden;
pub mod http;
pub mod loader;
pub mod logging;
pub mod metrics;
pub mod registry;
pub mod shutdown;

#[cfg(test)]
mod fixtures;
