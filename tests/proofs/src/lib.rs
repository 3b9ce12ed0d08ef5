//! Proofs that take longer than a test. Each runs the engine's program as its users run it, and measures from
//! outside what happens to the requests.
//!
//! A proof reports each requirement beside what was found. Its command fails if one is missed.

pub mod chaos;
pub mod cli;
pub mod kills;
pub mod soak;
pub mod swaps;
