//! A model that scores rows, without HTTP, an asynchronous runtime or a repository.
//!
//! A [`Verifier`] opens the bytes of a model file on the first [`backend`] that can run it. An Onnward
//! artifact must reproduce its [`golden`] rows there, and agree with another backend ([`cross_check`]). An
//! external ONNX file must score the example of its `config.toml`, or else generated rows. The result is a
//! [`VerifiedModel`], which scores rows:
//!
//! ```
//! use onnward_rows::{RowParser, RowsLimits};
//! use onnward_runtime::{BackendChoice, ModelFile, Verifier, load_backends};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fuzz/corpus/model/artifact-logistic.onnx");
//! let bytes = std::fs::read(path)?;
//! // `None`: ONNX Runtime's library is searched for, unless tract is chosen.
//! let verifier = Verifier::new(load_backends(BackendChoice::Tract, None)?);
//! let mut model = verifier.verify("shop", &ModelFile::new(&bytes))?;
//!
//! let body = br#"{"age": 42, "spend": 30.5, "plan": "full"}"#;
//! let parser = RowParser::new(model.schema().clone());
//! // `false`: the values of the schema's identifier are not kept.
//! let rows = parser.parse(body, RowsLimits::of_rows(100), false)?.rows;
//! let predictions = model.score(&rows)?;
//! // What is predicted of a row depends on the model: here, the probability of the label's positive value.
//! for probability in predictions.probabilities().ok_or("it is no binary model")?.iter() {
//!     println!("{probability}");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The example needs `onnward-runtime` and, to read requests, `onnward-rows`. Both are dependencies by path
//! or git, since they are not published (`publish = false`).
//!
//! - [`Verifier::verify`] and [`VerifiedModel::score`] block their thread.
//! - ONNX Runtime is loaded only if the environment variable [`backend::TELEMETRY_SWITCH`] is `1`. Otherwise
//!   [`BackendChoice::Auto`] falls back to tract with a warning in the log, and
//!   [`BackendChoice::OnnxRuntime`] fails with [`backend::LibraryError::Telemetry`].
//! - [`threads::RuntimeThreads`] is needed only if the process may end while another thread verifies or
//!   scores. Verification counts itself. A scoring thread holds the guard of
//!   [`threads::RuntimeThreads::enter`], and [`threads::RuntimeThreads::wait_until_idle`] is called before the
//!   process ends.
//!
//! Rows can also be encoded without a parser. The schema of an external file encodes raw values:
//!
//! ```
//! use onnward_runtime::{BackendChoice, ModelFile, Verifier, load_backends};
//! use onnward_schemas::GoldenValue::Number;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let path = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/external/torch-logits.onnx"));
//! let bytes = std::fs::read(path)?;
//! let config = std::fs::read_to_string(path.with_extension("toml"))?;
//! let file = ModelFile::new(&bytes).with_config(&config);
//! let verifier = Verifier::new(load_backends(BackendChoice::Tract, None)?);
//! let mut model = verifier.verify("churn", &file)?;
//!
//! // Months, charges and calls, as its `config.toml` names the columns.
//! let rows = model.schema().encode_rows(&[vec![Number(68.0), Number(84.1), Number(8.0)]]);
//! let predictions = model.score(&rows)?;
//! let probabilities = predictions.probabilities().ok_or("it is no binary model")?;
//! assert!((0.0..=1.0).contains(&probabilities[0]));
//!
//! // Nothing verifies that tract computes what PyTorch computed.
//! assert!(model.description.unproven().is_some());
//! # Ok(())
//! # }
//! ```
//!
//! Deliberately absent: metrics, threads that wait for work, and where a file is stored.

pub mod backend;
pub mod check;
pub mod costs;
pub mod cross_check;
pub mod description;
#[cfg(any(test, feature = "test-util"))]
pub mod fixtures;
pub mod golden;
pub mod isolation;
pub mod memory;
pub mod threads;
pub mod verify;

pub use self::backend::{BackendChoice, load_backends};
pub use self::verify::{ModelFile, VerifiedModel, Verifier, VerifyError};
