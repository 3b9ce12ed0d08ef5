//! A model that scores rows, without HTTP, an asynchronous runtime or a repository.
//!
//! A [`Verifier`] opens the bytes of a model file on the first [`backend`] that can run it. An artifact of Onnward's must
//! reproduce its [`golden`] rows there, and agree with another backend ([`cross_check`]); an external ONNX file is run on
//! rows made from its inputs. What passes is a [`VerifiedModel`], which scores rows.
//!
//! Deliberately absent: metrics, threads that wait for work, and the place that a file comes from.

pub mod backend;
pub mod check;
pub mod costs;
pub mod cross_check;
pub mod description;
#[cfg(any(test, feature = "test-util"))]
pub mod fixtures;
pub mod golden;
pub mod threads;
pub mod verify;

pub use self::verify::{ModelFile, VerifiedModel, Verifier, VerifyError};
