//! Tests that cross crates, and tests that run the two programs as a user would.

// A test fails by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod capture;
mod comparison;
mod demo;
mod drift;
mod fault_proxy;
mod foreign;
mod fuzzing;
mod journey;
mod layers;
mod lifecycle;
mod loading;
mod logs;
mod metrics;
mod monitoring;
mod outcomes;
mod parity;
mod programs;
mod promotion;
mod proofs;
mod readme;
mod repository;
mod seaweedfs;
mod signing;
mod support;
mod traces;
