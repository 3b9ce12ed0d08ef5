//! The harness with which tests, proofs and benchmarks start Onnward's programs: engines as processes, a real
//! S3 server, proxies, clients, a load generator and models whose versions can be distinguished.

pub mod cli;
pub mod client;
pub mod engine;
pub mod error;
pub mod figures;
pub mod generator;
pub mod interruption;
pub mod ports;
pub mod process;
pub mod proxy;
pub mod publisher;
pub mod requirement;
pub mod seaweedfs;
pub mod versions;
pub mod wait;

pub use error::HarnessError;
