//! The routes, one module each.

pub mod admin;
pub mod drift;
pub mod health;
pub mod index;
pub mod models;
pub mod outcomes;
pub mod performance;
pub mod predict;
