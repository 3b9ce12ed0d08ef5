//! The trainer from a file on disk to fitted models, on two schemas.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod samples;
mod tables;
mod training;
