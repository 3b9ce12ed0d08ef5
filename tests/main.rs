//! Integration tests in one binary, by what they answer: does the code keep its contract, does the whole path
//! work, and can it be operated?

// A test fails by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod contract;
mod end_to_end;
mod operations;
mod support;
