//! Tests that cross crates, and tests that run the two programs as a user would.

mod layers;
mod parity;
mod support;
