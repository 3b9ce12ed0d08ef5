//! Tests that cross crates, and tests that run the two programs as a user would.

// A test fails by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod demo;
mod journey;
mod layers;
mod loading;
mod parity;
mod programs;
mod promotion;
mod readme;
mod repository;
mod seaweedfs;
mod signing;
mod support;
