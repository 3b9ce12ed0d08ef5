//! Proofs that take longer than a test: the engine's program is run as its users run it, and what happens to the requests
//! is measured from outside.
//!
//! A proof states what it requires beside what it found, and its command fails if a requirement is missed.

pub mod bare;
pub mod chaos;
pub mod cli;
pub mod client;
pub mod comparison;
pub mod engine;
pub mod error;
mod figures;
pub mod generator;
pub mod interruption;
pub mod kills;
pub mod load;
pub mod machine;
pub mod observation;
pub mod process;
pub mod proxy;
pub mod publisher;
pub mod seaweedfs;
pub mod soak;
pub mod swaps;
pub mod training;
pub mod verdict;
pub mod versions;
