//! The contracts between the parts: equal scores on every backend, the repository's rules, rejected
//! artifacts, the layers of crates, and documents whose commands work.

mod fuzzing;
mod layers;
mod loading;
mod outputs;
mod parity;
mod readme;
mod repository;
mod zoo;
