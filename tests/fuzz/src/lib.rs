//! The fuzz targets. Each module takes bytes that anybody may have sent or written, processes them as the
//! programs do, and asserts what must hold for any bytes.
//!
//! The fuzzers of `targets/` call these functions, and so does a plain test (`tests/contract/fuzzing.rs`) with every file under
//! `corpus/`, so that a fixed bug is tested for without a fuzzer.

pub mod credentials;
pub mod external;
pub mod manifest;
pub mod metadata;
pub mod model;
pub mod request;
mod sections;

/// A fuzz target: its name, which is also that of its corpus, and its function for an input.
pub type Target = (&'static str, fn(&[u8]));

/// All fuzz targets.
pub const TARGETS: [Target; 6] = [
    ("credentials", credentials::run),
    ("external", external::run),
    ("manifest", manifest::run),
    ("metadata", metadata::run),
    ("model", model::run),
    ("request", request::run),
];
