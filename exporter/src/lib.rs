//! The exporter: writes fitted models as ONNX files, reports on them, and publishes them in a model
//! repository.
//!
//! | to do this | call |
//! |---|---|
//! | export a fitted model as ONNX | [`export::export`] |
//! | show the content of an ONNX file | [`inspect::inspect`] |
//! | write the report of a training run | [`report::write()`] |
//! | change the serving settings of an artifact | [`settings::ServingSettings::apply`] |
//! | run a command of `onnward-exporter` | [`commands::run`] |
//!
//! From a table to the bytes of an ONNX file:
//!
//! ```
//! use std::path::Path;
//!
//! use onnward_exporter::export::export;
//! use onnward_models::{Dataset, OnInvalid, SampleFormat, TrainingPlan, train, write_sample};
//! use onnward_schemas::SchemaFile;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let file = SchemaFile::parse(
//!     r#"
//!     name = "shop"
//!     version = 1
//!     label = { column = "left", positive = "yes", negative = "no" }
//!     [[features]]
//!     name = "age"
//!     type = "numeric"
//!     min = 18
//!     max = 90
//!     "#,
//! )?;
//! let mut table = Vec::new();
//! write_sample(&file, 300, 42, SampleFormat::Csv, &mut table, |_| ())?;
//! let data = Dataset::parse(&table, Path::new("sample.csv"), &file.schema, OnInvalid::Fail)?;
//! let run = train(&data, &TrainingPlan { folds: 2, ..TrainingPlan::default() }, &|_| ())?;
//!
//! let bytes = export(&run.models[0])?.encode();
//! assert_eq!(bytes, export(&run.models[0])?.encode());
//! # Ok(())
//! # }
//! ```

pub mod cli;
pub mod commands;
pub mod expected_rows;
pub mod export;
pub mod external;
pub mod inspect;
pub mod report;
pub mod settings;
