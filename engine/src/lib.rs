//! The program that serves models: its command line, its configuration, and the wiring of the crates beside it.

mod admin_client;
pub mod app;
pub mod cli;
mod commands;
pub mod config;
mod file_handles;
