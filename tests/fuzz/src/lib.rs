//! What is fuzzed: each module takes bytes that anybody may have sent or written, does with them what the programs do, and
//! asserts what must hold whatever the bytes are.
//!
//! The fuzzers of `targets/` call these functions, and so does a plain test (`tests/contract/fuzzing.rs`) with every file under
//! `corpus/`: what was found once stays found without a fuzzer.

pub mod credentials;
pub mod manifest;
pub mod metadata;
pub mod model;
pub mod request;
mod sections;

/// What is fuzzed: the name of the target and of its corpus, and what is done with an input.
pub type Target = (&'static str, fn(&[u8]));

/// All that is fuzzed.
pub const TARGETS: [Target; 5] = [
    ("credentials", credentials::run),
    ("manifest", manifest::run),
    ("metadata", metadata::run),
    ("model", model::run),
    ("request", request::run),
];
