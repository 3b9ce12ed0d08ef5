//! The program that serves models: command line, configuration, and the wiring of the other crates.

mod admin_client;
pub mod app;
pub mod cli;
mod commands;
pub mod config;
mod file_handles;
