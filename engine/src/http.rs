//! The HTTP side: it knows the registry, the schemas and the batcher's `submit`, and neither a runtime nor a repository.

mod access;
mod admin;
mod audit;
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
mod rate;
mod request_id;
mod router;
mod security;
mod server;
mod state;
mod unread;

pub use outcomes::{Received, parse_outcomes};
pub use rate::RateLimits;
pub use router::{admin_router, router};
pub use server::{ConnectionLimits, Server, serve};
pub use state::{HttpParts, HttpState};

#[cfg(test)]
mod tests;
