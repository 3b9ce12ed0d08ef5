//! The online half of Onnward: it loads the models of a repository and answers predictions over HTTP.
//!
//! Requests flow one way: [`http`] reads rows with the model's schema, [`batcher`] scores them in batches, the answer
//! goes back. Models flow the other way: the [`watcher`] sees a change in the
//! [`onnward_repository`] and fetches it, [`loader`] proves it on a [`backend`], and [`registry`] is where the two meet. [`app`] alone sees every part.

pub mod answer;
pub mod app;
pub mod audit;
pub mod auth;
pub mod backend;
pub mod batcher;
pub mod capture;
mod cause;
pub mod check;
pub mod cli;
pub mod commands;
pub mod config;
pub mod crew;
pub mod differential;
pub mod drift;
mod file_handles;
pub mod golden;
pub mod http;
pub mod loader;
pub mod logging;
pub mod metrics;
pub mod monitor;
pub mod outcomes;
mod periodic;
pub mod registry;
pub mod reload;
pub mod remote;
pub mod shutdown;
pub mod tls;
pub mod traces;
pub mod watcher;

#[cfg(test)]
mod fixtures;
