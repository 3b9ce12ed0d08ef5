//! The HTTP server: routes, admission, authentication and TLS. It reads models from the registry and scores
//! rows with the batcher's `submit`. It opens no backend and reads no object store; of the runtime it only
//! reports each model's description and costs.

mod access;
mod access_lines;
mod admission;
pub mod answer;
mod audit;
pub mod auth;
mod authorization;
mod compression;
pub mod lifecycle;
mod openapi;
mod periodic;
mod problem;
mod request_id;
pub mod root_cause;
mod router;
mod routes;
mod security;
mod server;
pub mod settings;
mod state;
pub mod tls;
mod watched_file;

pub use admission::rate::RateLimits;
pub use router::{admin_router, router};
pub use routes::outcomes::{Received, parse_outcomes};
pub use server::{ConnectionLimits, Server, serve};
pub use state::{HttpParts, HttpState};

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod tests;
