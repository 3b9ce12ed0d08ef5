//! Tests that cross crates, and tests that run the two programs as a user would.

mod journey;
mod layers;
mod loading;
mod parity;
mod programs;
mod support;
