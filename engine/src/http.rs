//! The HTTP side: it knows the registry, the schemas and the batcher's `submit`, and neither a runtime nor a repository.

mod access;
mod admin;
mod body;
mod drift;
mod guard;
mod health;
mod index;
mod large;
mod models;
mod openapi;
mod outcomes;
mod performance;
mod predict;
mod problem;
mod request_id;
mod router;
mod server;
mod state;

pub use router::router;
pub use server::serve;
pub use state::{HttpParts, HttpState};

#[cfg(test)]
mod tests;
